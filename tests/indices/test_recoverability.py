"""The recoverability gap and its probe: invariances, agreement with scikit-learn, uncertainty, bad input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import ForetollError
from foretoll.indices import recoverability as module
from foretoll.indices.recoverability import (
    Recoverability,
    gap_value,
    linear_probe_accuracy,
    recoverability_gap,
)


def blobs(seed: int, n: int = 90, width: int = 8, classes: int = 3, noise: float = 1.5) -> Any:
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    centres = torch.randn(classes, width, generator=g, dtype=torch.float64)
    return centres[y] + noise * torch.randn(n, width, generator=g, dtype=torch.float64), y


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), width=st.sampled_from([4, 40, 200]), scale=st.floats(1e-5, 1e5))
def test_order_rotation_scale_shift_and_names_change_nothing(seed: int, width: int, scale: float) -> None:
    x, y = blobs(seed, width=width)
    ids = torch.arange(len(y))
    expected = linear_probe_accuracy(x, y, ids=ids)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    assert linear_probe_accuracy(x[order], y[order], ids=order) == expected
    assert linear_probe_accuracy(x[order], y[order]) == linear_probe_accuracy(x, y)
    rotation = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64)).Q
    moved = scale * (x @ rotation) + 2.0 * scale
    assert linear_probe_accuracy(moved, y, ids=ids).accuracy == pytest.approx(expected.accuracy, abs=1e-12)
    names = torch.tensor([9, 2, 5])
    assert linear_probe_accuracy(x, names[y], ids=ids) == expected


def test_space_of_channels_and_space_of_samples_give_the_same_scores() -> None:
    x, y = blobs(0, width=30)
    z = module._normalised(x)
    target = torch.nn.functional.one_hot(y).double()
    parts = [torch.arange(90) % 5 == f for f in range(5)]
    primal, dual = module._Primal(z, target, parts), module._Dual(z, target)
    for f in range(5):
        assert torch.allclose(primal(f, parts[f], 0.3), dual(f, parts[f], 0.3), atol=1e-9)


def test_the_probe_is_a_ridge_classifier_fitted_without_the_fold() -> None:
    from sklearn.linear_model import Ridge

    x, y = blobs(1, width=12)
    z = module._normalised(x)
    target = torch.nn.functional.one_hot(y).double()
    parts = [torch.arange(90) // 18 == f for f in range(5)]
    primal = module._Primal(z, target, parts)
    for f, held_out in enumerate(parts):
        ridge = Ridge(alpha=10.0).fit(z[~held_out].numpy(), target[~held_out].numpy())
        assert np.allclose(primal(f, held_out, 10.0).numpy(), ridge.predict(z[held_out].numpy()), atol=1e-9)


@pytest.mark.parametrize("width", [6, 300])
def test_lambda_has_the_smallest_leave_one_out_error(width: int) -> None:
    x, y = blobs(2, n=40, width=width, noise=3.0)
    z = module._normalised(x)
    target = torch.nn.functional.one_hot(y).double()
    errors = {}
    for ridge in module.LAMBDAS:
        error = 0.0
        for i in range(40):
            fit = torch.arange(40) != i
            a, b = z[fit] - z[fit].mean(0), target[fit] - target[fit].mean(0)
            weights = a.T @ torch.linalg.solve(a @ a.T + ridge * torch.eye(39, dtype=a.dtype), b)
            error += float(
                (target[i] - target[fit].mean(0) - (z[i] - z[fit].mean(0)) @ weights).square().sum()
            )
        errors[ridge] = error
    # the closed form keeps the centre of all rows; the errors are those of refitting to a per cent
    chosen = module._choose_lambda(z, target)
    assert errors[chosen] <= min(errors.values()) * 1.02


def test_noise_reads_at_chance_and_separated_classes_at_one() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.arange(1000) % 10
    hits = [linear_probe_accuracy(torch.randn(1000, 64, generator=g), y).accuracy for _ in range(5)]
    # 5,000 scored samples: sd 0.0042
    assert float(np.mean(hits)) == pytest.approx(0.1, abs=0.02)
    wide = [linear_probe_accuracy(torch.randn(60, 500, generator=g), y[:60] % 3).accuracy for _ in range(10)]
    assert float(np.mean(wide)) == pytest.approx(1 / 3, abs=0.08)
    x, y = blobs(0, noise=0.01)
    found = linear_probe_accuracy(x, y)
    assert found.accuracy == 1.0
    assert found.standard_error == 0.0


def test_the_standard_error_is_the_spread_over_fresh_samples() -> None:
    g = torch.Generator().manual_seed(1)
    centres = torch.randn(3, 6, generator=g, dtype=torch.float64)
    y = torch.arange(300) % 3
    found = [
        linear_probe_accuracy(centres[y] + 1.5 * torch.randn(300, 6, generator=g, dtype=torch.float64), y)
        for _ in range(40)
    ]
    spread = float(np.std([p.accuracy for p in found]))
    stated = float(np.mean([p.standard_error for p in found]))
    assert 0.75 < stated / spread < 1.6


def test_small_classes_single_samples_unknown_labels_and_constant_channels() -> None:
    g = torch.Generator().manual_seed(2)
    y = torch.cat([torch.arange(60) // 2, torch.tensor([77, 99]), torch.full((3,), -1)])  # 30 classes of two
    x = 8 * torch.randn(100, 50, generator=g, dtype=torch.float64)[y] + torch.randn(65, 50, generator=g)
    found = linear_probe_accuracy(x, y)
    assert found.left_out == (77, 99)
    assert found.samples == 60
    assert found.classes == 30
    assert found.accuracy > 0.8
    padded = torch.cat([x, torch.full((65, 4), 3.0)], 1)
    assert linear_probe_accuracy(padded, y, ids=torch.arange(65)).accuracy == pytest.approx(
        linear_probe_accuracy(x, y, ids=torch.arange(65)).accuracy, abs=0.02
    )


def test_gap_is_the_target_less_the_better_probe() -> None:
    x, y = blobs(3, n=200)
    noisy = x + 4.0 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gap = recoverability_gap(noisy, y, 0.9, renormalised=x)
    assert gap.renormalised is not None
    assert gap.renormalised.accuracy > gap.plain.accuracy
    assert gap.value == pytest.approx(0.9 - gap.renormalised.accuracy)
    assert gap.low <= gap.value <= gap.high
    assert gap.high - gap.low == pytest.approx(2 * 1.645 * gap.probe.standard_error, rel=1e-3)
    alone = recoverability_gap(noisy, y, 0.9)
    assert alone.renormalised is None
    assert alone.value == pytest.approx(0.9 - gap.plain.accuracy)
    assert alone.value > gap.value
    assert recoverability_gap(x, y, 0.9, renormalised=x).plain == recoverability_gap(x, y, 0.9).plain
    record = gap_value(gap)
    assert record.value == gap.value
    assert record.detail["linear_probe_accuracy"] == gap.plain.accuracy


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 9999), batch=st.integers(1, 60), cut=st.integers(1, 89), both=st.booleans())
def test_accumulator(seed: int, batch: int, cut: int, both: bool) -> None:
    x, y = blobs(seed)
    again = x.abs() if both else None
    expected = recoverability_gap(x, y, 0.8, renormalised=again, ids=torch.arange(90))
    order = torch.randperm(90, generator=torch.Generator().manual_seed(seed))
    left, right = Recoverability(0.8), Recoverability(0.8)
    for metric, rows in ((left, order[:cut]), (right, order[cut:])):
        for piece in rows.split(batch):
            metric.update(x[piece], y[piece], piece, renormalised=None if again is None else again[piece])
    left.merge_state(right)
    assert left.compute() == gap_value(expected)


X, Y = torch.arange(12.0).view(4, 3), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_probe_accuracy(X * math.nan, Y), "representations has NaN or infinite"),
        (lambda: linear_probe_accuracy(torch.ones(4, 3), Y), "is the same for all 4 samples"),
        (lambda: linear_probe_accuracy(X, Y * 0), "holds 1 known class, needed are 2"),
        (
            lambda: linear_probe_accuracy(X, torch.arange(4)),
            r"\(classes with two samples or more\) holds 0 known",
        ),
        (lambda: linear_probe_accuracy(X, Y * 0 - 1), "holds 0 known classes"),
        (lambda: linear_probe_accuracy(X, Y[:3]), r"labels has shape \(3,\)"),
        (lambda: linear_probe_accuracy(X, Y, folds=1), "folds is 1"),
        (lambda: recoverability_gap(X, Y, 95.0), "target_quality is 95.0"),
        (lambda: recoverability_gap(X, Y, 0.5, renormalised=X[:3]), r"labels has shape \(4,\) for 3 samples"),
        (lambda: Recoverability(1.5), "target_quality is 1.5"),
        (lambda: Recoverability(0.5).compute(), "no target sample was seen"),
        (lambda: Recoverability(0.5).merge_state(Recoverability(0.6)), "same settings"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ForetollError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
