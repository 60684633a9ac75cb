"""The peers' scores on bounded samples: one table from name to a function of what a sweep kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._moments import WIDE
from foretoll.indices._sample import Sample
from foretoll.indices.doc_atc import atc, doc, max_confidence, negative_entropy
from foretoll.indices.frechet import frechet, sliced_wasserstein
from foretoll.indices.gbc import gbc
from foretoll.indices.h_score import h_score
from foretoll.indices.label_free import resque_predicted, resque_transport
from foretoll.indices.leep import leep
from foretoll.indices.logme import logme
from foretoll.indices.mmd import mmd
from foretoll.indices.nce import nce
from foretoll.indices.separability import effective_rank, expected_calibration_error, knn_accuracy
from foretoll.indices.table import INDICES
from foretoll.tasks import TargetScale, Task, get_task

BOUND = 1000  # rows for scores whose cost grows with the square of the sample


@dataclass(frozen=True)
class SideSample:
    """A side's bounded sample: representations (n, d), logits (n, C), labels (n,) with −1 unknown, ids (n,).

    labels: groups that stand in for classes; numbers: targets (n, k) where they are no classes
    task, scale: of which task they are
    """

    representations: Tensor
    logits: Tensor
    labels: Tensor
    ids: Tensor
    numbers: Tensor | None = None
    task: Task = field(default_factory=lambda: get_task("classification"))
    scale: TargetScale | None = None

    @classmethod
    def of(cls, sample: Sample, task: str = "classification", scale: TargetScale | None = None) -> SideSample:
        """From a `BoundedSample` that was fed representations and logits."""
        tensors = {name: rows.double().cpu() for name, rows in sample.tensors.items()}
        labels = sample.labels.cpu()
        return cls(
            tensors["representations"],
            tensors["logits"],
            labels,
            sample.ids.cpu(),
            tensors.get("targets"),
            get_task(task),
            scale,
        )

    def take(self, rows: Tensor) -> SideSample:
        """The samples at these rows."""
        numbers = None if self.numbers is None else self.numbers[rows]
        return replace(
            self,
            representations=self.representations[rows],
            logits=self.logits[rows],
            labels=self.labels[rows],
            ids=self.ids[rows],
            numbers=numbers,
        )

    @property
    def targets(self) -> Tensor:
        """What is to be predicted, (n,) or (n, k)."""
        return self.labels if self.numbers is None else self.numbers

    @property
    def labelled(self) -> bool:
        """Whether the targets of all samples are known."""
        return (self.numbers is not None and not self.task.places) or bool((self.targets >= 0).all())

    @property
    def predicted(self) -> Tensor:
        """The group that the model's outputs say, (n,)."""
        return self.task.predicted_groups(self.logits, self.scale)

    @property
    def group_scores(self) -> Tensor:
        """Scores (n, groups) whose largest is the predicted group: the logits, where there is one a class."""
        if self.task.has_probabilities and self.logits.shape[1] > 1:
            return self.logits
        groups = len(self.task.group_names([""] * self.logits.shape[1], self.scale))
        return torch.nn.functional.one_hot(self.predicted, groups).double()

    @property
    def correct(self) -> Tensor:
        """Whether the model's prediction is right, (n,) bool."""
        return self.predicted == self.labels

    def few(self) -> Tensor:
        """At most `BOUND` representations, evenly spaced."""
        rows = torch.linspace(0, len(self.labels) - 1, min(BOUND, len(self.labels))).long()
        return self.representations[rows]

    def not_too_wide(self) -> Tensor:
        """The representations, no more than `few` where their width would make a matrix of it dear."""
        return self.few() if self.representations.shape[1] > WIDE else self.representations


# Of both sides, whatever the shift; no labels of the target.
BETWEEN: dict[str, Callable[[SideSample, SideSample], float]] = {
    "frechet": lambda s, t: frechet(s.not_too_wide(), t.not_too_wide()),
    "mmd": lambda s, t: mmd(s.few(), t.few()),
    "sliced_wasserstein": lambda s, t: sliced_wasserstein(s.representations, t.representations),
}

# Of both sides, for classes that stay the same; no labels of the target.
_SAME_CLASSES: dict[str, Callable[[SideSample, SideSample], float]] = {
    "doc": lambda s, t: doc(
        max_confidence(s.logits, from_logits=True),
        max_confidence(t.logits, from_logits=True),
        float(s.correct.double().mean()),
    ),
    "atc": lambda s, t: atc(
        negative_entropy(s.logits, from_logits=True), s.correct, negative_entropy(t.logits, from_logits=True)
    ),
    "resque_predicted": lambda s, t: resque_predicted(
        s.representations, s.labels, t.representations, t.group_scores
    ),
    "resque_transport": lambda s, t: resque_transport(s.representations, s.labels, t.representations),
}

# Of the target alone.
_UNLABELLED: dict[str, Callable[[SideSample], float]] = {
    "effective_rank": lambda t: effective_rank(t.representations, center=True),
}

# Of the target with its labels.
_LABELLED: dict[str, Callable[[SideSample], float]] = {
    "logme": lambda t: logme(t.representations, t.labels),
    "h_score": lambda t: h_score(t.representations, t.labels),
    "gbc": lambda t: gbc(t.representations, t.labels),
    "leep": lambda t: leep(t.logits.softmax(dim=1), t.labels),
    "nce": lambda t: nce(t.predicted, t.labels),
    "knn_accuracy": lambda t: knn_accuracy(t.representations, t.labels),
}


_OF_PROBABILITIES = frozenset({"doc", "atc", "leep"})


def of_labels(target: SideSample) -> dict[str, float]:
    """The scores of the target's own labels that a forecast may use and these data allow."""
    found: dict[str, float] = {}
    if not target.task.groups_are or not bool((target.labels >= 0).all()):
        return found
    for name, compute in _LABELLED.items():
        try:
            found[name] = compute(target)
        except DataError:
            continue
    return found


def scores(
    source: SideSample | None, target: SideSample, *, task_shift: bool, outputs_of: Task | None = None
) -> dict[str, float | None]:
    """All scores that these data allow; a score that its data do not allow (one class, say) is None.

    Without a source those of both sides are left out; `outputs_of` then says of which task the model's outputs are.
    Where the task has groups in place of classes, scores of classes take these; without groups they are left out, as
    are those of class probabilities where the outputs are none.
    """
    found: dict[str, float | None] = {}

    def attempt(name: str, compute: Callable[[], float]) -> None:
        try:
            found[name] = compute()
        except DataError:
            found[name] = None

    labelled = bool((target.labels >= 0).all()) and bool(target.task.groups_are)
    # of another task than the target the model's outputs still are what they were trained to be
    own = source.task if source is not None else outputs_of or target.task
    probabilities = own.has_probabilities
    between = {} if source is None else dict(BETWEEN)
    if source is not None and source.labelled and source.task.groups_are and not task_shift:
        between |= {n: f for n, f in _SAME_CLASSES.items() if probabilities or n not in _OF_PROBABILITIES}
    for name, both in between.items():
        attempt(name, lambda f=both: f(source, target))  # type: ignore[misc]  # bound at once
    for name, alone in _UNLABELLED.items():
        attempt(name, lambda f=alone: f(target))  # type: ignore[misc]
    if labelled:
        for name, alone in _LABELLED.items():
            if probabilities or name not in _OF_PROBABILITIES:
                attempt(name, lambda f=alone: f(target))  # type: ignore[misc]
        if not task_shift and probabilities:
            confidence = max_confidence(target.logits, from_logits=True)
            attempt("calibration_error", lambda: expected_calibration_error(confidence, target.correct))
    for name in INDICES.from_others():
        entry = INDICES[name]
        fits = entry.shift in ("both", "task" if task_shift else "distribution")
        if source is not None and entry.compute is not None and fits and (labelled or not entry.labels):
            try:
                found[name] = float(entry.compute(source, target))
            except Exception:  # noqa: BLE001  # another's code: its number is missing, and nothing else is lost
                found[name] = None
    return found
