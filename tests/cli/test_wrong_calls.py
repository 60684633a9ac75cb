"""A call that is wrong is refused before anything heavy is loaded: torch alone takes two seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
    f"plan -m {MODEL} -s digits -t digits": "a plan needs what it may cost (--budget 2kWh) or the least quality",
    f"plan -m {MODEL} -s digits -t digits --budget 3bananas": "is no budget",
    f"plan -m {MODEL} -s digits -t digits --floor 2": "is no quality",
    f"plan -m {MODEL} -s digits -t digits --updates 0 --floor 0.8": "give 1 to 366",
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
import contextlib, io, json, shlex, sys
from foretoll import cli
calls, heavy = json.load(sys.stdin)
for call in calls:
    sys.argv = ["foretoll", *shlex.split(call)]
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([call, code, said.getvalue(), [m for m in heavy if m in sys.modules]]))
"""
Answer = tuple[
    int, str, list[str]
]  # exit code, standard error, and what of the heavy has been loaded by then


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """Of all wrong calls, one after the other in one fresh process each for those with and without a ledger."""
    folder = tmp_path_factory.mktemp("wrong")
    found = {}
    for calls, heavy in ((list(WRONG), HEAVY + DATABASE), (list(OF_LEDGER), HEAVY)):
        done = subprocess.run(
            [sys.executable, "-c", CODE],
            check=True, capture_output=True, text=True, cwd=folder, input=json.dumps([calls, heavy]),
            env=os.environ | {"FORETOLL_LEDGER": str(folder / "l.db")},
        )  # fmt: skip
        for line in done.stdout.splitlines():
            call, code, said, loaded = json.loads(line)
            found[call] = (code, said, loaded)
    return found


@pytest.mark.parametrize("call", [*WRONG, *OF_LEDGER])
def test_nothing_heavy_is_loaded(call: str, answers: dict[str, Answer]) -> None:
    code, said, loaded = answers[call]
    assert (WRONG | OF_LEDGER)[call] in said
    assert code in (1, 2) and not loaded
