"""`foretoll plan` from end to end: a year of updates of a small model on data whose classes turn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foretoll.records import LifePlan

from .test_own_model import call
from .worlds import build, samples


@pytest.mark.slow
def test_a_year_is_planned_within_its_budget(tmp_path: Path) -> None:
    build(tmp_path, batches=1)
    x, y = samples(600, 1.2, 7)
    np.savez(tmp_path / "later.npz", x=x, y=y)
    flags = "--energy watts:10 --region DE --quiet --max-epochs 5 --lr 0.02 -o keep -o head -o finetune"
    code, said = call(
        tmp_path,
        f"plan --model m --source npz:src.npz --target npz:later.npz --updates 6 --budget 1Wh {flags} --out p.json",
    )
    assert code == 0, said
    plan = LifePlan.model_validate_json((tmp_path / "p.json").read_text())
    assert plan.chosen is not None and plan.periods == 6 and plan.drift.median and plan.drift.median > 0
    chosen = plan.schedules[plan.chosen]
    assert chosen.updates > 0 and chosen.cost.high is not None and chosen.cost.high <= 1e-3
    assert "in 6 periods" in said and "Assumes" in said and "What quality a budget buys" in said
