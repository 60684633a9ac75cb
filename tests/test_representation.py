"""One pass over a split: the same features for any batch size, and a model that is left as it was."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from foretoll.data import ArraySplit, Split, open_data
from foretoll.errors import DataError, ModelError
from foretoll.models import Model, build_model, countable_layers
from foretoll.records import ModelCard, Preprocessing
from foretoll.representation import Features, renormalised, sweep

DIGITS = open_data("digits?limit=60")


@pytest.fixture(scope="module")
def cnn() -> Model:
    model = build_model("foretoll:cnn?width=4", data=DIGITS, seed=0)
    model.train()
    return model


def seen(model: Model, split: Split, *, batch_size: int = 16, layers: tuple[str, ...] = ()) -> Features:
    """All batches of one sweep as one."""
    found: list[Features] = []
    count = sweep(model, split, [found.append], layers=layers, batch_size=batch_size)
    assert count == len(split) == sum(len(batch.ids) for batch in found)
    return Features(
        *(
            torch.cat([getattr(b, name) for b in found])
            for name in ("ids", "labels", "representations", "logits")
        ),
        layers={name: torch.cat([batch.layers[name] for batch in found]) for name in layers},
    )


def hooks(model: Model) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


@settings(max_examples=20, deadline=None)
@given(batch_size=st.integers(1, 70))
def test_any_batch_size_gives_the_same_features(cnn: Model, batch_size: int) -> None:
    layers = tuple(countable_layers(cnn))
    whole, cut = (seen(cnn, DIGITS.train, batch_size=b, layers=layers) for b in (1000, batch_size))
    assert torch.equal(whole.ids, cut.ids) and torch.equal(whole.labels, cut.labels)
    torch.testing.assert_close(cut.representations, whole.representations, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(cut.logits, whole.logits, rtol=1e-5, atol=1e-5)
    assert len(layers) >= 2
    for name in layers:
        torch.testing.assert_close(cut.layers[name], whole.layers[name], rtol=1e-5, atol=1e-5)


def test_the_features_are_those_of_the_network_itself(cnn: Model) -> None:
    """Average pooling, head and layers by hand."""
    inputs, labels = DIGITS.train.all()
    found = seen(cnn, DIGITS.train, layers=("blocks.1.0",))
    cnn.eval()
    with torch.no_grad():
        x = cnn.preprocess(inputs)
        blocks = cnn.network.blocks  # type: ignore[union-attr]
        inside = blocks[1][0](blocks[0](x))  # type: ignore[index,operator]
        pooled = blocks(x).mean(dim=(2, 3))  # type: ignore[operator]
        logits = cnn.network.head(pooled)  # type: ignore[union-attr,operator]
    cnn.train()
    torch.testing.assert_close(found.representations, pooled)
    torch.testing.assert_close(found.logits, logits)
    torch.testing.assert_close(found.layers["blocks.1.0"], inside.mean(dim=(2, 3)))
    assert torch.equal(found.labels, labels)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, len(DIGITS.test)))
def test_a_sample_keeps_its_id_in_any_order_and_split(cnn: Model, seed: int, count: int) -> None:
    whole = seen(cnn, DIGITS.test)
    rows = torch.randperm(len(DIGITS.test), generator=torch.Generator().manual_seed(seed))[:count]
    part = seen(cnn, DIGITS.test.take(rows))
    assert torch.equal(part.ids, whole.ids[rows]) and torch.equal(part.ids, DIGITS.test.ids[rows])
    torch.testing.assert_close(part.representations, whole.representations[rows], rtol=1e-5, atol=1e-5)


def test_the_model_is_left_as_it_was(cnn: Model) -> None:
    cnn.network.blocks[0].eval()  # type: ignore[index,union-attr]
    modes = [module.training for module in cnn.modules()]
    weights = {name: value.clone() for name, value in cnn.state_dict().items()}
    before = hooks(cnn)
    layers = tuple(countable_layers(cnn))
    seen(cnn, DIGITS.train, layers=layers)
    assert hooks(cnn) == before

    def stop(_: Features) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(cnn, DIGITS.train, [stop], layers=layers)
    with pytest.raises(ModelError, match=r"no module .blocks\.9."):
        sweep(cnn, DIGITS.train, [], layers=(layers[0], "blocks.9"))
    assert hooks(cnn) == before
    assert [module.training for module in cnn.modules()] == modes
    assert all(torch.equal(weights[name], value) for name, value in cnn.state_dict().items())
    cnn.train()


def test_features_hold_no_graph(cnn: Model) -> None:
    found = seen(cnn, DIGITS.test, layers=(countable_layers(cnn)[0],))
    assert not found.representations.requires_grad and not found.logits.requires_grad


def test_several_consumers_get_the_same_batches(cnn: Model) -> None:
    first, second = list[Features](), list[Features]()
    sweep(cnn, DIGITS.test, [first.append, second.append], batch_size=7)
    assert len(first) > 1 and all(a is b for a, b in zip(first, second, strict=True))


def test_mixed_precision_is_close_and_gives_float32(cnn: Model) -> None:
    found: list[Features] = []
    sweep(cnn, DIGITS.test, [found.append], mixed_precision=True, batch_size=1000)
    exact = seen(cnn, DIGITS.test)
    assert found[0].representations.dtype == found[0].logits.dtype == torch.float32
    torch.testing.assert_close(found[0].representations, exact.representations, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_told(value: float) -> None:
    model = build_model("foretoll:cnn?width=4", data=DIGITS, seed=0)
    with torch.no_grad():
        model.head_module().weight[0, 0] = value  # type: ignore[union-attr,index,operator]
    with pytest.raises(
        DataError, match=r"activations are NaN or infinite \(first in batch 0 of 2\): check its weights"
    ):
        sweep(model, DIGITS.test, [], batch_size=len(DIGITS.test) - 1)


def test_an_empty_split_is_told(cnn: Model) -> None:
    with pytest.raises(DataError, match="the split is empty"):
        sweep(cnn, DIGITS.test.take(torch.arange(0)), [])


# --- re-estimated normalisation ----------------------------------------------------------------------


class Tiny(nn.Module):
    """A batch norm that sees the samples as they are, and a dropout that must stay off."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3, momentum=0.3)
        self.dropout = nn.Dropout(0.5)
        self.second = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(self.dropout(self.norm(x))))
        return logits


def tiny() -> Model:
    card = ModelCard(
        arch="test:tiny",
        family="other",
        num_classes=2,
        classes=("0", "1"),
        preprocessing=Preprocessing(kind="vector", size=(3,)),
        head="head",
        parameters=20,
        has_batch_norm=True,
    )
    return Model(Tiny(), card)


def samples(n: int = 64) -> ArraySplit:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=generator) * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor(
        [5.0, 0.0, -1.0]
    )
    return ArraySplit(x, torch.arange(n) % 2)


def test_statistics_are_those_of_the_samples() -> None:
    split, model = samples(), tiny()
    fresh = renormalised(model, split, batch_size=1000)
    assert fresh is not None
    x = split.all().inputs
    norm, second = fresh.network.norm, fresh.network.second  # type: ignore[union-attr]
    torch.testing.assert_close(norm.running_mean, x.mean(dim=0))  # type: ignore[union-attr]
    torch.testing.assert_close(norm.running_var, x.var(dim=0, correction=1))  # type: ignore[union-attr]
    y = (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(second.running_mean, y.mean(dim=0), atol=1e-5, rtol=0)  # type: ignore[union-attr]
    torch.testing.assert_close(second.running_var, y.var(dim=0, correction=1))  # type: ignore[union-attr]


def test_statistics_of_batches_are_averaged_alike() -> None:
    split, model = samples(), tiny()
    fresh = renormalised(model, split, batch_size=16)
    assert fresh is not None
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    batches = [split.all().inputs[rows] for rows in order.split(16)]
    norm = fresh.network.norm  # type: ignore[union-attr]
    mean = torch.stack([b.mean(dim=0) for b in batches]).mean(dim=0)
    var = torch.stack([b.var(dim=0, correction=1) for b in batches]).mean(dim=0)
    torch.testing.assert_close(norm.running_mean, mean)  # type: ignore[union-attr]
    torch.testing.assert_close(norm.running_var, var)  # type: ignore[union-attr]


def test_statistics_of_a_part_are_those_of_samples_that_the_ids_decide() -> None:
    split, model = samples(40), tiny()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    a, b = (renormalised(model, part, samples=16) for part in (split, split.take(order)))
    assert a is not None and b is not None
    chosen = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:16]
    norm, other = a.network.norm, b.network.norm  # type: ignore[union-attr]
    torch.testing.assert_close(norm.running_mean, split.all().inputs[chosen].mean(dim=0))  # type: ignore[union-attr]
    assert torch.equal(norm.running_mean, other.running_mean)  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_the_data_does_not_matter(seed: int) -> None:
    """Sorted by class, batches would hold one class each, and their variances would be too small."""
    split, model = samples(40), tiny()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    a, b = (renormalised(model, part, batch_size=8) for part in (split, split.take(order)))
    assert a is not None and b is not None
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


def test_the_original_keeps_its_statistics_modes_and_weights() -> None:
    model = tiny()
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = renormalised(model, samples())
    assert fresh is not None and fresh is not model
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training and model.network.norm.momentum == 0.3  # type: ignore[union-attr]
    assert not any(module.training for module in fresh.modules())
    assert fresh.network.norm.momentum == 0.3  # type: ignore[union-attr]
    changed = [n for n, value in fresh.state_dict().items() if not torch.equal(before[n], value)]
    assert changed and all(name.rpartition(".")[2].startswith(("running", "num_batches")) for name in changed)


def test_a_last_batch_of_one_sample_joins_no_statistic() -> None:
    fresh = renormalised(tiny(), samples(17), batch_size=16)
    assert fresh is not None and int(fresh.network.norm.num_batches_tracked) == 1  # type: ignore[union-attr,arg-type]


def test_without_batch_norm_there_is_nothing_to_estimate() -> None:
    assert renormalised(build_model("foretoll:mlp", data=DIGITS, seed=0), DIGITS.train) is None
    stateless = tiny()
    stateless.network.norm = nn.BatchNorm1d(3, track_running_stats=False)
    stateless.network.second = nn.Identity()
    assert renormalised(stateless, samples()) is None


def test_one_sample_has_no_variance() -> None:
    with pytest.raises(DataError, match="need two samples or more"):
        renormalised(tiny(), samples(1))
