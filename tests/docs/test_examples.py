"""Every example runs, prints what was measured, and leaves its run in the ledger."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from foretoll.ledger import Ledger

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
NEEDS = {
    "hf_trainer": ("transformers", "accelerate"),
    "lightning_fit": ("lightning",),
    "accelerate_script": ("accelerate",),
    "timm_amp_cosine": ("timm",),
    "lora_language_model": ("transformers", "peft"),
}

FORECAST = {
    "accelerate_script",
    "lightning_fit",
    "plain_loop",
    "regression_table",
    "multilabel",
    "lora_language_model",
    "timm_amp_cosine",
}  # the others name no target


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    for name in NEEDS.get(path.stem, ()):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    env = os.environ | {"FORETOLL_LEDGER": str(tmp_path / "ledger.db"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(path)],
        env=env,
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = Ledger(tmp_path / "ledger.db").runs()
    assert "measured" in done.stdout and run.steps > 0 and run.toll.energy_kwh is not None
    assert ("forecast" in done.stdout) == (path.stem in FORECAST) == bool(run.signals)
