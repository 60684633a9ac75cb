"""Weights on disk: the same values, in memory that is given back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from foretoll.models import on_disk as room
from foretoll.models.copies import deep_copy
from foretoll.models.on_disk import in_memory, move_to_disk, on_disk, rest


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has a byte is large."""
    monkeypatch.setattr(room, "LARGE", 1)
    monkeypatch.setattr(room, "_filesystem", lambda _folder: "ext4")
    monkeypatch.setattr(room, "PIECE", 64)


def tensors() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [
        torch.randn(33, 5),
        torch.randn(6, 7).t(),
        torch.arange(5),
        torch.randn(4, dtype=torch.bfloat16),
        torch.tensor(3.5),
        torch.empty(0, 3),
        torch.tensor([True, False]),
    ]


@pytest.mark.usefixtures("small")
def test_copies_on_disk_are_the_same_values_and_independent() -> None:
    given = tensors()
    copies = on_disk(given)
    rest(copies)
    for copy, tensor in zip(copies, given, strict=True):
        assert torch.equal(copy, tensor)
        assert copy.dtype == tensor.dtype
    copies[0].zero_()
    rest(copies)
    assert not copies[0].any()  # what was written lies in the file
    assert given[0].any()
    assert in_memory(copies[1]).data_ptr() != copies[1].data_ptr()
    assert in_memory(given[0]) is given[0]


@pytest.mark.usefixtures("small")
def test_a_moved_network_computes_learns_and_copies_as_before(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.LSTM(8, 3))
    network[0].bias = nn.Parameter(network[0].weight.data[:, 1].contiguous())
    twin, parameters = deep_copy(network), list(network.parameters())
    x = torch.randn(6, 4)
    before = network.eval()(x)[0].detach()
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    assert move_to_disk(network)
    assert [id(p) for p in network.parameters()] == [id(p) for p in parameters]
    rest(network.parameters())
    assert torch.equal(network(x)[0], before)
    copy = deep_copy(network)
    for one in (copy, twin, network):
        optimizer = torch.optim.SGD(one.parameters(), 0.1)
        one.train()(x)[0].square().sum().backward()
        optimizer.step()
    for name, value in twin.state_dict().items():
        assert torch.equal(copy.state_dict()[name], value), name
        assert torch.equal(network.state_dict()[name], value), name
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    read = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert all(torch.equal(read[name], value) for name, value in network.state_dict().items())
    del network, parameters, optimizer, one
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


@pytest.mark.usefixtures("small")
def test_weights_that_share_memory_still_share_it() -> None:
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    network[2].weight.data = network[0].weight.data.t()
    assert move_to_disk(network)
    with torch.no_grad():
        network[0].weight.fill_(2.0)
    assert network[1].weight is network[0].weight
    assert bool((network[2].weight == 2).all())


@pytest.mark.usefixtures("small")
def test_what_else_holds_a_weight_keeps_it_in_memory() -> None:
    network = nn.Linear(4, 4)
    network.seen = [network.weight.detach().t()]  # type: ignore[assignment]
    assert not move_to_disk(network)
    assert network.seen[0].data_ptr() == network.weight.data_ptr()


def test_small_weights_and_folders_in_memory_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(4, 4)
    assert not move_to_disk(network)
    monkeypatch.setattr(room, "LARGE", 1)
    monkeypatch.setattr(room, "_filesystem", lambda _folder: "tmpfs")
    assert not move_to_disk(network)
    monkeypatch.setattr(room, "_filesystem", lambda _folder: "ext4")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _folder: room.shutil._ntuple_diskusage(9, 9, 0))
    assert not move_to_disk(network)


@pytest.mark.usefixtures("small")
def test_a_disk_that_is_full_after_all_leaves_them_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room, "_write", full)
    given = tensors()
    assert all(torch.equal(a, b) for a, b in zip(on_disk(given), given, strict=True))
    assert not move_to_disk(nn.Linear(4, 4))
