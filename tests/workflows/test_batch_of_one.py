"""`estimate` with batches of one sample: what does not train batch norm is forecast, what does is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import foretoll
from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.quality import BATCH_OF_ONE
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting
from options.making import blobs, mlp, normed

ACCOUNTING = Accounting("watts:20", region="DE")
ONE = TrainingSettings(batch_size=1, max_epochs=1, until=0.999)


def test_head_is_forecast_and_what_trains_batch_norm_is_left_out_aloud(tmp_path: Path) -> None:
    data = blobs()
    told = foretoll.estimate(
        normed(data), data, data, option="head", settings=ONE, accounting=ACCOUNTING,
        ledger=Ledger.open(tmp_path / "l.db"),
    )  # fmt: skip
    assert told.option == "head"
    assert told.alternatives_why_not == dict.fromkeys(("finetune", "scratch"), BATCH_OF_ONE)
    assert told.signals["initial_gradient_norm"] > 0
    with pytest.raises(UsageError, match="give --batch-size 2 or more"):
        foretoll.estimate(
            normed(data),
            data,
            data,
            settings=ONE,
            accounting=ACCOUNTING,
            ledger=Ledger.open(tmp_path / "l.db"),
        )


def test_without_batch_norm_every_option_is_forecast(tmp_path: Path) -> None:
    data = blobs()
    told = foretoll.estimate(
        mlp(data), data, data, option="head", settings=ONE, accounting=ACCOUNTING,
        ledger=Ledger.open(tmp_path / "l.db"),
    )  # fmt: skip
    assert {"finetune", "scratch"} <= set(told.alternatives)
