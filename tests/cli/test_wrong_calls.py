"""A call that is wrong is refused before anything heavy is loaded: torch alone takes two seconds."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

MODEL = "foretoll:mlp"
HEAVY = ("torch", "sklearn", "scipy", "pandas", "codecarbon", "pyarrow")
DATABASE = ("sqlalchemy",)  # the ledger is one
WRONG = {
    "estimate -m nope/model -s digits -t digits": "there is no checkpoint folder",
    "estimate -m cnn -s digits -t digits": "did you mean foretoll:cnn?",
    "estimate -m foretoll:cnnn -s digits -t digits": "unknown foretoll architecture",
    "estimate -m foretoll:cnn?widht=3 -s digits -t digits": "did you mean 'width'",
    f"estimate -m {MODEL} -s npz:nope.npz -t digits": "nope.npz is no file",
    f"estimate -m {MODEL} -s digits -t folder:nope": "nope is no folder",
    f"estimate -m {MODEL} -s csv:nope.csv -t digits": "is no file",
    f"estimate -m {MODEL} -s parquet:nope.parquet -t digits": "is no file",
    f"estimate -m {MODEL} -s digitz -t digits": "digitz",
    f"estimate -m {MODEL} -s digits -t digits?shift=blurr:0.3": "unknown shift 'blurr'",
    f"estimate -m {MODEL} -s digits -t digits --option finetun": "did you mean 'finetune'?",
    f"estimate -m {MODEL} -s digits -t digits --program pad": "a setting of other options, not of finetune",
    f"compare -m {MODEL} -s digits -t digits -o reprogram --mapping linea": "did you mean 'linear'?",
    f"estimate -m {MODEL} -s digits -t digits --metric acc": "did you mean 'accuracy'?",
    f"estimate -m {MODEL} -s digits -t digits --region XX": "unknown grid region",
    f"estimate -m {MODEL} -s digits -t digits --engine slurm": "unknown engine",
    f"estimate -m {MODEL} -s digits -t digits --weights nope.pt": "there is no weights file",
    f"estimate -m {MODEL} -s digits -t digits --calibrate 6rnus": "is no budget",
    f"estimate -m {MODEL} -s digits -t digits --until 2": "is no quality",
    f"estimate -m {MODEL} -s digits -t digits --hardware A1000": "A100",
    "retrain -m nope/model -s digits -t digits": "there is no checkpoint folder",
    "compare -m nope/model -s digits -t digits": "there is no checkpoint folder",
    "train --arch foretoll:cnnn --data digits": "unknown foretoll architecture",
    "train --arch foretoll:cnn --data npz:nope.npz": "is no file",
    "study run nofile": "unknown study",
    "study table nowhere": "is no ledger",
    "study plot nowhere": "is no ledger",
    "study score nowhere": "is no ledger",
    "study pack nowhere": "is no ledger",
}
OF_LEDGER = {"ledger show nope": "there is no run", "ledger import nope.jsonl": "is not there"}
CODE = """
import sys
from foretoll import cli
try:
    cli.main()
except SystemExit as stop:
    print(f"code {stop.code}", *(m for m in %r if m in sys.modules))
"""


@pytest.mark.parametrize("call", [*WRONG, *OF_LEDGER])
def test_nothing_heavy_is_loaded(call: str, tmp_path: Path) -> None:
    heavy = HEAVY if call in OF_LEDGER else HEAVY + DATABASE
    done = subprocess.run(
        [sys.executable, "-c", CODE % (heavy,), *shlex.split(call)],
        check=False, capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"FORETOLL_LEDGER": str(tmp_path / "l.db")},
    )  # fmt: skip
    assert (WRONG | OF_LEDGER)[call] in done.stderr
    code, *loaded = done.stdout.split()[1:]
    assert code in ("1", "2") and not loaded
