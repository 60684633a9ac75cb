"""The mappings against their definitions, computed by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from foretoll.errors import DataError, ModelError, UsageError
from foretoll.reprogram import (
    MAPPINGS,
    Bayesian,
    BayesianTopK,
    Frequent,
    Iterative,
    ReprogrammedNetwork,
    greedy_assignment,
    make_mapping,
    make_program,
)

sizes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.integers(0, 10_000))


def samples(source: int, target: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, source, generator=random), torch.randint(0, target, (n,), generator=random)


def table(logits: Tensor, labels: Tensor, target: int) -> list[list[float]]:
    """D by its definition."""
    found = [[0.0] * target for _ in range(logits.shape[1])]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        found[row.index(max(row))][label] += 1
    return found


def greedy(counts: list[list[float]], per_class: int) -> list[list[int]]:
    """The greedy assignment by its definition, over lists."""
    rows = set(range(len(counts)))
    columns: dict[int, list[int]] = {t: [] for t in range(len(counts[0]))}
    while any(len(found) < per_class for found in columns.values()):
        open_columns = [t for t, found in columns.items() if len(found) < per_class]
        s, t = max(
            ((s, t) for s in sorted(rows) for t in open_columns),
            key=lambda at: (counts[at[0]][at[1]], -at[0], -at[1]),
        )
        columns[t].append(s)
        rows.remove(s)
    return [sorted(columns[t]) for t in range(len(counts[0]))]


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(1, 3), st.data())
def test_the_greedy_assignment(size: tuple[int, int, int, int], per_class: int, data: st.DataObject) -> None:
    source, target, n, seed = size
    source = max(source, target * per_class)
    logits, labels = samples(source, target, n, seed)
    counts = table(logits, labels, target)
    found = greedy_assignment(torch.tensor(counts), per_class)
    assert found.tolist() == greedy(counts, per_class)
    assert len(found.unique()) == found.numel()

    mapping = Frequent(source, target, per_class=per_class)
    cut = data.draw(st.integers(0, n))
    mapping.observe(logits[:cut], labels[:cut])
    mapping.observe(logits[cut:], labels[cut:])
    assert mapping.counts.tolist() == counts
    mapping.update()
    assert not mapping.counts.any()
    if n:
        assert torch.equal(mapping.assignment, found)
    mean = torch.stack([logits[:, row].mean(1) for row in mapping.assignment], 1)
    assert torch.allclose(mapping(logits), mean)


@settings(max_examples=60, deadline=None)
@given(sizes, st.floats(0, 5))
def test_the_bayesian_weights(size: tuple[int, int, int, int], smoothing: float) -> None:
    source, target, n, seed = size
    logits, labels = samples(source, target, n, seed)
    mapping = Bayesian(source, target, smoothing=smoothing)
    start = mapping.weight.clone()
    mapping.observe(logits, labels)
    mapping.update()
    counts = table(logits, labels, target)
    rows = sum(any(row) for row in counts)
    if not n or (rows == 1 and source > 1 and target > 1):  # one source class tells no target classes apart
        assert torch.equal(mapping.weight, start)
        return
    share = [[d / (sum(row) + smoothing) if d else 0.0 for d in row] for row in counts]
    for t in range(target):
        column = sum(row[t] for row in share)
        want = [row[t] / column if column else 1 / source for row in share]
        assert mapping.weight[:, t].tolist() == pytest.approx(want, abs=1e-6)
    assert torch.allclose(mapping(logits), logits @ mapping.weight)


@settings(max_examples=60, deadline=None)
@given(sizes, st.sampled_from([0.15, 0.5, 1.0]))
def test_the_soft_mass_of_the_likeliest(size: tuple[int, int, int, int], share: float) -> None:
    source, target, n, seed = size
    logits, labels = samples(source, target, n, seed)
    mapping = BayesianTopK(source, target, share=share)
    assert mapping.k == min(max(1, int(share * target + 1e-9)), source) >= 1
    mapping.observe(logits, labels)
    want = torch.zeros(source, target, dtype=torch.float64)
    for row, label in zip(logits.double(), labels.tolist(), strict=True):
        probabilities = (row - row.max()).exp() / (row - row.max()).exp().sum()
        for s in sorted(range(source), key=lambda s: -float(row[s]))[: mapping.k]:
            want[s, label] += probabilities[s]
    assert torch.allclose(mapping.counts, want)


def test_a_source_that_always_says_the_same_leaves_a_gradient() -> None:
    mapping, logits = Bayesian(4, 3), torch.randn(30, 4)
    logits[:, 2] += 100
    logits.requires_grad_()
    labels = torch.arange(30) % 3
    mapping.observe(logits, labels)
    mapping.update()
    F.cross_entropy(mapping(logits), labels).backward()
    assert logits.grad is not None and float(logits.grad.abs().max()) > 0


@pytest.mark.parametrize(("targets", "k"), [(1, 1), (2, 1), (6, 1), (13, 1), (14, 2), (20, 3), (100, 15)])
def test_k_is_never_zero(targets: int, k: int) -> None:
    assert BayesianTopK(1000, targets).k == k


@pytest.mark.parametrize("name", sorted(MAPPINGS))
@pytest.mark.parametrize(("source", "target"), [(10, 3), (3, 10), (4, 4), (1, 1), (2, 1), (1, 2)])
def test_any_class_counts_work_or_are_told_what_does(name: str, source: int, target: int) -> None:
    kind = MAPPINGS[name]
    if kind.one_to_one and (source < target or (name == "identity" and source != target)):
        with pytest.raises(UsageError, match=f"the mapping {name!r}.*(use|needs).*'bayesian'.*'linear'"):
            make_mapping(name, source, target)
        return
    mapping = make_mapping(name, source, target)
    logits, labels = (
        torch.randn(20, source),
        torch.zeros(20, dtype=torch.int64),
    )  # one class occurs, T are counted
    assert mapping(logits).shape == (20, target)
    mapping.observe(logits, labels)
    mapping.update()
    assert mapping(logits).shape == (20, target) and bool(torch.isfinite(mapping(logits)).all())
    other = mapping.for_classes(1 if kind.one_to_one and name != "identity" else target)
    assert other.name == name and other.options == mapping.options and other is not mapping
    assert mapping(logits[:0]).shape == (0, target)


@pytest.mark.parametrize("name", sorted(MAPPINGS))
def test_wrong_logits_or_labels_are_refused(name: str) -> None:
    mapping = make_mapping(name, 4, 4)
    with pytest.raises(ModelError, match=r"outputs of shape \(2, 5\), but the mapping takes \(batch, 4\)"):
        mapping(torch.randn(2, 5))
    for labels, message in (([0, 4], "0 … 3"), ([-1, 0], "0 … 3"), ([0], "one label a sample")):
        with pytest.raises(DataError, match=message):
            mapping.observe(torch.randn(2, 4), torch.tensor(labels))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bayes", {}, "unknown mapping 'bayes'"),
        ("bayesian", {"smoothing": -1.0}, "smoothing"),
        ("bayesian_topk", {"share": 0.0}, "share"),
        ("frequent", {"per_class": 0}, "per_class"),
        ("frequent", {"per_class": 4}, "gives each of 3 target classes 4"),
        ("linear", {"rank": 1}, "cannot be made of rank"),
    ],
)
def test_wrong_options_are_one_sentence(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_mapping(name, 9, 3, **options)
    with pytest.raises(UsageError, match="at least one class"):
        make_mapping("bayesian", 0, 3)


def test_random_comes_from_its_seed_alone() -> None:
    first, again, other = (make_mapping("random", 50, 10, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.assignment, again.assignment) and not torch.equal(
        first.assignment, other.assignment
    )
    assert len(first.assignment.unique()) == 10


def test_only_iterative_ones_are_fitted_each_epoch() -> None:
    each = {name for name in MAPPINGS if make_mapping(name, 4, 4).each_epoch}
    assert each == {"iterative", "bayesian", "bayesian_topk"}
    assert not Bayesian(4, 4, iterate=False).each_epoch
    assert Iterative(9, 3, per_class=2, fast=False).for_classes(2).options == {"per_class": 2, "fast": False}


@pytest.mark.parametrize("name", ["frequent", "iterative", "bayesian", "bayesian_topk"])
def test_a_fit_does_not_depend_on_the_batches(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(9, 3)
    images, labels = torch.rand(50, 3, 6, 6), torch.randint(0, 4, (50,))
    found = []
    for size in (1, 7, 50):
        wrapped = ReprogrammedNetwork(
            lambda x: x.mean((2, 3)) @ weight.T,
            make_program("full", channels=3, size=6),
            make_mapping(name, 9, 4),
            num_classes=4,
        )
        order = torch.randperm(50)
        cut = [(images[i], labels[i]) for i in order.split(size)]
        wrapped.train().fit_mapping(cut)
        wrapped.fit_mapping(cut)  # fitting twice does not count twice
        assert wrapped.training and wrapped.program.training
        found.append(wrapped.mapping.state_dict())
    for state in found[1:]:
        assert all(torch.allclose(state[key], found[0][key], rtol=1e-6) for key in state)


def test_a_mapping_that_is_not_fitted_makes_no_pass() -> None:
    for name in ("random", "linear"):
        wrapped = ReprogrammedNetwork(
            lambda x: x.flatten(1)[:, :9],
            make_program("full", channels=1, size=6),
            make_mapping(name, 9, 4),
            num_classes=4,
        )
        wrapped.fit_mapping([(torch.rand(5, 1, 6, 6), torch.zeros(5, dtype=torch.int64))])
        assert wrapped.queries == 0
