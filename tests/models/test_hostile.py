"""Checkpoints and weights that lie: each is refused in one sentence, without code, and without much memory."""

from __future__ import annotations

import resource
import sys
import warnings
from pathlib import Path

import pytest
import torch

from foretoll.data import TaskData
from foretoll.errors import ForetollError, ModelError, UsageError
from foretoll.models import build_model, load_model, save_checkpoint

from .hostile import CANARY, LYING, MODULE, WEIGHTS, card_of, nested, write_checkpoint, write_module


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_module(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def good(digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(
        build_model("foretoll:mlp?width=8", data=digits, seed=0), tmp_path_factory.mktemp("good") / "m"
    )


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def refused(words: str) -> None:
    assert len(words) <= 300, words
    assert words.isprintable(), words
    assert not words.endswith(".")


@pytest.mark.parametrize("name", LYING)
def test_a_checkpoint_that_lies(name: str, good: Path, here: Path, digits: TaskData) -> None:
    LYING[name](good, here / "m")
    before = peak_bytes()
    with warnings.catch_warnings(), pytest.raises(ForetollError) as error:
        warnings.simplefilter("ignore")
        load_model(here / "m", data=digits)
    refused(str(error.value))
    assert peak_bytes() - before < 500e6
    assert not (here / CANARY).exists()
    assert MODULE not in sys.modules


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_lie(name: str, good: Path, here: Path, digits: TaskData) -> None:
    state = load_model(good).network.state_dict()
    file = here / "w.pt"
    WEIGHTS[name](state, file)
    before = peak_bytes()
    with pytest.raises(ModelError) as error:
        load_model("foretoll:mlp?width=8", data=digits, weights=file)
    refused(str(error.value))
    assert peak_bytes() - before < 500e6
    assert not (here / CANARY).exists()


@pytest.mark.parametrize(
    "spec",
    ["foretoll:mlp?width=99999999999", "foretoll:mlp?depth=100000", "foretoll:mlp?width=1e400", "foretoll:mlp?mean=nan",
     "foretoll:mlp?std=nan", "foretoll:mlp?std=inf", "foretoll:cnn?width=100000", "foretoll:cnn?input_size=200000",
     "foretoll:vit?dim=100000&depth=1000", "torchvision:resnet18?width_per_group=1000000", "foretoll:mlp?width=true",
     "xxx:" + "x" * 100_000, "\x1b[31m:a", "~nobody-here/m", "foretoll:" + "m" * 100_000],
    ids=lambda spec: f"{spec:.40}".replace("\x1b", "escape"),
)  # fmt: skip
def test_specs_that_ask_for_too_much(spec: str, digits: TaskData) -> None:
    before = peak_bytes()
    with pytest.raises((ModelError, UsageError)) as error:
        load_model(spec, data=digits)
    refused(str(error.value))
    assert peak_bytes() - before < 500e6


def test_what_is_no_lie_loads(good: Path, here: Path, digits: TaskData) -> None:
    """Deviations of 0, names that stand twice among the classes, weights in other precisions."""
    card = card_of(good)
    plan = {**card["preprocessing"], "std": [0.0]}
    write_checkpoint(good, here / "m", {**card, "preprocessing": plan, "classes": ["crane"] * 10})
    assert load_model(here / "m").classes == ("crane",) * 10
    state = load_model(good).network.state_dict()
    for kind in (torch.float8_e5m2, torch.float16, torch.bfloat16, torch.float64):
        torch.save({"state_dict": {f"module.{n}": v.to(kind) for n, v in state.items()}}, here / "w.pt")
        model = load_model("foretoll:mlp?width=8", data=digits, weights=here / "w.pt")
        assert model.network.head.weight.dtype is torch.float32
        torch.testing.assert_close(model.network.head.weight, state["head.weight"].to(kind).float())


def test_a_build_counts_and_changes_nothing(digits: TaskData) -> None:
    """The same weights from a seed, whether memory is counted or not."""
    from foretoll.models.architectures import build_architecture

    torch.manual_seed(5)
    plain = build_architecture("resnet", (1, 8, 8), 10, {})
    model = build_model("foretoll:resnet", data=digits, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.network.parameters(), strict=True))


def test_programs_around_programs(good: Path, here: Path) -> None:
    """A card within a card within a card is read, and its sizes are checked."""
    card = card_of(good)
    inner = {**card, "preprocessing": {**card["preprocessing"], "size": [-1, 8]}}
    write_checkpoint(good, here / "m", nested(card, nested(card, inner)))
    with pytest.raises(ModelError, match="impossible size"):
        load_model(here / "m")
