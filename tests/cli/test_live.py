"""`retrain --give-up`: a target that cannot be reached is given up, one that can be is reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Call

MODEL = "--model source --source digits --energy watts:20 --region DE"


@pytest.mark.slow
def test_a_hopeless_target_is_given_up_and_a_reachable_one_is_reached(call: Call, tmp_path: Path) -> None:
    made = call(
        "train --arch foretoll:mlp --data digits --max-epochs 3 --out source --energy none --region DE -q"
    )
    assert made.code == 0, made.err
    noise = "--target digits?shift=gaussian_noise:0.8"
    hopeless = call(f"retrain {MODEL} {noise} --until 0.995 --max-epochs 40 --give-up 5% --out up")
    assert hopeless.code == 0, hopeless.err
    (run,) = call("ledger list --option finetune --json").data
    assert run["outcome"] == "given_up" and 0 < run["toll"]["epochs"] < 40
    assert "its chance of reaching accuracy 0.995 within its budget had fallen to" in run["reason"]
    assert run["settings"]["give_up"] == 0.05 and run["forecast"]["reach_probability"] < 0.5
    assert "chance" in hopeless.err and (tmp_path / "up" / "report.html").is_file()
    easy = "--target digits?shift=gaussian_noise:0.3"
    reached = call(f"retrain {MODEL} {easy} --until 0.8 --max-epochs 40 --give-up 5% --out easy -q")
    assert reached.code == 0 and "yes:" in reached.out, reached.out
    assert [r["id"] for r in call("ledger list --outcome given_up --json").data] == [run["id"]]
    assert call("ledger list").out.count("given up") == 1
