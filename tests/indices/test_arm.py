"""ARM: laws, agreement with scipy, accumulator over bounded samples, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from foretoll.errors import ForetollError
from foretoll.indices.arm import Arm, arm


def sides(seed: int, n: int = 50, m: int = 41) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    g = torch.Generator().manual_seed(seed)
    source = {k: torch.randn(n, w, generator=g, dtype=torch.float64) for k, w in (("a", 6), ("b", 11))}
    return source, {
        k: 0.4 + torch.randn(m, v.shape[1], generator=g, dtype=torch.float64) for k, v in source.items()
    }


def take(layers: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {k: v[rows] for k, v in layers.items()}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), mode=st.sampled_from(["corrected", "released"]))
def test_laws(seed: int, mode: Any) -> None:
    source, target = sides(seed)
    value = arm(source, target, mode=mode)
    assert value > 0.0
    assert arm(source, source, mode=mode) == 0.0
    shuffled = take(source, torch.randperm(50)), take(target, torch.randperm(41))
    assert arm(*shuffled, mode=mode) == pytest.approx(value, abs=1e-12)
    # a common scale is no shift: units are the source's own
    scaled = [{k: 8.0 * v for k, v in side.items()} for side in (source, target)]
    assert arm(*scaled, mode=mode) == pytest.approx(value, abs=1e-12)
    each = arm(source, target, mode=mode, per_layer=True)
    assert value == pytest.approx(float(np.mean(list(each.values()))), abs=1e-12)


def test_it_is_scipys_distance_of_the_binned_values() -> None:
    source, target = sides(3)
    bins = 20
    layers = []
    for name in source:
        found = []
        for a, b in zip(source[name].T.numpy(), target[name].T.numpy(), strict=True):
            edges = np.linspace(a.min(), a.max(), bins + 1)
            centres = (edges[1:] + edges[:-1]) / 2
            p = np.histogram(a, edges)[0]
            q = np.histogram(b.clip(a.min(), a.max()), edges)[0]
            found.append(wasserstein_distance(centres, centres, p, q) / a.std())
        layers.append(np.mean(found))
    assert arm(source, target, bins=bins) == pytest.approx(float(np.mean(layers)), abs=1e-12)


def test_a_move_of_all_activations_is_seen_in_standard_deviations() -> None:
    source, _ = sides(4, n=4000)
    moved = {k: v + 0.5 for k, v in source.items()}
    assert arm(source, moved) == pytest.approx(0.5, abs=0.02)
    assert arm(source, moved, mode="released") == pytest.approx(0.0, abs=1e-3)
    # channels that move in opposite directions do not cancel
    apart = {k: v + 0.5 * (-1.0) ** torch.arange(v.shape[1]) for k, v in source.items()}
    assert arm(source, apart) == pytest.approx(0.5, abs=0.02)


def test_constant_channels_and_layers() -> None:
    source, target = sides(5)
    source["a"][:, 0] = 3.0
    assert arm(source, source) == 0.0
    calm = arm(source, {**target, "a": target["a"].index_fill(1, torch.tensor([0]), 3.0)}, per_layer=True)[
        "a"
    ]
    awake = arm(source, target, per_layer=True)["a"]
    assert awake > calm
    source["b"][:] = 1.0
    assert set(arm(source, target, per_layer=True)) == {"a"}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 9999),
    batch=st.integers(1, 50),
    cut=st.integers(0, 50),
    capacity=st.sampled_from([20, 99]),
)
def test_accumulator(seed: int, batch: int, cut: int, capacity: int) -> None:
    source, target = sides(seed)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(seed))
    left, right, whole = (Arm(capacity=capacity) for _ in range(3))
    whole.update(source, torch.arange(50), side="source")
    whole.update(target, torch.arange(41), side="target")
    for metric, rows in ((left, order[:cut]), (right, order[cut:])):
        for piece in rows.split(batch) if len(rows) else []:
            metric.update(take(source, piece), piece, side="source")
    right.update(target, torch.arange(41), side="target")
    left.merge_state(right)
    found = left.compute()
    assert found == whole.compute()
    assert found.floor is not None
    if capacity == 99:
        assert found.value == pytest.approx(arm(source, target), abs=1e-10)
        assert found.samples == 41
        assert not found.note
    else:
        assert found.note == "from 20 of 41 samples"
    left.reset()
    with pytest.raises(ForetollError, match="no source sample was seen"):
        left.compute()


def test_the_stated_sampling_error_and_the_floor() -> None:
    g = torch.Generator().manual_seed(0)
    n = 900
    source, target = ({"a": torch.randn(n, 60, generator=g)} for _ in range(2))
    assert arm(source, target) == pytest.approx(1.8 / n**0.5, rel=0.15)
    metric = Arm()
    metric.update(source, torch.arange(n), side="source")
    metric.update(target, torch.arange(n), side="target")
    assert metric.compute().floor == pytest.approx(1.8 / (n / 2) ** 0.5, rel=0.15)


L = {"a": torch.arange(12.0).view(4, 3)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arm({}, {}), "no layers were given"),
        (lambda: arm(L, {"b": L["a"]}), "layer 'a' is on one side only"),
        (lambda: arm(L, {"a": L["a"][:, :2]}), "3 channels in the source and 2"),
        (lambda: arm({"a": L["a"] * math.nan}, L), "source layer 'a' has NaN or infinite"),
        (lambda: arm({"a": torch.ones(4, 3)}, L), "the same for all samples in every layer"),
        (lambda: arm(L, L, bins=0), "bins is 0"),
        (lambda: arm(L, L, mode="fixed"), "unknown mode 'fixed'"),  # type: ignore[call-overload]
        (lambda: Arm().update({}, torch.arange(4), side="source"), "no layers were given"),
        (lambda: Arm().update(L, torch.arange(3), side="source"), r"ids has shape \(3,\)"),
        (lambda: Arm().merge_state(Arm(bins=8)), "same settings"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ForetollError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
