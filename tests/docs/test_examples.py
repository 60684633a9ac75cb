"""Every example is a notebook that runs, shows what was measured, and leaves its run in the ledger."""

from __future__ import annotations

import ast
import importlib.util
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from foretoll.ledger import Ledger

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
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


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("foretoll_notebooks", ROOT / "release" / "notebooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_notebooks_are_those_of_the_scripts(notebooks: ModuleType) -> None:
    assert not notebooks.stale(), "examples/notebooks is out of date: run make notebooks"
    for script in EXAMPLES:
        made = notebooks.notebook(script)
        code = "\n".join(cell.source for cell in made.cells if cell.cell_type == "code")
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(script.read_text()))  # nothing else is run
        told = [cell.source for cell in made.cells if cell.cell_type == "markdown"]
        assert told[0].startswith("# ") and any("## How to read it" in text for text in told)


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, tmp_path: Path, notebooks: ModuleType) -> None:
    for name in NEEDS.get(path.stem, ()):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    ledger = tmp_path / "ledger.db"
    shown = notebooks.printed(notebooks.execute(notebooks.notebook(path), ledger=ledger, timeout_s=280))
    (run,) = Ledger(ledger).runs()
    assert "measured" in shown and run.steps > 0 and run.toll.energy_kwh is not None
    assert ("forecast" in shown) == (path.stem in FORECAST) == bool(run.signals)
