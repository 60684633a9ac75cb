"""PreIndex: laws, the four distances against plain formulas, accumulator, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from foretoll.errors import DataError, ForetollError
from foretoll.indices import _histogram as hist
from foretoll.indices.preindex import (
    DISTANCES,
    PreIndex,
    preindex_distance,
    preindex_inv_ari,
    preindex_score,
)

laws = settings(max_examples=25, deadline=None)


def pairs(seed: int, n: int = 30) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    g = torch.Generator().manual_seed(seed)
    clean = {f"l{i}": torch.rand(n, w, generator=g, dtype=torch.float64) for i, w in enumerate((5, 40, 17))}
    return clean, {
        k: v + 0.3 * torch.randn(v.shape, generator=g, dtype=torch.float64) for k, v in clean.items()
    }


def take(layers: dict[str, torch.Tensor], rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return {k: v[rows] for k, v in layers.items()}


def test_histograms_are_numpys() -> None:
    g = torch.Generator().manual_seed(0)
    for dtype in (torch.float32, torch.float64):
        x = torch.randn(200, 33, generator=g).to(dtype)
        x[0] = 2.5  # no range
        x[1] = (torch.arange(33) % 9).to(dtype)  # values on the edges
        for bins in (4, 8, 17):
            expected = np.stack([np.histogram(row, bins)[0] for row in x.numpy()])
            assert np.array_equal((hist.own_range_shares(x, bins) * 33).round().numpy(), expected)
    low, high = torch.full((200,), -1.0, dtype=torch.float64), torch.full((200,), 1.5, dtype=torch.float64)
    expected = np.stack([np.histogram(row.clip(-1, 1.5), 10, (-1, 1.5))[0] for row in x.numpy()])
    assert np.array_equal(hist.histograms(x, low, high, 10).numpy(), expected)


@pytest.mark.parametrize("distance", DISTANCES)
@laws
@given(seed=st.integers(0, 9999), bins=st.sampled_from([8, 64]))
def test_laws(distance: Any, seed: int, bins: int) -> None:
    clean, noisy = pairs(seed)
    for mode in ("corrected", "released"):
        value = preindex_distance(clean, noisy, distance=distance, bins=bins, mode=mode)
        assert preindex_distance(clean, clean, distance=distance, bins=bins, mode=mode) == 0.0
        order = torch.randperm(30)
        again = preindex_distance(
            take(clean, order), take(noisy, order), distance=distance, bins=bins, mode=mode
        )
        assert again == pytest.approx(value, abs=1e-12)
        each = preindex_distance(clean, noisy, distance=distance, bins=bins, mode=mode, per_layer=True)
        assert value == pytest.approx(float(np.mean(list(each.values()))), abs=1e-12)
    assert preindex_distance(clean, noisy, distance=distance, bins=bins) > 0.0
    # a common power of two moves no value across an edge
    both = [{k: 4.0 * v for k, v in side.items()} for side in (clean, noisy)]
    assert preindex_distance(*both, distance=distance, bins=bins) == pytest.approx(
        preindex_distance(clean, noisy, distance=distance, bins=bins), abs=1e-12
    )
    tripled = {k: 3.0 * v for k, v in clean.items()}
    assert preindex_distance(clean, tripled, distance=distance, bins=bins) > 0.01


def test_what_the_released_arithmetic_does_not_see_the_corrected_one_does() -> None:
    x = torch.tensor([[0.0, 0.1, 0.2, 1.5, 2.5, 8.0]], dtype=torch.float64)  # no value on an edge
    mirrored, moved = 8.0 - x, x + 8.0
    for shifted in (mirrored, moved):
        assert preindex_distance({"l": x}, {"l": shifted}, bins=8, mode="released") == 0.0
        assert preindex_distance({"l": x}, {"l": shifted}, bins=8) > 0.1


def test_corrected_distances_are_the_textbook_ones() -> None:
    clean, noisy = pairs(1)
    bins = 16
    expected: dict[str, list[float]] = {d: [] for d in DISTANCES}
    for name in clean:
        for a, b in zip(clean[name].numpy(), noisy[name].numpy(), strict=True):
            ends = (min(a.min(), b.min()), max(a.max(), b.max()))
            h, k = np.histogram(a, bins, ends)[0], np.histogram(b, bins, ends)[0]
            p, q = h / len(a), k / len(a)
            centres = (np.arange(bins) + 0.5) / bins
            expected["wasserstein"].append(wasserstein_distance(centres, centres, p, q))
            expected["bhattacharyya"].append(1 - np.sqrt(p * q).sum())
            m = (p + q) / 2
            terms = [
                np.where(s > 0, s * np.log(np.where(s > 0, s, 1) / np.where(m > 0, m, 1)), 0) for s in (p, q)
            ]
            expected["jensen_shannon"].append(0.5 * (terms[0].sum() + terms[1].sum()))
            p, q = (h + 0.5) / (len(a) + 0.5 * bins), (k + 0.5) / (len(a) + 0.5 * bins)
            expected["kl"].append(float((p * np.log(p / q)).sum()))
    for distance in DISTANCES:
        value = preindex_distance(clean, noisy, distance=distance, bins=bins)
        assert value == pytest.approx(
            float(np.mean(np.array(expected[distance]).reshape(3, -1).mean(1))), abs=1e-12
        )


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 9999),
    batch=st.integers(1, 30),
    cut=st.integers(0, 30),
    distance=st.sampled_from(DISTANCES),
    mode=st.sampled_from(["corrected", "released"]),
)
def test_accumulator_equals_the_function(seed: int, batch: int, cut: int, distance: Any, mode: Any) -> None:
    clean, noisy = pairs(seed)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    parts = [PreIndex(distance=distance, bins=16, mode=mode) for _ in range(3)]
    parts[0].update(clean, noisy, ids=torch.arange(30))
    for metric, rows in zip(parts[1:], (order[:cut], order[cut:]), strict=True):
        for piece in rows.split(batch) if len(rows) else []:
            metric.update(take(clean, piece), take(noisy, piece), ids=piece)
    parts[1].merge_state(parts[2])
    whole, merged = parts[0].compute(), parts[1].compute()
    expected = preindex_distance(clean, noisy, distance=distance, bins=16, mode=mode)
    for found in (whole, merged):
        assert found.value == pytest.approx(expected, abs=1e-10)
        assert found.samples == 30
        assert found.low is not None
        assert found.high is not None
        assert found.low <= expected <= found.high
    assert merged.high == pytest.approx(whole.high, abs=1e-10)
    each = preindex_distance(clean, noisy, distance=distance, bins=16, mode=mode, per_layer=True)
    assert merged.detail == pytest.approx(each, abs=1e-10)


def test_narrow_layers_are_left_out() -> None:
    clean, noisy = pairs(2)
    assert set(preindex_distance(clean, noisy, num_classes=5, per_layer=True)) == {"l1", "l2"}
    metric = PreIndex(num_classes=17)
    metric.update(clean, noisy)
    assert set(metric.compute().detail) == {"l1"}


def test_score() -> None:
    assert preindex_score(0.2, 0.6) == pytest.approx(0.8 / 1.8)
    assert preindex_score(0.2, 0.6, s=0.5, s_bar=0.1) == pytest.approx(0.8 / 1.4 - 0.1)
    assert preindex_score(0.0, 0.0) == 0.0


def test_inv_ari_from_own_and_from_the_sources_means() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    source = 5 * torch.eye(3)[y] + torch.randn(60, 3, generator=g)
    assert preindex_inv_ari(source, y) < 0.1
    assert preindex_inv_ari(source, y, source=source, source_labels=y) == preindex_inv_ari(source, y)
    noisy = source + 4 * torch.randn(60, 3, generator=g)
    assert preindex_inv_ari(noisy, y, source=source, source_labels=y) > preindex_inv_ari(source, y)


L = {"a": torch.arange(12.0).view(4, 3)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preindex_distance({}, {}), "no layers were given"),
        (lambda: preindex_distance(L, {"b": L["a"]}), "layer 'a' is on one side only"),
        (lambda: preindex_distance(L, {"a": L["a"][:3]}), "4 source and 3 target samples: needed are pairs"),
        (lambda: preindex_distance(L, {"a": L["a"][:, :2]}), "3 channels in the source and 2"),
        (lambda: preindex_distance(L, {"a": L["a"] * math.inf}), "target layer 'a' has NaN or infinite"),
        (lambda: preindex_distance(L, L, num_classes=3), "no layer is wider than the number of classes"),
        (lambda: preindex_distance(L, L, distance="wasserstien"), "did you mean 'wasserstein'"),  # type: ignore[call-overload]
        (lambda: preindex_distance(L, L, bins=1), "bins is 1"),
        (
            lambda: preindex_distance(L | {"b": L["a"][:2]}, L | {"b": L["a"][:2]}),
            "different numbers of samples",
        ),
        (lambda: preindex_inv_ari(L["a"], torch.arange(4) % 2, source=L["a"]), "without source_labels"),
        (lambda: preindex_score(0.0, 1.0, s=-1.0), "make the denominator 0"),
        (lambda: PreIndex().compute(), "has seen no data"),
        (lambda: PreIndex().merge_state(PreIndex(bins=8)), "same settings"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ForetollError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_other_layers_in_a_later_batch_are_refused() -> None:
    metric = PreIndex()
    metric.update(L, L)
    with pytest.raises(DataError, match="PreIndex was fed"):
        metric.update({"b": L["a"]}, {"b": L["a"]})
