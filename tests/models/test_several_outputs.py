"""Networks with several outputs: which one serves is named by its name or its head, and never guessed among names."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model, save_checkpoint
from foretoll.models.several_outputs import logits_in
from foretoll.options import get_option
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting

Pair = namedtuple("Pair", ["kind", "colour"])


@dataclass
class Both:
    kind: Tensor
    colour: Tensor


class TwoHeads(nn.Module):
    def __init__(self, form: str = "dict") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.body = nn.Linear(4, 8)
        self.of_kind, self.of_colour = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Any:
        seen = self.body(x).relu()
        kind, colour = self.of_kind(seen), self.of_colour(seen)
        forms = {"dict": {"kind": kind, "colour": colour}, "dataclass": Both(kind, colour)}
        return {**forms, "named": Pair(kind, colour), "tuple": (kind, colour)}[self.form]


@pytest.fixture(scope="module")
def data() -> TaskData:
    generator = np.random.default_rng(0)
    return open_data((generator.normal(size=(120, 4)).astype(np.float32), np.arange(120) % 3))


@pytest.mark.parametrize("form", ["dict", "dataclass", "named"])
@pytest.mark.parametrize("named", ["colour", "of_colour"])
def test_the_output_or_its_head_is_named(data: TaskData, form: str, named: str) -> None:
    model = load_model(TwoHeads(form), data=data, head=named).eval()
    assert (model.card.head, model.card.output) == ("of_colour", "colour")
    x = data.test.all().inputs
    with torch.no_grad():
        wanted = model.network(x)
        colour = wanted["colour"] if form == "dict" else wanted.colour
        assert torch.equal(model(x), colour)
        represented, logits = model.embed_and_classify(x)
        assert torch.equal(logits, colour)
        assert torch.equal(represented, model.network.body(x).relu())


@pytest.mark.parametrize("form", ["dict", "dataclass", "named"])
def test_unclear_outputs_are_refused_with_their_names(data: TaskData, form: str) -> None:
    with pytest.raises(
        ModelError, match=r"several outputs .*kind \(3 numbers\), colour \(3 numbers\); .*--head"
    ):
        load_model(TwoHeads(form), data=data)
    with pytest.raises(UsageError, match="unknown head"):
        load_model(TwoHeads(form), data=data, head="size")


def test_of_a_plain_tuple_the_first_is_taken_unless_a_head_is_named(data: TaskData) -> None:
    assert load_model(TwoHeads("tuple"), data=data).card.head == "of_kind"
    other = load_model(TwoHeads("tuple"), data=data, head="of_colour")
    assert (other.card.head, other.card.output) == ("of_colour", "1")


def test_one_output_that_may_be_logits_is_clear() -> None:
    logits = torch.zeros(2, 3)
    assert logits_in({"map": torch.zeros(2, 3, 4, 4), "scores": logits}) is logits
    assert logits_in({"logits": logits, "embedding": torch.zeros(2, 8)}) is logits


@pytest.mark.parametrize("option", ["head", "partial"])
def test_options_train_the_named_output(data: TaskData, tmp_path: Path, option: str) -> None:
    network = TwoHeads()
    run = foretoll.retrain(
        network, None, data, option=option, task=False, head="colour", out=tmp_path / "m",
        settings=TrainingSettings(batch_size=16, max_epochs=1, until=0.99),
        accounting=Accounting("watts:20", region="DE"), ledger=Ledger(tmp_path / "runs.db"),
    )  # fmt: skip
    assert run.steps
    assert run.model.output == "colour"
    again = load_model(TwoHeads(), data=data, weights=tmp_path / "m")
    assert again.card.output == "colour"


def test_a_new_head_and_what_needs_one_output(data: TaskData, tmp_path: Path) -> None:
    model = load_model(TwoHeads(), data=data, head="colour")
    wider = model.with_new_head(["a", "b", "c", "d", "e"], seed=0)
    assert wider(data.test.all().inputs).shape[1] == 5
    why = get_option("reprogram").suits(model, data, task_shift=False)
    assert why is not None
    assert "several" in why
    assert save_checkpoint(model, tmp_path / "m").is_dir()
