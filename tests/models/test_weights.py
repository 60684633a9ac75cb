"""Weights from files: what is read, what is refused, and how a misfit is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import Model, build_model, load_model
from foretoll.models.weights import read_weights, strip_prefixes

ARCH = "foretoll:cnn?width=4"


@pytest.fixture
def model(digits: TaskData) -> Model:
    return build_model(ARCH, data=digits, seed=1)


@pytest.fixture
def state(model: Model) -> dict[str, Tensor]:
    return dict(model.network.state_dict())


def _same(a: nn.Module, b: nn.Module) -> bool:
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
def test_files_round_trip(
    suffix: str, model: Model, state: dict[str, Tensor], digits: TaskData, tmp_path: Path
) -> None:
    file = tmp_path / f"w{suffix}"
    if suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    loaded = load_model(ARCH, data=digits, weights=file, seed=9)
    assert _same(loaded.network, model.network)
    assert loaded.card.arch_options == {"width": 4}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "optimizer": {"lr": 0.1}},
        lambda s: {"state_dict": {f"model._orig_mod.{k}": v for k, v in s.items()}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
    ],
)
def test_common_wrappers_are_taken_off(
    wrap, model: Model, state: dict[str, Tensor], digits: TaskData, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]  # a lambda
    torch.save(wrap(state), tmp_path / "w.pt")
    assert _same(load_model(ARCH, data=digits, weights=tmp_path / "w.pt").network, model.network)


def test_a_prefix_that_the_network_uses_stays() -> None:
    names = ["model.weight", "model.bias"]
    assert list(strip_prefixes({f"module.{n}": torch.ones(1) for n in names}, names)) == names


class _Evil:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_refused_and_never_run(zipped: bool, model: Model, tmp_path: Path) -> None:
    for content in (model.network, {"state_dict": _Evil(tmp_path / "ran")}):
        torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelError, match=r"never unpickles.*torch\.save\(model\.state_dict\(\)"):
            read_weights(tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files(suffix: str, keep: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / f"w{suffix}"
    if suffix == ".pt":
        torch.save(state, file)
    else:
        save_file(state, file)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(ModelError, match=r"w\..* (is|cannot be read).*truncated|is truncated"):
        read_weights(file)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_files_of_another_format(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"w{suffix}"
    file.write_text("these are no weights, but a longer text\n" * 9, encoding="utf-8")
    with pytest.raises(ModelError, match="truncated or"):
        read_weights(file)


def test_paths_and_contents_that_are_wrong(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(ModelError, match=r"nearest in .*: weights\.safetensors"):
        read_weights(tmp_path / "wieghts.safetensors")
    with pytest.raises(ModelError, match=r"holds no model.safetensors"):
        read_weights(tmp_path)
    (tmp_path / "w.onnx").touch()
    with pytest.raises(ModelError, match=r"valid are \.safetensors"):
        read_weights(tmp_path / "w.onnx")
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_weights(tmp_path / "w.pt")
    with pytest.raises(UsageError, match="is a weights file: name its architecture"):
        load_model(str(tmp_path / "w.pt"))


def test_a_misfit_counts_and_names(state: dict[str, Tensor], digits: TaskData, tmp_path: Path) -> None:
    del state["head.bias"], state["blocks.0.0.weight"]
    state["extra"] = torch.ones(1)
    state["blocks.1.0.weight"] = torch.ones(2, 2)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as error:
        load_model(ARCH, data=digits, weights=tmp_path / "w.safetensors")
    text = str(error.value)
    assert "2 missing (blocks.0.0.weight, head.bias)" in text
    assert "1 unexpected (extra)" in text
    assert "1 of another shape (blocks.1.0.weight: file (2, 2), model (8, 4, 3, 3))" in text
    assert "\n" not in text


def test_a_head_that_alone_does_not_fit(
    model: Model, digits: TaskData, colour: TaskData, tmp_path: Path
) -> None:
    other = model.with_new_head([f"c{i}" for i in range(7)], seed=0)
    save_file(dict(other.network.state_dict()), tmp_path / "w.safetensors")
    with pytest.raises(
        ModelError, match=r"head 'head'.*the model has 7 classes and the data have 10.*new_head=true"
    ):
        load_model(ARCH, data=digits, weights=tmp_path / "w.safetensors")
    fitted = load_model(f"{ARCH}&new_head=true", data=digits, weights=tmp_path / "w.safetensors")
    assert fitted.num_classes == 10
    mine, theirs = fitted.network.state_dict(), other.network.state_dict()
    assert all(torch.equal(mine[k], theirs[k]) for k in mine if not k.startswith("head."))
    named = load_model(
        ARCH, data=digits, weights=tmp_path / "w.safetensors", classes=[f"c{i}" for i in range(7)]
    )
    assert _same(named.network, other.network)
    with pytest.raises(UsageError, match="needs weights"):
        load_model(f"{ARCH}&new_head=true", data=digits)


def test_without_data_the_files_own_classes_count(tmp_path: Path) -> None:
    from torchvision.models import squeezenet1_1

    torch.manual_seed(0)
    save_file(squeezenet1_1(num_classes=6).state_dict(), tmp_path / "w.safetensors")
    model = load_model(
        "torchvision:squeezenet1_1", weights=tmp_path / "w.safetensors", options={"input_size": 64}
    )
    assert model.classes == ("0", "1", "2", "3", "4", "5")
    assert model.card.preprocessing.mean == (0.485, 0.456, 0.406)


def test_weights_that_are_not_finite(state: dict[str, Tensor], digits: TaskData, tmp_path: Path) -> None:
    state["head.weight"] = state["head.weight"].clone()
    state["head.weight"][0, 0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"NaN or infinite weights in 1 tensors \(head.weight\)"):
        load_model(ARCH, data=digits, weights=tmp_path / "w.safetensors")
