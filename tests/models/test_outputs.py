"""Networks that end in a softmax or in sigmoids: recognised, told, and read as logits everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import foretoll
from foretoll.errors import ModelError
from foretoll.ledger import Ledger
from foretoll.models import fresh_copy, load_model, recognise_outputs, save_checkpoint
from foretoll.models.outputs import as_logits
from foretoll.options import OPTIONS
from foretoll.quality import evaluate
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.context import open_update
from options.making import blobs

ACCOUNTING = Accounting("watts:20", region="DE")


def _rounded(values: Tensor) -> Tensor:
    """As a layer in half precision gives them, with gradients: sums differ from one by some 1e-4."""
    return values + (values.half().float() - values).detach()


class Ends(nn.Module):
    """A classifier that gives what `end` makes of its logits."""

    def __init__(self, end: str, *, in_training: bool = True) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Linear(6, 12), nn.ReLU())
        self.head = nn.Linear(12, 3)
        self.end, self.in_training = end, in_training
        self.squash = (
            nn.Sigmoid() if end == "Sigmoid" else nn.Softmax(1) if end == "Softmax" else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        logits = 3 * self.head(self.body(x))
        if self.training and not self.in_training:
            return logits
        by_function = {
            "softmax": lambda: F.softmax(logits, 1),
            "half": lambda: _rounded(F.softmax(logits, 1)),
            "log_softmax": lambda: F.log_softmax(logits, 1),
            "sigmoid": lambda: torch.sigmoid(logits).reshape(-1, 3),
        }
        return self.squash(logits) if self.end not in by_function else by_function[self.end]()


def build() -> nn.Module:
    """What a checkpoint folder names."""
    return Ends("half")


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("", "logits"),
        ("log_softmax", "logits"),
        ("half", "probabilities"),
        ("sigmoid", "sigmoids"),
        ("Sigmoid", "sigmoids"),
    ],
)
def test_what_a_network_gives_is_recognised_and_its_loss_is_right(end: str, kind: str) -> None:
    data = blobs()
    job, plain = open_update(Ends(end), data, data), open_update(Ends(""), data, data)
    card = job.model.card
    assert card.outputs == kind
    assert bool(card.notes) == (kind != "logits")
    assert all("not logits" in note and len(note) < 300 for note in card.notes)
    seen, expected = evaluate(job.model, data.validation), evaluate(plain.model, data.validation)
    assert seen.quality == expected.quality
    assert seen.loss == pytest.approx(expected.loss, rel=1e-3)
    inputs = data.validation.all().inputs
    _, logits = job.model.embed_and_classify(inputs)
    assert torch.allclose(logits.softmax(1), plain.model(inputs).softmax(1), atol=1e-3)
    assert recognise_outputs(job.model, data.train).card == card, "told once"


def test_a_sigmoid_for_each_class_is_read_as_its_log_odds() -> None:
    logits = torch.tensor([[-90.0, 0.0, 3.0], [2.0, 15.0, -5.0]])
    assert torch.allclose(
        as_logits(logits.double().sigmoid().float(), "sigmoids")[0, 1:], logits[0, 1:], atol=1e-4
    )
    certain = as_logits(torch.tensor([[0.0, 1.0, 0.5]]), "sigmoids")
    assert torch.isfinite(certain).all() and certain.argmax() == 1
    certain = as_logits(torch.tensor([[0.0, 1.0]], requires_grad=True), "probabilities")
    certain.sum().backward()
    assert torch.isfinite(certain).all()


def test_logits_between_0_and_1_stay_logits() -> None:
    data = blobs()

    class Small(Ends):
        def forward(self, x: Tensor) -> Tensor:
            return 0.4 + 0.1 * torch.tanh(super().forward(x))

    assert open_update(Small(""), data, data).model.card.outputs == "logits"
    assert open_update(nn.Sequential(Ends(""), nn.ReLU()), data, data).model.card.outputs == "logits"


def test_a_network_that_gives_probabilities_only_in_evaluation_is_refused() -> None:
    data = blobs()
    with pytest.raises(ModelError, match="let its forward return logits in both"):
        open_update(Ends("half", in_training=False), data, data)


@pytest.mark.parametrize("end", ["softmax", "Softmax"])
def test_a_plain_softmax_is_refused(end: str) -> None:
    data = blobs()
    with pytest.raises(ModelError, match="ends in a softmax"):
        open_update(Ends(end), data, data)


@pytest.mark.parametrize("option", ["finetune", "head", "partial", "scratch"])
def test_training_is_that_of_the_logits(option: str, tmp_path: Path) -> None:
    data, settings = blobs(), TrainingSettings(batch_size=16, max_epochs=2, lr=0.01, until=0.999)
    runs = []
    for end in ("", "half"):
        found = foretoll.retrain(
            Ends(end),
            data,
            data,
            option=option,
            settings=settings,
            accounting=ACCOUNTING,
            ledger=Ledger.open(tmp_path / f"{end}.db"),
        )
        runs.append(found)
    plain, squashed = runs
    assert [p.step for p in squashed.curve] == [p.step for p in plain.curve]
    for one, other in zip(plain.curve, squashed.curve, strict=True):
        assert other.quality == pytest.approx(one.quality, abs=0.03)
        assert other.loss == pytest.approx(one.loss, rel=0.02)
    assert any("not logits" in warning for warning in squashed.warnings)
    assert not any("not logits" in warning for warning in plain.warnings)


def test_the_kind_travels_with_the_model(tmp_path: Path) -> None:
    data = blobs()
    model = open_update("models.test_outputs:build", data, data).model
    assert model.card.outputs == "probabilities"
    assert model.clone().card.outputs == "probabilities"
    fresh = fresh_copy(model, data, seed=1)
    assert fresh.card.outputs == "probabilities"
    assert (fresh(data.validation.all().inputs) < 0).any()
    save_checkpoint(model, tmp_path / "saved")
    again = load_model(tmp_path / "saved", trust_code=True)
    inputs = data.validation.all().inputs
    assert torch.equal(again(inputs), model(inputs))
    why = OPTIONS["reprogram"].suits(model, data, task_shift=False)
    assert why is not None and "maps logits" in why
