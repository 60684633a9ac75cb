"""By what models are compared in a life, sample by sample: the targets a shadow fits, and the score of each answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from foretoll.errors import UsageError
from foretoll.indices.shadow import Lead, Shadow, lead
from foretoll.records import ModelCard, ServedMetric
from foretoll.records.served_metric import served_metric
from foretoll.tasks import TargetScale, Task, get_task, known_metric

Scores = npt.NDArray[np.float64] | npt.NDArray[np.bool_]
Targets = npt.NDArray[np.int64] | npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
WAY = "forecast each update with foretoll estimate or compare, on the newest data"


def check_scores(task: str, metric: str) -> None:
    """Raise UsageError where a life cannot compare models sample by sample: of this task, or by this metric."""
    of = get_task(task)
    if of.sample_metric(metric) is not None:
        return
    if of.places:
        raise UsageError(
            f"a life compares one answer a sample, and this model is of {of.title}, with an answer at each place: {WAY}"
        )
    known, can = known_metric(metric, task), [each.name for each in of.metrics if each.each is not None]
    title = metric if known is None else known.title
    if not can:
        raise UsageError(
            f"no metric of {of.title} is a mean over samples, which a life compares models by: {WAY}"
        )
    raise UsageError(
        f"a life compares models sample by sample, and {title} is no mean over samples: say --metric {' or '.join(can)}"
    )


@dataclass(frozen=True)
class Scoring:
    """How the answers of a model are scored: by its task, and a metric that is a mean over samples, or its root."""

    task: Task
    served: ServedMetric
    width: int
    targets: TargetScale | None = None

    @classmethod
    def of(cls, model: ModelCard, metric: str = "accuracy") -> Self:
        """Of a model, where `metric` is asked for (`Task.sample_metric`); UsageError where there is none."""
        check_scores(model.task, metric)
        task = get_task(model.task)
        found = task.sample_metric(metric)
        assert found is not None  # noqa: S101  (checked above)
        return cls(task, served_metric(found.name, task.name), model.num_classes, model.targets)

    def known(self, targets: Targets) -> Mask:
        """Which samples have a target, bool (n,)."""
        there: Mask = self.task.known(torch.from_numpy(targets)).numpy()
        return there

    def scores(self, outputs: npt.NDArray[np.float32], targets: Targets) -> Scores:
        """The score of each answer (n,): truth values where it is right or wrong; all targets are known."""
        each = self.served.metric.each
        assert each is not None  # noqa: S101  (by construction)
        found: Scores = each(torch.from_numpy(np.asarray(outputs)), torch.from_numpy(targets)).numpy()
        return found

    def value(self, scores: Scores) -> float:
        """The metric of these samples."""
        return self.served.metric.of_mean(float(scores.mean()))

    def no_worse(self, new: Scores, old: Scores) -> bool:
        """Whether new answers are at least as good as old ones to the same samples."""
        total = float(new.sum()), float(old.sum())
        return total[0] >= total[1] if self.served.metric.direction == "higher" else total[0] <= total[1]

    def design(self, targets: Targets) -> npt.NDArray[np.float64]:
        """What a shadow fits of these targets, (n, k); all are known."""
        found = self.task.design(torch.from_numpy(targets), self.targets).numpy()
        return np.pad(found, ((0, 0), (0, max(self.width - found.shape[1], 0))))

    def add(
        self, shadow: Shadow, name: str, representations: npt.NDArray[np.float32], targets: Targets
    ) -> None:
        """Add what is known of a labelled batch to a shadow."""
        there = self.known(targets)
        shadow.add(name, representations[there], self.design(targets[there]))

    def lead(
        self, shadow: Shadow, representations: npt.NDArray[np.float32], targets: Targets, served: Scores
    ) -> Lead | None:
        """The lead of a shadow on samples that it has not seen; None where there is no head yet."""
        if not shadow.ready:
            return None
        fitted = torch.from_numpy(shadow.fitted(representations))
        outputs = self.task.outputs(fitted, self.targets).numpy()
        return lead(self.scores(outputs, targets), served, self.served.metric)

    def last_label(self, targets: Targets) -> float | None:
        """The metric of the dummy that answers each sample with the last target seen before it in the batch.

        Targets in the order in which they were served, unknown ones among them. The first one has none before it and
        does not count. None of fewer than two, and where the order is none of time (`Task.in_groups`).
        """
        there = torch.from_numpy(targets[self.known(targets)])
        if len(there) < 2 or self.task.in_groups(there):
            return None
        said = self.task.outputs(self.task.design(there, self.targets), self.targets)
        return self.value(self.scores(said[:-1].numpy(), there[1:].numpy()))
