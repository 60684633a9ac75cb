"""What a look at fewer samples would have said: the same representations, read again from nested parts of the sample.

Probes, neighbours and scores of classes see less in fewer samples; what does not depend on their number (outputs,
gradients, distances between source and target) stays as the whole look has it. No pass over the data is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices._bootstrap import hash_ids
from foretoll.indices.recoverability import Probe, gap_of_probes
from foretoll.indices.resque_task import resque_task
from foretoll.indices.scores import SideSample, of_labels

Signals = dict[str, float | None]


@dataclass(frozen=True)
class WholeLook:
    """What a look kept of the target: with the model's own normalisation statistics, and with re-estimated ones.

    samples: how many were looked at. until: the target quality (progress); None where there is none. probe: fits the
    task's probe to a side.
    """

    plain: SideSample
    renormalised: SideSample | None
    samples: int
    until: float | None
    probe: Callable[[SideSample], Probe]
    starved: Callable[[SideSample, Probe], bool]

    def of_fewer(self, sizes: Sequence[int]) -> dict[int, Signals | None]:
        """The signals that change, by number of samples; of no fewer than were looked at none does.

        None where so few samples do not allow a probe.
        """
        found: dict[int, Signals | None] = {}
        for size in sorted(set(sizes)):
            if size >= self.samples:
                found[size] = {}
                continue
            try:
                found[size] = self._of(size / self.samples)
            except DataError:
                found[size] = None
        return found

    def _of(self, share: float) -> Signals | None:
        rows = nested_rows(self.plain.labels, self.plain.ids, share)
        part = self.plain.take(rows)
        probe = self.probe(part)
        again = None if self.renormalised is None else self._again(part.ids)
        if self.starved(part, probe if again is None or probe.accuracy > again.accuracy else again):
            return None
        signals: Signals = {"probe_accuracy": probe.accuracy, **of_labels(part)}
        if again is not None:
            signals["renormalised_probe_accuracy"] = again.accuracy
        if part.task.groups_are:
            signals["inv_ari"] = resque_task(part.representations, part.labels)
        if self.until is not None:
            signals["recoverability_gap"] = gap_of_probes(probe, again, self.until).value
        return signals

    def _again(self, ids: Tensor) -> Probe:
        """The probe of the same samples with re-estimated statistics."""
        assert self.renormalised is not None  # noqa: S101  (for the type checker)
        rows = torch.isin(self.renormalised.ids, ids).nonzero().squeeze(1)
        return self.probe(self.renormalised.take(rows))


def nested_rows(labels: Tensor, ids: Tensor, share: float) -> Tensor:
    """Rows (m,) of a share of the samples, stratified by label; those of a smaller share are among them.

    Labels (n,), ids (n,): which rows they are depends on neither their order nor their names.
    """
    keys = hash_ids(ids, 0)
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in torch.unique(labels):
        own = (labels == label).nonzero().squeeze(1)
        own = own[torch.argsort(keys[own])]
        place[own] = (torch.arange(len(own), dtype=torch.float64) + 0.5) / len(own)
    order = torch.argsort(keys)  # by which samples of several classes at one place are kept apart
    order = order[torch.argsort(place[order], stable=True)]
    return order[: max(round(share * len(labels)), 1)].sort().values
