"""Checkpoint folders: bit-identical round trips, and saves that are interrupted or cannot be written."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import Model, build_model, load_model, save_checkpoint
from foretoll.models.checkpoint import read_checkpoint


@pytest.fixture
def model(digits: TaskData) -> Model:
    return build_model("foretoll:cnn?width=4&norm=batch", data=digits, seed=1)


def _trained(model: Model, digits: TaskData) -> Model:
    """Other weights and other batch statistics."""
    model = model.clone().train()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for batch in digits.train.batches(200):
        torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels).backward()
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize(
    ("arch", "data"),
    [
        ("foretoll:cnn?width=4", "digits"),
        ("foretoll:resnet?width=4&norm=group", "colour"),
        ("foretoll:mlp?width=8", "vectors"),
        ("foretoll:cnn1d?width=4", "series"),
        ("foretoll:vit?dim=8&depth=1", "digits"),
        ("torchvision:mobilenet_v3_small", "colour"),
    ],
)
def test_round_trip_is_bit_identical(
    arch: str, data: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    task: TaskData = request.getfixturevalue(data)
    model = build_model(arch, data=task, seed=1).eval()
    assert save_checkpoint(model, tmp_path / "deep" / "m") == tmp_path / "deep" / "m"
    again = load_model(str(tmp_path / "deep" / "m"), data=task).eval()
    assert again.card == model.card
    one, two = model.network.state_dict(), again.network.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[k], two[k]) and one[k].dtype == two[k].dtype for k in one)
    inputs = next(iter(task.test.batches(4))).inputs
    with torch.no_grad():
        assert torch.equal(model(inputs), again(inputs))
    assert sorted(p.name for p in (tmp_path / "deep" / "m").iterdir()) == ["model.json", "model.safetensors"]


def test_a_new_head_and_the_lineage_travel(model: Model, tmp_path: Path, colour: TaskData) -> None:
    other = model.with_new_head(["cat", "dog"], seed=3)
    other.card = other.card.model_copy(update={"run_id": "r1", "parent_run_id": "r0"})
    save_checkpoint(other, tmp_path / "m")
    again = load_model(tmp_path / "m", data=colour)  # other classes than the data: a task shift, no error
    assert (again.classes, again.card.run_id, again.card.parent_run_id) == (("cat", "dog"), "r1", "r0")
    renamed = load_model(tmp_path / "m", classes=["chat", "chien"])
    assert renamed.classes == ("chat", "chien")
    with pytest.raises(ModelError, match="2 classes, but the data or names given have 3"):
        load_model(tmp_path / "m", classes=["a", "b", "c"])
    with pytest.raises(UsageError, match="takes no options"):
        load_model(tmp_path / "m", options={"width": 3})


def test_other_files_in_the_folder_are_left_alone(model: Model, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("kept", encoding="utf-8")
    save_checkpoint(model, tmp_path)
    save_checkpoint(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", "model.safetensors", "report.html"]


def test_leftovers_of_killed_saves_go_at_the_next(model: Model, tmp_path: Path) -> None:
    for name, age in ((".saving-old", 7200), (".saving-young", 0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
        then = time.time() - age
        os.utime(tmp_path / name, (then, then))
    save_checkpoint(model, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".saving-young", "model.json", "model.safetensors"]


@pytest.mark.parametrize("stop_at", range(3))
def test_an_interrupted_save_leaves_the_old_model_or_the_new(
    stop_at: int, model: Model, digits: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (
        model.eval(),
        _trained(model, digits).with_new_head([f"n{i}" for i in range(10)], seed=5).eval(),
    )
    save_checkpoint(old, tmp_path / "m")
    _interrupt(monkeypatch, stop_at)
    if stop_at < 2:
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(new, tmp_path / "m")
    else:
        save_checkpoint(new, tmp_path / "m")
    monkeypatch.undo()
    if stop_at == 1:  # weights replaced, model.json not yet
        with pytest.warns(UserWarning, match="the card inside the weights is used"):
            found = load_model(tmp_path / "m")
    else:
        found = load_model(tmp_path / "m")
    expected = old if stop_at == 0 else new
    assert found.classes == expected.classes
    assert torch.equal(
        found.network.state_dict()["head.weight"], expected.network.state_dict()["head.weight"]
    )
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["model.json", "model.safetensors"]


@pytest.mark.parametrize("stop_at", range(2))
def test_an_interrupted_first_save_does_not_load(
    stop_at: int, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupt(monkeypatch, stop_at)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(model, tmp_path / "m")
    monkeypatch.undo()
    with pytest.raises(ModelError, match=r"no checkpoint folder|is no foretoll checkpoint"):
        load_model(tmp_path / "m")


def _interrupt(monkeypatch: pytest.MonkeyPatch, stop_at: int) -> None:
    """Ctrl-C just before the n-th file is put in place."""
    calls = iter(range(100))
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if next(calls) == stop_at:
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def test_a_full_disk_is_one_sentence_and_loses_nothing(
    model: Model, digits: TaskData, tmp_path: Path
) -> None:
    save_checkpoint(model, tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))  # writes fail half-way
    try:
        with pytest.raises(ModelError, match=r"cannot be saved in .*m .*has room"):
            save_checkpoint(_trained(model, digits), tmp_path / "m")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["model.json", "model.safetensors"]


def test_folders_that_cannot_be_written(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="cannot be saved in"):
        save_checkpoint(model, tmp_path / "file" / "m")
    if os.geteuid() == 0:
        pytest.skip("root may write to read-only folders")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(ModelError, match=r"cannot be saved in .*Permission denied"):
        save_checkpoint(model, tmp_path / "locked")


def test_folders_that_are_no_checkpoint(model: Model, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "digits-cnn")
    with pytest.raises(ModelError, match=r"nearest in .*: digits-cnn"):
        load_model(tmp_path / "digits-cn")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"model.json and model.safetensors are missing"):
        load_model(tmp_path / "empty")
    (tmp_path / "empty" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="load it as hf:"):
        load_model(tmp_path / "empty")
    card = tmp_path / "digits-cnn" / "model.json"
    text = card.read_text(encoding="utf-8")
    for broken in (text[:100], text.replace('"num_classes": 10', '"num_classes": 0'), "[]"):
        card.write_text(broken, encoding="utf-8")
        with pytest.raises(ModelError, match="holds no valid model card"):
            read_checkpoint(tmp_path / "digits-cnn")
    card.write_text(text, encoding="utf-8")
    weights = tmp_path / "digits-cnn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(ModelError, match="truncated"):
        load_model(tmp_path / "digits-cnn")


class _Tied(nn.Module):
    """Two names for one tensor, and a slice of a larger storage."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(64, 64)
        self.two = nn.Linear(64, 64)
        self.two.weight = self.one.weight
        self.head = nn.Linear(64, 10)
        self.register_buffer("part", torch.arange(10.0)[2:4])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))
        return out


def test_a_module_in_memory_needs_itself_again(digits: TaskData, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = load_model(_Tied(), data=digits).eval()
    assert model.card.arch.startswith("module:")
    save_checkpoint(model, tmp_path / "m")
    with pytest.raises(ModelError, match=r"saved from a module in memory.*load_model\(module, weights="):
        load_model(tmp_path / "m")
    again = load_model(_Tied(), weights=tmp_path / "m").eval()
    inputs = next(iter(digits.test.batches(4))).inputs
    assert torch.equal(model(inputs), again(inputs))
    assert again.card == model.card
    narrower = model.with_new_head(["a", "b"], seed=0)
    save_checkpoint(narrower, tmp_path / "n")
    assert load_model(_Tied(), weights=tmp_path / "n", data=digits).classes == ("a", "b")


def test_the_weights_can_be_read_without_foretoll(model: Model, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(model.network.state_dict())
