"""Networks in memory that give no logits, hold no weights, or cannot be trained: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import foretoll
from foretoll import Accounting, TrainingSettings
from foretoll.data import open_data
from foretoll.errors import ForetollError, ModelError, UsageError
from foretoll.models import load_model

X = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
Y = np.arange(120) % 3
X[np.arange(120), Y] += 3
OLD, NEW = (X, Y), (X + np.float32(0.1), Y)


class Odd(nn.Module):
    def __init__(self, odd: Callable[[Tensor], Any], before: Callable[[Tensor], Any] = lambda x: x) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.odd, self.before = odd, before

    def forward(self, x: Tensor) -> Any:
        self.before(x)
        return self.odd(self.head(torch.relu(self.body(x))))


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (lambda y: y.long(), "returns int64 numbers, not logits"),
        (lambda y: y * 1j, "returns complex64 numbers, not logits"),
        (lambda y: y.to("meta"), "on the device meta"),
        (lambda y: y > 0, "returns bool numbers, not logits"),
    ],
)
def test_outputs_that_no_loss_can_be_taken_of(odd: Callable[[Tensor], Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        load_model(Odd(odd), data=open_data(OLD))


@pytest.mark.parametrize("spec", [None, 3, nn.Linear, print, {}, b"m", nn.Linear(6, 3).state_dict()])
def test_what_is_no_model_is_named_by_its_type(spec: Any) -> None:
    with pytest.raises(UsageError, match=f"a {type(spec).__name__} is no model .* or an nn.Module"):
        foretoll.estimate(spec, OLD, NEW)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_outputs_that_are_no_numbers_are_refused_in_one_sentence(value: float) -> None:
    with pytest.raises(ForetollError, match="NaN or infinite"):
        _retrain(Odd(lambda y: y * value), "finetune")


def _retrain(network: nn.Module, option: str) -> Any:
    return foretoll.retrain(
        network,
        OLD,
        NEW,
        option=option,
        until=0.99,
        settings=TrainingSettings(max_epochs=0.1),
        accounting=Accounting(energy="none", region="DE"),
        device="cpu",
    )


def test_a_network_that_no_gradient_reaches_cannot_be_trained_but_kept() -> None:
    network = Odd(lambda y: y.detach())
    with pytest.raises(ModelError, match=r"no gradient reaches a trainable parameter .* use the option keep"):
        _retrain(network, "finetune")
    assert _retrain(network, "keep").quality.after is not None
    frozen = Odd(lambda y: y).requires_grad_(False)
    estimate = foretoll.estimate(
        frozen,
        OLD,
        NEW,
        option="keep",
        until=0.9,
        accounting=Accounting(energy="none", region="DE"),
        device="cpu",
    )
    assert any("the first gradients could not be computed" in text for text in estimate.warnings)


def _fails(_: Tensor) -> None:
    raise RuntimeError("\x1b[31mno\nsuch layer" + "x" * 1000)


class FailsInTraining(Odd):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) if not self.training else _fails(x)


def test_a_network_that_fails_in_training_only_is_one_sentence() -> None:
    network = FailsInTraining(lambda y: y)
    with pytest.raises(ModelError) as caught:
        _retrain(network, "finetune")
    text = str(caught.value)
    assert text.startswith(
        "the network fails in training on a batch of shape (58, 6) (RuntimeError: \\x1b[31mno such"
    )
    assert len(text) <= 300
    assert text.isprintable()
    assert isinstance(caught.value.__cause__, RuntimeError)


class WritesOver(Odd):
    """Writes over what the gradient of its head needs, which no forward pass shows."""

    def forward(self, x: Tensor) -> Any:
        hidden = torch.tanh(self.body(x))
        logits = self.head(hidden)
        hidden.zero_()
        return logits


@pytest.mark.parametrize("option", ["finetune", "head"])
def test_a_network_whose_gradients_fail_is_one_sentence_or_kept(option: str) -> None:
    network = WritesOver(lambda y: y)
    if option == "head":  # trained by itself, on what was kept before
        assert _retrain(network, option).curve[-1].loss > 0
    else:
        with pytest.raises(
            ModelError, match=r"gradients cannot be computed \(one of the variables needed"
        ) as caught:
            _retrain(network, option)
        assert len(str(caught.value)) <= 300


def test_memory_that_runs_out_in_a_network_stays_what_it_is() -> None:
    def full(_: Tensor) -> None:
        raise RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )

    model = load_model(Odd(lambda y: y), data=open_data(OLD))
    model.network.before = full  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
        model(torch.from_numpy(X[:2]))


def test_outputs_that_change_their_width_are_named() -> None:
    calls: list[int] = []

    def fewer_later(y: Tensor) -> Tensor:
        calls.append(1)
        return y if len(calls) < 6 else y[:, :2]

    with pytest.raises(ModelError, match=r"the network returns shape \(\d+, 2\) .* and has 3 classes"):
        _retrain(Odd(fewer_later), "finetune")


def test_a_network_that_switches_gradients_off_leaves_them_on_for_others() -> None:
    def off(_: Tensor) -> None:
        torch.set_grad_enabled(False)

    with pytest.raises(ModelError, match="no gradient reaches a trainable parameter"):
        _retrain(Odd(lambda y: y, before=off), "finetune")
    assert torch.is_grad_enabled()
    for option in ("keep", "head"):  # the head's own step needs no forward of the network
        assert _retrain(Odd(lambda y: y, before=off), option).quality.after is not None
        assert torch.is_grad_enabled()
    with torch.no_grad():
        _retrain(Odd(lambda y: y, before=lambda x: torch.set_grad_enabled(True)), "keep")
        assert not torch.is_grad_enabled()
