"""foretoll's own architectures: shapes, options, and that they learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import ARCHITECTURES, build_model
from foretoll.models.architectures import architecture_family, build_architecture


@given(
    name=st.sampled_from(["mlp", "cnn", "resnet", "vit"]),
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(1, 20), st.integers(1, 20)),
    classes=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_any_image_size_gives_logits(name: str, shape: tuple[int, int, int], classes: int) -> None:
    small = {"mlp": {"width": 8}, "cnn": {"width": 4}, "resnet": {"width": 4}, "vit": {"dim": 8, "depth": 1}}
    network = build_architecture(name, shape, classes, small[name]).eval()
    assert network(torch.rand(2, *shape)).shape == (2, classes)


@given(channels=st.integers(1, 3), length=st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_any_series_length_gives_logits(channels: int, length: int) -> None:
    network = build_architecture("cnn1d", (channels, length), 3, {"width": 4}).eval()
    assert network(torch.rand(2, channels, length)).shape == (2, 3)


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("name", ["cnn", "resnet", "cnn1d"])
def test_norm_option_decides_layers_and_family(name: str, norm: str) -> None:
    shape = (1, 16) if name == "cnn1d" else (1, 8, 8)
    network = build_architecture(name, shape, 2, {"width": 4, "norm": norm})
    kinds = {type(m).__name__ for m in network.modules()}
    assert any("BatchNorm" in k for k in kinds) == (norm == "batch")
    assert ("GroupNorm" in kinds) == (norm == "group")
    suffix = {"batch": "", "group": "-groupnorm", "none": "-nonorm"}[norm]
    assert architecture_family(name, {"norm": norm}) == name + suffix


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_default_is_an_option(name: str) -> None:
    entry = ARCHITECTURES[name]
    if entry.task == "language":
        ids = torch.arange(8).view(2, 4)
        assert build_architecture(name, (), 9, dict(entry.defaults))(ids).shape == (2, 4, 9)
        return
    if entry.task == "segmentation":
        assert build_architecture(name, (3, 11, 9), 3, dict(entry.defaults))(torch.rand(2, 3, 11, 9)).shape == (
            2, 3, 11, 9,
        )  # fmt: skip
        return
    shape = (2, 12) if entry.dims == (2,) else (3, 12, 12)
    assert build_architecture(name, shape, 3, dict(entry.defaults))(torch.rand(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cn", {}, "did you mean 'cnn'"),
        ("cnn", {"widht": 3}, "did you mean 'width'"),
        ("cnn", {"width": 0}, "from 1 to 100,000 for width, got .0."),
        ("cnn", {"width": True}, "for width, got .True."),
        ("cnn", {"norm": "grop"}, "did you mean 'group'"),
        ("vit", {"dim": 10, "heads": 4}, "divisible"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict[str, int | str | bool], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_architecture(name, (1, 8, 8), 2, options)


def test_a_shape_that_does_not_fit_names_those_that_do() -> None:
    with pytest.raises(ModelError, match="foretoll:mlp, foretoll:cnn1d"):
        build_architecture("cnn", (2, 30), 2, {})


def test_cnn_learns_digits(digits: TaskData) -> None:
    torch.manual_seed(0)
    model = build_model("foretoll:cnn", data=digits, seed=0)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    model.train()
    for epoch in range(6):
        for batch in digits.train.batches(64, shuffle_seed=epoch):
            loss = torch.nn.functional.cross_entropy(model(batch.inputs), batch.labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        hits = torch.cat([model(b.inputs).argmax(1) == b.labels for b in digits.test.batches(256)])
    assert hits.float().mean() > 0.95


def test_weights_depend_on_the_seed_alone(digits: TaskData) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = build_model("foretoll:vit?depth=1", data=digits, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    two = build_model("foretoll:vit", data=digits, seed=3, options={"depth": 1})
    other = build_model("foretoll:vit?depth=1", data=digits, seed=4)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.head_module().weight, other.head_module().weight)  # type: ignore[arg-type]  # a Linear
    assert one.card == two.card
