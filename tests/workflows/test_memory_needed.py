"""What a pilot will need is said beforehand, and that it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import foretoll
from foretoll.models import activations, load_model
from foretoll.options import get_option
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting, Watcher
from foretoll.workflows import memory_needed as room
from foretoll.workflows.context import open_update
from foretoll.workflows.memory_needed import MemoryNeeded, memory_needed
from options.making import blobs

SETTINGS = TrainingSettings(batch_size=16, max_epochs=1, until=0.999)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))


def test_what_autograd_keeps_is_counted_by_hand() -> None:
    data = blobs()
    model = load_model(network(), data=data)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    # of each sample: the input (6), the output of ReLU (12), which the second layer takes too
    for count in (1, 5):
        inputs = next(iter(data.train.batches(count))).inputs
        assert activations.activation_bytes(model, inputs) == 4 * count * (6 + 12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_parts_are_those_of_the_formula() -> None:
    data = blobs()
    update = open_update(network(), data, data)
    weights = 4 * (6 * 12 + 12 + 12 * 3 + 3)
    found = memory_needed(get_option("finetune"), update, SETTINGS)
    assert found is not None
    assert found.weights == weights
    assert (
        found.training == 3 * weights + 4 * 4 + 4 * 6 * 12
    )  # gradients, Adam with its step counts, work space
    assert found.activations == 16 * 4 * 18
    head = memory_needed(get_option("head"), update, SETTINGS)
    assert head is not None
    assert head.training < found.training
    keep = memory_needed(get_option("keep"), update, SETTINGS)
    assert keep is not None
    assert (keep.training, keep.activations) == (0, 0)


def test_it_is_said_where_it_is_much_or_not_there() -> None:
    assert not MemoryNeeded(10**8, 10**8, 10**8, 10**9).note
    much = MemoryNeeded(10**9, 3 * 10**9, 10**8, 10**10)
    assert "about 4.1 GB" in much.note
    assert "10.0 GB is there" in much.note
    assert much.warning is None
    warning = MemoryNeeded(10**9, 3 * 10**9, 10**8, 2 * 10**9).warning
    assert warning is not None
    assert "--batch-size" in warning


def test_an_estimate_warns_before_it_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard: list[str] = []

    class Listening(Watcher):
        def stage(self, text: str) -> None:
            heard.append(text)

        note = stage

    monkeypatch.setattr(room, "memory_left", lambda: 1000)
    made = foretoll.estimate(
        network(),
        blobs(),
        blobs(),
        settings=SETTINGS,
        accounting=Accounting("none", region="DE"),
        ledger=tmp_path / "runs.db",
        watcher=Listening(),
    )
    said = [text for text in heard if "1.0 kB is there" in text]
    assert len(said) == 1
    assert heard.index(said[0]) < next(n for n, text in enumerate(heard) if text.startswith("look at source"))
    assert any(warning.startswith(said[0]) for warning in made.warnings)
