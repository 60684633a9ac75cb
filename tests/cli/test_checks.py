"""A call that is wrong is refused before anything heavy is loaded, and the light tables of names are the real ones."""

from __future__ import annotations

import subprocess
import sys

from foretoll.arguments import DEVICES

REST = "-m m -s npz:old.npz -t npz:new.npz"
WRONG = (
    f"estimate {REST} --metric acuracy",
    f"estimate {REST} -o fintune",
    f"estimate {REST} --also fintune",
    f"estimate {REST} --region Germoney",
    f"estimate {REST} --energy nvlm",
    f"estimate {REST} --engine proc",
    f"estimate {REST} --hardware H999",
    f"estimate {REST} --out /dev/null",
    f"estimate {REST} --pue 0.5",
    f"retrain {REST} --until 95",
    f"retrain {REST} --device cud",
    f"retrain {REST} --lr 1e38",
    f"retrain {REST} --weight-decay 1e308",
    f"compare {REST} --budget lots",
    "estimate -m m -s npy:old.npz -t npz:new.npz",
    "estimate -m m -s npz:old.npz -t npz:new.npz?limt=3",
    "train --arch foretoll:mlp --data digits --lr 0",
    "train --arch foretoll:mlp --data digits?shift=gausian_noise:1",
    "estimate",
    "estimat",
)
CALLS = """
import sys
from foretoll import cli
for line in sys.argv[1:]:
    sys.argv = ["foretoll", *line.split()]
    try:
        cli.main()
    except SystemExit as ended:
        assert ended.code in (1, 2), line
    heavy = {"torch", "scipy", "sqlalchemy", "pyarrow", "sklearn"} & set(sys.modules)
    assert not heavy, (line, heavy)
"""


def test_wrong_calls_load_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALLS, *WRONG], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-500:]
    said = done.stderr.splitlines()
    assert len(said) == len(WRONG)
    assert all(line.startswith("foretoll: ") and line.isprintable() and len(line) <= 300 for line in said)
    assert not any("should not have happened" in line for line in said)


def test_the_light_tables_of_names_are_the_real_ones() -> None:
    assert DEVICES == ("cpu", "cuda", "xpu")
