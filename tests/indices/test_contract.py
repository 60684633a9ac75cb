"""Laws of every entry of the table of indices: what it needs, its zero, row order, bad input, one stream or many.

Each entry that names a pure function is called through `CALLS` with a `Case` that notes what is read of it: so the
table's `needs` and `labels` are compared with what the function really takes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foretoll.errors import ForetollError
from foretoll.indices import functional as f
from foretoll.indices.arm import Arm
from foretoll.indices.doc_atc import AverageThresholdedConfidence, DifferenceOfConfidences
from foretoll.indices.frechet import FrechetDistance
from foretoll.indices.gbc import GaussianBhattacharyya
from foretoll.indices.h_score import HScore
from foretoll.indices.leep import Leep
from foretoll.indices.nce import NegativeConditionalEntropy
from foretoll.indices.preindex import PreIndex
from foretoll.indices.recoverability import Recoverability
from foretoll.indices.resque import ResqueDistribution, ResqueTask
from foretoll.indices.table import INDICES, NEEDS

CLASSES = 3


@dataclass(frozen=True)
class Side:
    """Rows of one side: representations, labels, logits, and two layers."""

    x: Tensor
    y: Tensor
    logits: Tensor

    @property
    def layers(self) -> dict[str, Tensor]:
        return {"first": self.x[:, :5], "second": self.x[:, 3:].square()}

    def rows(self, order: Tensor) -> Side:
        return Side(self.x[order], self.y[order], self.logits[order])


@dataclass(frozen=True)
class Case:
    """What an index may look at; every reading is noted under the name that the table has for it."""

    source_side: Side
    target_side: Side
    clean_side: Side  # pairs of the target's rows
    read: set[str] = field(default_factory=set)

    @property
    def source(self) -> Side:
        self.read.add("source")
        return self.source_side

    @property
    def source_labels(self) -> Tensor:
        self.read.add("source labels")
        return self.source_side.y

    @property
    def target(self) -> Side:
        return self.target_side

    @property
    def labels(self) -> Tensor:
        self.read.add("target labels")
        return self.target_side.y

    @property
    def clean(self) -> Side:
        self.read.add("pairs")
        return self.clean_side

    @property
    def until(self) -> float:
        self.read.add("quality target")
        return 0.9

    @property
    def pilot(self) -> tuple[list[float], list[float]]:
        self.read.update(("training", "target labels"))
        return [0.25, 0.5, 0.75, 1.0], [0.5, 0.7, 0.78, 0.82]

    @property
    def earlier_costs(self) -> list[float]:
        self.read.add("earlier runs")
        return [0.5, 2.0]


def side(seed: int, n: int = 60, width: int = 8, shift: float = 0.0) -> Side:
    g = torch.Generator().manual_seed(seed)
    centres = 2.0 * torch.randn(
        CLASSES, width, generator=torch.Generator().manual_seed(99), dtype=torch.float64
    )
    y = torch.arange(n) % CLASSES
    x = (centres[y] + torch.randn(n, width, generator=g, dtype=torch.float64) + shift).abs()
    return Side(x, y, x[:, :CLASSES] - x[:, :CLASSES].mean(0))


def case() -> Case:
    return Case(side(0), side(1, n=45, shift=0.7), side(2, n=45))


def _correct(logits: Any, labels: Any) -> Tensor:
    return torch.as_tensor(logits.argmax(1) == labels)


def _doc(c: Case) -> float:
    source = f.max_confidence(c.source.logits, from_logits=True)
    accuracy = float(_correct(c.source.logits, c.source_labels).double().mean())
    return f.doc(source, f.max_confidence(c.target.logits, from_logits=True), accuracy)


def _atc(c: Case) -> float:
    scores = f.negative_entropy(c.source.logits, from_logits=True)
    correct = _correct(c.source.logits, c.source_labels)
    return f.atc(scores, correct, f.negative_entropy(c.target.logits, from_logits=True))


CALLS: dict[str, Callable[[Case], Any]] = {
    "recoverability_gap": lambda c: f.recoverability_gap(c.target.x, c.labels, c.until).value,
    "resque": lambda c: f.resque_distribution(c.source.x, c.source_labels, c.target.x, c.labels),
    "resque_predicted": lambda c: f.resque_predicted(
        c.source.x, c.source_labels, c.target.x, c.target.logits
    ),
    "resque_transport": lambda c: f.resque_transport(c.source.x, c.source_labels, c.target.x),
    "inv_ari": lambda c: f.resque_task(c.target.x, c.labels),
    "preindex": lambda c: f.preindex_distance(c.clean.layers, c.target.layers),
    "arm": lambda c: f.arm(c.source.layers, c.target.layers),
    "probe_accuracy": lambda c: f.linear_probe_accuracy(c.target.x, c.labels).accuracy,
    "logme": lambda c: f.logme(c.target.x, c.labels),
    "h_score": lambda c: f.h_score(c.target.x, c.labels),
    "gbc": lambda c: f.gbc(c.target.x, c.labels),
    "leep": lambda c: f.leep(c.target.logits.softmax(1), c.labels),
    "nce": lambda c: f.nce(c.target.logits.argmax(1), c.labels),
    "frechet": lambda c: f.frechet(c.source.x, c.target.x),
    "mmd": lambda c: f.mmd(c.source.x, c.target.x),
    "sliced_wasserstein": lambda c: f.sliced_wasserstein(c.source.x, c.target.x),
    "doc": _doc,
    "atc": _atc,
    "knn_accuracy": lambda c: f.knn_accuracy(c.target.x, c.labels),
    "effective_rank": lambda c: f.effective_rank(c.target.x),
    "cka": lambda c: f.linear_cka(c.clean.x, c.target.x),
    "calibration_error": lambda c: f.expected_calibration_error(
        f.max_confidence(c.target.logits, from_logits=True), _correct(c.target.logits, c.labels)
    ),
    "pilot_epochs": lambda c: f.pilot_forecast(*c.pilot, target=c.until, kind="accuracy").epochs,
    "mean_log_cost": lambda c: f.mean_log_cost(c.earlier_costs),
    "parameters_times_samples": lambda c: f.parameters_times_samples(1000, len(c.target.x)),
}
OF_ROWS = sorted(set(CALLS) - {"pilot_epochs", "mean_log_cost", "parameters_times_samples"})
OF_FEATURES = sorted(set(OF_ROWS) - {"leep", "nce", "doc", "atc", "calibration_error"})
OF_CLASSES = sorted(
    {"recoverability_gap", "inv_ari", "probe_accuracy", "logme", "h_score", "gbc", "knn_accuracy"}
)


def test_every_entry_with_a_function_is_tested_and_every_function_is_public() -> None:
    assert set(CALLS) == {entry.name for entry in INDICES.values() if entry.function}
    for entry in INDICES.values():
        assert not entry.function or entry.function in f.__all__, entry.name


def test_public_functions_are_sorted_there_and_known_to_the_table() -> None:
    assert f.__all__ == sorted(f.__all__)
    assert all(inspect.isfunction(getattr(f, name)) for name in f.__all__)
    # what an index is composed of, and parts of PreIndex's and RESQUE's reports, stand beside the indices
    parts = {
        "max_confidence",
        "negative_entropy",
        "preindex_inv_ari",
        "preindex_score",
        "resque_class_angles",
    }
    assert {entry.function for entry in INDICES.values() if entry.function} == set(f.__all__) - parts


@pytest.mark.parametrize("name", sorted(INDICES))
def test_an_entry_is_well_formed(name: str) -> None:
    entry = INDICES[name]
    assert entry.name == name
    assert set(entry.needs) <= set(NEEDS)
    assert not entry.stand_in or entry.labels
    assert all(entry.as_row().values())
    assert entry.sees[0].islower() and not entry.sees.endswith(".")


@pytest.mark.parametrize("name", sorted(CALLS))
def test_needs_are_what_the_function_reads(name: str) -> None:
    entry, c = INDICES[name], case()
    CALLS[name](c)
    assert c.read == {*entry.needs, *(["target labels"] if entry.labels else [])}


@pytest.mark.parametrize("name", sorted(CALLS))
def test_the_value_is_a_finite_float(name: str) -> None:
    value = CALLS[name](case())
    assert type(value) is float and math.isfinite(value)


@pytest.mark.parametrize("name", sorted(n for n, e in INDICES.items() if e.identical is not None))
def test_identical_inputs_give_the_documented_value(name: str) -> None:
    same = side(3)
    found = CALLS[name](Case(same, same, same))
    expected = INDICES[name].identical
    # RESQUE, PreIndex and ARM are exact; a Fréchet distance is the difference of large sums
    assert found == pytest.approx(expected, abs=1e-12 if name in {"frechet", "cka"} else 0.0)
    other = CALLS[name](case())
    assert abs(other - expected) > 1e-3, "the case would not tell a constant from the index"


@pytest.mark.parametrize("name", OF_ROWS)
def test_row_order_does_not_matter(name: str) -> None:
    c = case()
    g = torch.Generator().manual_seed(5)
    order, other = torch.randperm(60, generator=g), torch.randperm(45, generator=g)
    # pairs stay pairs: the clean rows follow the target's
    moved = Case(c.source_side.rows(order), c.target_side.rows(other), c.clean_side.rows(other))
    assert CALLS[name](moved) == pytest.approx(CALLS[name](c), abs=1e-9)


@pytest.mark.parametrize("name", OF_ROWS)
def test_numpy_and_torch_give_the_same(name: str) -> None:
    c = case()

    def as_numpy(part: Side) -> Any:
        return _NumpySide(part.x.numpy(), part.y.numpy(), part.logits.numpy())

    try:
        found = CALLS[name](Case(*(as_numpy(p) for p in (c.source_side, c.target_side, c.clean_side))))
    except TypeError as error:  # the case itself composes DoC, ATC, LEEP, NCE and ECE with tensor methods
        pytest.fail(f"{name} refused numpy: {error}")
    assert found == pytest.approx(CALLS[name](c), abs=1e-12)


@dataclass(frozen=True)
class _NumpySide:
    """The same side in numpy, with the few tensor methods that the calls use."""

    x: Any
    y: Any
    raw: Any

    @property
    def layers(self) -> dict[str, Any]:
        return {"first": self.x[:, :5], "second": self.x[:, 3:] ** 2}

    @property
    def logits(self) -> Any:
        return _Logits(self.raw)


class _Logits(np.ndarray[Any, Any]):
    """A numpy array whose softmax and argmax take torch's arguments."""

    def __new__(cls, values: Any) -> _Logits:
        return np.asarray(values).view(cls)

    def softmax(self, axis: int) -> Any:
        e = np.exp(np.asarray(self) - np.asarray(self).max(axis, keepdims=True))
        return e / e.sum(axis, keepdims=True)

    def argmax(self, axis: int) -> Any:  # type: ignore[override]  # the one form that is used
        return np.asarray(self).argmax(axis)


def _one_sentence(error: ForetollError) -> None:
    text = str(error)
    assert text and "\n" not in text
    assert ". " not in text and not text.endswith("."), text
    assert ":" in text, f"the way out is missing: {text}"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", OF_FEATURES)
def test_a_value_that_is_not_finite_is_refused_in_one_sentence(name: str, bad: float) -> None:
    c = case()
    x = c.target_side.x.clone()
    x[7, 4] = bad
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, target_side=replace(c.target_side, x=x)))
    _one_sentence(caught.value)


@pytest.mark.parametrize("name", ["resque_predicted", "leep", "doc", "atc", "calibration_error"])
def test_an_output_that_is_nan_is_refused_in_one_sentence(name: str) -> None:
    c = case()
    logits = c.target_side.logits.clone()
    logits[7, 1] = math.nan
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, target_side=replace(c.target_side, logits=logits)))
    _one_sentence(caught.value)


@pytest.mark.parametrize("name", sorted(n for n in OF_ROWS if INDICES[n].labels and n != "calibration_error"))
def test_labels_of_another_length_are_refused_in_one_sentence(name: str) -> None:
    c = case()
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, target_side=replace(c.target_side, y=c.target_side.y[:-1])))
    _one_sentence(caught.value)


@pytest.mark.parametrize("name", OF_CLASSES)
def test_one_class_is_refused_in_one_sentence(name: str) -> None:
    c = case()
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, target_side=replace(c.target_side, y=torch.zeros(45, dtype=torch.int64))))
    _one_sentence(caught.value)


@pytest.mark.parametrize(
    "name", sorted(set(OF_FEATURES) & {n for n, e in INDICES.items() if "source" in e.needs})
)
def test_other_widths_on_both_sides_are_refused_in_one_sentence(name: str) -> None:
    c = case()
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, source_side=side(0, width=6)))
    _one_sentence(caught.value)


@pytest.mark.parametrize("name", OF_ROWS)
def test_no_samples_are_refused_in_one_sentence(name: str) -> None:
    c = case()
    with pytest.raises(ForetollError) as caught:
        CALLS[name](replace(c, target_side=c.target_side.rows(torch.zeros(0, dtype=torch.int64))))
    _one_sentence(caught.value)


# --- accumulators: the pure function's value for any batch size, order and split ----------------------


@dataclass(frozen=True)
class Streaming:
    """How to make an accumulator and to feed it rows of a side; a side that it does not take is None."""

    make: Callable[[], Any]
    target: Callable[[Any, Case, Tensor], None]
    source: Callable[[Any, Case, Tensor], None] | None = None


def _feed_resque(which: str) -> Callable[[Any, Case, Tensor], None]:
    def feed(acc: Any, c: Case, rows: Tensor) -> None:
        part = getattr(c, f"{which}_side").rows(rows)
        acc.update(part.x, part.y, side=which, ids=rows)

    return feed


def _feed_arm(which: str) -> Callable[[Any, Case, Tensor], None]:
    def feed(acc: Any, c: Case, rows: Tensor) -> None:
        acc.update(getattr(c, f"{which}_side").rows(rows).layers, rows, side=which)

    return feed


def _feed_x(which: str) -> Callable[[Any, Case, Tensor], None]:
    return lambda acc, c, rows: acc.update(getattr(c, f"{which}_side").x[rows], side=which)


def _source_outputs(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.source_side.logits[rows], c.source_side.y[rows], side="source")


def _target_outputs(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.target_side.logits[rows], side="target")


def _labelled_x(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.target_side.x[rows], c.target_side.y[rows])


def _labelled_outputs(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.target_side.logits[rows], c.target_side.y[rows])


def _labelled_ids(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.target_side.x[rows], c.target_side.y[rows], rows)


def _pairs(acc: Any, c: Case, rows: Tensor) -> None:
    acc.update(c.clean_side.rows(rows).layers, c.target_side.rows(rows).layers, rows)


STREAMS: dict[str, Streaming] = {
    "recoverability_gap": Streaming(lambda: Recoverability(0.9), _labelled_ids),
    "resque": Streaming(lambda: ResqueDistribution(CLASSES), _feed_resque("target"), _feed_resque("source")),
    "inv_ari": Streaming(ResqueTask, _labelled_ids),
    "preindex": Streaming(PreIndex, _pairs),
    "arm": Streaming(Arm, _feed_arm("target"), _feed_arm("source")),
    "h_score": Streaming(lambda: HScore(CLASSES), _labelled_x),
    "gbc": Streaming(lambda: GaussianBhattacharyya(CLASSES), _labelled_x),
    "leep": Streaming(Leep, _labelled_outputs),
    "nce": Streaming(lambda: NegativeConditionalEntropy(CLASSES), _labelled_outputs),
    "frechet": Streaming(FrechetDistance, _feed_x("target"), _feed_x("source")),
    "doc": Streaming(DifferenceOfConfidences, _target_outputs, _source_outputs),
    "atc": Streaming(AverageThresholdedConfidence, _target_outputs, _source_outputs),
}
PURE: dict[str, Callable[[Case], float]] = {
    **CALLS,
    "gbc": lambda c: f.gbc(
        c.target.x, c.labels, dimensions=None
    ),  # the accumulator has no principal components
    "recoverability_gap": lambda c: (
        f.recoverability_gap(c.target.x, c.labels, c.until, ids=torch.arange(45)).value
    ),
}


def _stream(name: str, c: Case, size: int, order: torch.Generator | None = None, parts: int = 1) -> float:
    """The accumulator's value: batches of `size`, in a shuffled order, over `parts` that are merged."""
    how = STREAMS[name]
    accumulators = [how.make() for _ in range(parts)]
    turn = 0
    for feed, rows in ((how.source, len(c.source_side.x)), (how.target, len(c.target_side.x))):
        if feed is None:
            continue
        every = torch.arange(rows) if order is None else torch.randperm(rows, generator=order)
        for batch in every.split(size):
            feed(accumulators[turn % parts], c, batch)
            turn += 1
    first, *others = accumulators
    for other in others:
        first.merge_state(other)
    found = first.compute()
    return float(getattr(found, "value", found))


@pytest.mark.parametrize("name", sorted(STREAMS))
@pytest.mark.parametrize(
    ("size", "shuffled", "parts"), [(60, False, 1), (7, False, 1), (7, True, 1), (4, True, 3)]
)
def test_streams_give_the_pure_value(name: str, size: int, shuffled: bool, parts: int) -> None:
    c = case()
    order = torch.Generator().manual_seed(8) if shuffled else None
    # LEEP keeps its probabilities in float32
    tolerance = 1e-6 if name == "leep" else 1e-9
    assert _stream(name, c, size, order, parts) == pytest.approx(PURE[name](c), abs=tolerance)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_without_data_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ForetollError) as caught:
        STREAMS[name].make().compute()
    _one_sentence(caught.value)
