"""RESQUE: laws of both forms, accumulators against the pure functions, and what bad input is told."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from foretoll.errors import DataError, ForetollError, UsageError
from foretoll.indices.resque import (
    ResqueDistribution,
    ResqueTask,
    resque_class_angles,
    resque_distribution,
    resque_task,
)

laws = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)


def case(seed: int, n: int = 60, classes: int = 4, width: int = 7) -> tuple[Any, Any, Any, Any]:
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(classes, width, generator=g, dtype=torch.float64)
    y, z = (torch.arange(n) % classes)[torch.randperm(n, generator=g)], torch.arange(n + 9) % classes
    x = centres[y] + 0.5 * torch.randn(n, width, generator=g, dtype=torch.float64)
    t = centres[z].roll(1, 1) + 0.5 * torch.randn(n + 9, width, generator=g, dtype=torch.float64)
    return x, y, t, z


def fed(parts: list[torch.Tensor], data: Any, side: Any, metric: ResqueDistribution, offset: int) -> None:
    for rows in parts:
        if len(rows):
            metric.update(data[0][rows], data[1][rows], side=side, ids=rows + offset)


@laws
@given(seed=seeds, scale=st.floats(1e-6, 1e6))
def test_laws_of_the_distribution_form(seed: int, scale: float) -> None:
    x, y, t, z = case(seed)
    value = resque_distribution(x, y, t, z)
    assert 0.0 < value <= 1.0
    assert resque_distribution(x, y, x.clone(), y) == 0.0
    assert resque_distribution(t, z, x, y) == pytest.approx(value, abs=1e-14)
    assert resque_distribution(x, y, scale * t, z) == pytest.approx(value, abs=1e-13)
    order = torch.randperm(len(x))
    assert resque_distribution(x[order], y[order], t, z) == pytest.approx(value, abs=1e-13)
    assert resque_distribution(x.numpy(), y.numpy(), t.numpy(), z.numpy()) == value
    # the plain formula
    angles = []
    for c in range(4):
        u, v = x[y == c].sum(0).numpy(), t[z == c].sum(0).numpy()
        angles.append(math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)) / math.pi)
    assert value == pytest.approx(float(np.mean(angles)), abs=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_no_overflow(scale: float) -> None:
    x, y, t, z = case(1)
    assert resque_distribution(x * scale / 1e3, y, t, z) == pytest.approx(
        resque_distribution(x, y, t, z), abs=1e-12
    )


def test_released_arithmetic_is_not_zero_for_identical_float32_data_and_refuses_a_missing_class() -> None:
    x, y, *_ = case(3)
    x = x.float()
    assert resque_distribution(x, y, x, y) == 0.0
    assert resque_distribution(x, y, x, y, mode="released") == pytest.approx(0.0, abs=3e-4)
    with pytest.raises(DataError, match="class 3 is missing on one side"):
        resque_distribution(x, y, x[y < 3], y[y < 3], mode="released")


def test_opposite_classes_are_at_one_and_orthogonal_ones_at_a_half() -> None:
    x = torch.eye(2).repeat(2, 1)
    y = torch.tensor([0, 1, 0, 1])
    assert resque_distribution(x, y, -x, y) == 1.0
    assert resque_distribution(x, y, x.flip(1), y) == pytest.approx(0.5, abs=1e-15)


def test_missing_and_zero_classes_are_reported_and_left_out() -> None:
    x, y, t, z = case(5)
    found = resque_class_angles(x, y, t[z != 1], z[z != 1])
    assert found.missing == (1,)
    assert set(found.angles) == {0, 2, 3}
    silent = x.clone()
    silent[y == 2] = 0.0
    found = resque_class_angles(silent, y, t, z)
    assert found.missing == (2,)
    unknown = y.clone()
    unknown[:5] = -1
    assert resque_distribution(x, unknown, t, z) == resque_distribution(x[5:], y[5:], t, z)


@laws
@given(seed=seeds, batch=st.integers(1, 70), cut=st.integers(0, 60))
def test_accumulator_equals_the_function_for_any_batches_order_and_split(
    seed: int, batch: int, cut: int
) -> None:
    x, y, t, z = case(seed)
    expected = resque_distribution(x, y, t, z)
    g = torch.Generator().manual_seed(seed)
    whole = ResqueDistribution(4)
    fed([torch.arange(len(x))], (x, y), "source", whole, 0)
    fed([torch.arange(len(t))], (t, z), "target", whole, 1000)
    order, other = torch.randperm(len(x), generator=g), torch.randperm(len(t), generator=g)
    left, right = ResqueDistribution(4), ResqueDistribution(4)
    fed(list(order[:cut].split(batch)), (x, y), "source", left, 0)
    fed(list(order[cut:].split(batch)), (x, y), "source", right, 0)
    fed(list(other.split(batch)), (t, z), "target", right, 1000)
    left.merge_state(right)
    a, b = whole.compute(), left.compute()
    assert a.value == pytest.approx(expected, abs=1e-10)
    for one, two in ((a.value, b.value), (a.low, b.low), (a.high, b.high), (a.floor, b.floor)):
        assert one == pytest.approx(two, abs=1e-10)
    assert a.low is not None
    assert a.high is not None
    assert a.low <= expected <= a.high
    expected_angles = {str(c): angle for c, angle in resque_class_angles(x, y, t, z).angles.items()}
    assert b.detail == pytest.approx(expected_angles, abs=1e-10)
    assert b.samples == len(t)


def test_accumulator_without_ids_reset_and_pickle() -> None:
    x, y, t, z = case(8)
    metric = ResqueDistribution(4)
    for rows in torch.arange(len(x)).split(13):
        metric.update(x[rows], y[rows], side="source")
    metric.update(t, z, side="target")
    other = ResqueDistribution(4)
    other.update(t.flip(0), z.flip(0), side="target")
    other.update(x, y, side="source")
    assert metric.compute().high == pytest.approx(other.compute().high, abs=1e-12)
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()
    metric.reset()
    metric.update(x, y, side="source")
    metric.update(x, y, side="target")
    same = metric.compute()
    assert same.value == same.low == same.high == 0.0


def test_the_floor_is_what_no_shift_looks_like_and_the_interval_covers() -> None:
    g = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    centres = torch.randn(4, 32, generator=g) + 1
    moved = centres + 0.3 * torch.randn(4, 32, generator=g)
    truth = resque_distribution(centres, torch.arange(4), moved, torch.arange(4))
    covered, unshifted = 0, []
    for _ in range(20):
        source, target, again = (
            c[y] + 2 * torch.randn(400, 32, generator=g) for c in (centres, moved, centres)
        )
        metric = ResqueDistribution(4)
        metric.update(source, y, side="source", ids=torch.arange(400))
        metric.update(target, y, side="target", ids=torch.arange(400) + 400)
        found = metric.compute()
        assert found.low is not None
        assert found.high is not None
        assert found.floor is not None
        covered += found.low <= truth <= found.high
        # the floor compares 200 with 200 samples: √2 the angle of 400 with 400
        unshifted.append(resque_distribution(source, y, again, y) * 2**0.5 / found.floor)
    assert covered >= 16
    assert float(np.mean(unshifted)) == pytest.approx(1.0, abs=0.1)


@laws
@given(seed=seeds)
def test_laws_of_the_task_form(seed: int) -> None:
    x, y, *_ = case(seed)
    value = resque_task(x, y)
    assert -1e-12 <= value <= 1.5
    g = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=g)
    assert resque_task(x[order], y[order]) == pytest.approx(value, abs=1e-10)
    plus = resque_task(x, y, init="k-means++")
    assert resque_task(x[order], y[order], init="k-means++") == pytest.approx(plus, abs=1e-12)
    names = torch.tensor([7, 3, 11, 0])
    assert resque_task(x, names[y]) == pytest.approx(value, abs=1e-10)
    centres = np.stack([x[y == c].mean(0).numpy() for c in range(4)])
    clusters = KMeans(4, init=centres, n_init=1).fit_predict(x.numpy())
    assert value == pytest.approx(1 - adjusted_rand_score(y.numpy(), clusters), abs=1e-10)


@settings(max_examples=8, deadline=None)
@given(seed=seeds, batch=st.integers(1, 60), cut=st.integers(1, 59))
def test_task_accumulator(seed: int, batch: int, cut: int) -> None:
    x, y, *_ = case(seed)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    left, right = ResqueTask(), ResqueTask()
    for metric, rows in ((left, order[:cut]), (right, order[cut:])):
        for part in rows.split(batch):
            metric.update(x[part], y[part], part)
    left.merge_state(right)
    found = left.compute()
    assert found.value == pytest.approx(resque_task(x, y), abs=1e-10)
    assert found.samples == len(x)


def test_separated_clusters_are_at_zero_and_maps_are_pooled() -> None:
    y = torch.arange(30) % 3
    x = 10.0 * torch.eye(3)[y] + torch.linspace(0, 0.1, 30)[:, None]
    assert resque_task(x, y) == 0.0
    assert resque_task(x, y, init="k-means++") == 0.0
    maps = x[:, :, None, None] + torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert resque_task(maps, y) == 0.0
    assert resque_task(maps, y, pooling="flatten") == 0.0


X, Y = torch.arange(12.0).view(4, 3), torch.tensor([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: resque_distribution(X * math.nan, Y, X, Y),
            "source has NaN or infinite values in 4 of 4 rows",
        ),
        (
            lambda: resque_distribution(X, Y, X.index_fill(0, Y[:1], math.inf), Y),
            "target has NaN or infinite",
        ),
        (lambda: resque_distribution(torch.ones(4, 3), Y, X, Y), "source is the same for all 4 samples"),
        (lambda: resque_distribution(X, Y[:3], X, Y), r"source_labels has shape \(3,\) for 4 samples"),
        (lambda: resque_distribution(X, Y, X[:, :2], Y), "source has 3 channels and target 2"),
        (lambda: resque_distribution(X, Y, X, Y + 2), "no class in common"),
        (lambda: resque_distribution(X, Y - 2, X, Y), "source_labels holds -2"),
        (lambda: resque_distribution(X, Y * 0 - 1, X, Y), "source_labels holds 0 known classes"),
        (lambda: resque_distribution(X, Y + 0.5, X, Y), "no class indices"),
        (lambda: resque_distribution(X[0], Y, X, Y), r"source has shape \(3,\)"),
        (lambda: resque_distribution(X[:0], Y[:0], X, Y), r"source has shape \(0, 3\)"),
        (lambda: resque_distribution(X - X.mean(0), Y * 0, X, Y * 0), "sum to zero"),
        (lambda: resque_distribution(X, Y, X, Y, mode="release"), "did you mean 'released'"),  # type: ignore[arg-type]
        (lambda: resque_distribution(np.array([["a"]]), Y, X, Y), "holds no numbers"),
        (lambda: resque_task(X, Y * 0), "holds 1 known class, needed are 2"),
        (lambda: resque_task(torch.ones(4, 3), Y), "is the same for all 4 samples"),
        (lambda: resque_task(X, Y, init="random"), "unknown init 'random'"),  # type: ignore[arg-type]
        (lambda: ResqueDistribution(0), "num_classes is 0"),
        (lambda: ResqueDistribution(2).compute(), "has seen no data"),
        (lambda: ResqueDistribution(1).update(X, Y, side="source"), "labels hold 1, but there are 1 classes"),
        (lambda: ResqueDistribution(2).update(X, Y, side="left"), "unknown side 'left'"),  # type: ignore[arg-type]
        (lambda: ResqueDistribution(2).merge_state(ResqueDistribution(3)), "same settings"),
        (lambda: ResqueDistribution(2).merge_state(ResqueTask()), "accumulators of one kind"),
        (lambda: ResqueTask().compute(), "no target sample was seen"),
    ],
)
def test_bad_input_is_told_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ForetollError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_accumulator_tells_of_one_side_other_widths_and_constant_sides() -> None:
    metric = ResqueDistribution(2)
    metric.update(X, Y, side="source")
    with pytest.raises(DataError, match="no labelled target sample"):
        metric.compute()
    with pytest.raises(DataError, match="ResqueDistribution was fed"):
        metric.update(X[:, :2], Y, side="target")
    for row in range(3):
        metric.update(torch.ones(1, 3), Y[row : row + 1], side="target")
    with pytest.raises(DataError, match="target is the same for all 3 samples"):
        metric.compute()
    with pytest.raises(UsageError, match="same settings"):
        metric.merge_state(ResqueDistribution(2, seed=1))
