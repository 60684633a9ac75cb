"""Output mappings: from the logits of S source classes to those of T target classes.

D[s, t] is the number of target samples of class t whose source argmax is s, counted for all S × T, whatever labels
occur.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from foretoll.errors import UsageError
from foretoll.reprogram.base import OutputMapping


def greedy_assignment(counts: Tensor, per_class: int = 1) -> Tensor:
    """`per_class` source classes for each target class: (T, per_class) int64, each source class used once at most.

    Repeat: the largest D[s, t] (the first one in row order where equal), assign s to t, strike row s, and column t
    once it has `per_class` rows.
    """
    left = counts.detach().double().cpu().clone()
    targets = left.shape[1]
    chosen = torch.full((targets, per_class), -1, dtype=torch.int64)
    filled = [0] * targets
    for _ in range(targets * per_class):
        s, t = divmod(int(left.argmax()), targets)
        chosen[t, filled[t]] = s
        filled[t] += 1
        left[s] = -torch.inf
        if filled[t] == per_class:
            left[:, t] = -torch.inf
    return chosen.sort(dim=1).values


class Identity(OutputMapping):
    """Source class i is target class i. For as many classes on both sides."""

    name: ClassVar[str] = "identity"
    one_to_one: ClassVar[bool] = True

    def __init__(self, source_classes: int, num_classes: int) -> None:
        super().__init__(source_classes, num_classes)
        if source_classes != num_classes:
            raise UsageError(
                f"the mapping 'identity' needs as many source classes ({source_classes}) as target classes "
                f"({num_classes}); use 'bayesian', or 'linear'"
            )

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (B, S) as they are."""
        self.check_logits(logits)
        return logits


class _AssignmentMapping(OutputMapping):
    """Each target class has `per_class` source classes of its own; its logit is their mean."""

    one_to_one: ClassVar[bool] = True

    def _assign(self, per_class: int) -> None:
        if per_class < 1:
            raise UsageError(f"per_class is {per_class}; it must be at least 1")
        need = self.num_classes * per_class
        if self.source_classes < need:
            each = "one" if per_class == 1 else f"{per_class}"
            raise UsageError(
                f"the mapping {self.name!r} gives each of {self.num_classes} target classes {each} of the source's "
                f"own, but the source has only {self.source_classes}; use 'bayesian', 'bayesian_topk' or 'linear'"
            )
        self.register_buffer("assignment", torch.arange(need).view(self.num_classes, per_class))

    assignment: Tensor  # (T, per_class) int64

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (B, S) to (B, T)."""
        self.check_logits(logits)
        if self.assignment.shape[1] == 1:
            return logits[:, self.assignment[:, 0]]
        return logits[:, self.assignment].mean(2)


class Random(_AssignmentMapping):
    """Source classes drawn at random, one a target class, from `seed` alone (Elsayed et al., arXiv 1806.11146)."""

    name: ClassVar[str] = "random"

    def __init__(self, source_classes: int, num_classes: int, *, seed: int = 0) -> None:
        super().__init__(source_classes, num_classes, seed=seed)
        self._assign(1)
        generator = torch.Generator().manual_seed(seed)
        self.assignment = torch.randperm(source_classes, generator=generator)[:num_classes].unsqueeze(1)


class _CountMapping(OutputMapping):
    """Gathers D (S, T) as float64, so that counts are exact and the order of the batches does not matter."""

    observes: ClassVar[bool] = True

    def _count(self) -> None:
        shape = (self.source_classes, self.num_classes)
        self.register_buffer("counts", torch.zeros(shape, dtype=torch.float64), persistent=False)

    counts: Tensor

    def observe(self, source_logits: Tensor, labels: Tensor) -> None:
        """Count source logits (B, S) of samples with these labels (B,)."""
        labels = labels.to(self.counts.device)
        super().observe(source_logits, labels)
        with torch.no_grad():
            self._gather(source_logits.detach().to(self.counts.device), labels)

    def _gather(self, logits: Tensor, labels: Tensor) -> None:
        one = self.counts.new_ones(())
        self.counts.index_put_((logits.argmax(1), labels), one, accumulate=True)

    def update(self) -> None:
        """Fit to the counts since the last update; no counts change nothing."""
        if bool(self.counts.any()):
            self._fit(self.counts)
        self.forget()

    def forget(self) -> None:
        """Set the counts to zero."""
        self.counts.zero_()

    def _fit(self, counts: Tensor) -> None:
        raise NotImplementedError


class Frequent(_AssignmentMapping, _CountMapping):
    """Frequent label mapping: the greedy assignment on D (Tsai et al., BAR, arXiv 2007.08714; ILM-VP, 2211.11635).

    `per_class` m > 1: m source classes for each target class, whose logits are averaged. Before it is fitted,
    target class t has the source classes m·t … m·t + m − 1.
    """

    name: ClassVar[str] = "frequent"

    def __init__(self, source_classes: int, num_classes: int, *, per_class: int = 1) -> None:
        super().__init__(source_classes, num_classes, per_class=per_class)
        self._assign(per_class)
        self._count()

    def _fit(self, counts: Tensor) -> None:
        self.assignment = greedy_assignment(counts, self.assignment.shape[1]).to(self.assignment.device)


class Iterative(Frequent):
    """Frequent label mapping fitted anew each epoch (Chen et al., ILM-VP, arXiv 2211.11635).

    `fast`: to the logits that the epoch's own training steps gave (no pass more); otherwise to a pass of its own.
    """

    name: ClassVar[str] = "iterative"

    def __init__(
        self, source_classes: int, num_classes: int, *, per_class: int = 1, fast: bool = True
    ) -> None:
        super().__init__(source_classes, num_classes, per_class=per_class)
        self.options["fast"] = fast
        self.fast, self.each_epoch = fast, True


class Bayesian(_CountMapping):
    """Bayesian-guided label mapping (Cai et al., BLM, arXiv 2411.12355): logits @ W, W (S, T).

    W[s, t] = D[s, t] / (Σ_t D[s, t] + λ), λ = `smoothing`, then each column divided by its sum; a target class
    that no sample showed gets the mean of all source logits. Fitted anew each epoch to the epoch's own logits,
    unless `iterate` is false. Before it is fitted, target class t is source class t mod S. Counts of one source class
    alone would make all target logits equal, and every gradient zero: then the weights stay as they are.
    """

    name: ClassVar[str] = "bayesian"

    def __init__(
        self, source_classes: int, num_classes: int, *, smoothing: float = 1.0, iterate: bool = True
    ) -> None:
        super().__init__(source_classes, num_classes, smoothing=smoothing, iterate=iterate)
        if not smoothing >= 0:
            raise UsageError(f"smoothing is {smoothing}; it must be at least 0")
        self.smoothing, self.each_epoch = smoothing, iterate
        weight = torch.zeros(source_classes, num_classes)
        columns = torch.arange(num_classes)
        weight[columns % source_classes, columns] = 1.0
        self.register_buffer("weight", weight)
        self._count()

    weight: Tensor  # (S, T) float32, columns sum to 1

    def _fit(self, counts: Tensor) -> None:
        seen = counts.sum(1)
        if int((seen > 0).sum()) < 2 <= min(counts.shape):
            return
        rows = seen.unsqueeze(1) + self.smoothing
        share = torch.where(
            rows > 0, counts / rows, torch.zeros_like(counts)
        )  # λ = 0 and a source class unseen
        columns = share.sum(0, keepdim=True)
        even = torch.full_like(share, 1 / self.source_classes)
        self.weight = torch.where(columns > 0, share / columns, even).to(self.weight.dtype)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (B, S) to (B, T)."""
        self.check_logits(logits)
        return logits @ self.weight.to(logits.dtype)


class BayesianTopK(Bayesian):
    """BLM+ (Cai et al., arXiv 2411.12355): D gathers the probabilities of the k likeliest source classes.

    k = max(1, ⌊`share` · T⌋), and no more than S.
    """

    name: ClassVar[str] = "bayesian_topk"

    def __init__(
        self,
        source_classes: int,
        num_classes: int,
        *,
        smoothing: float = 1.0,
        iterate: bool = True,
        share: float = 0.15,
    ) -> None:
        super().__init__(source_classes, num_classes, smoothing=smoothing, iterate=iterate)
        if not 0 < share <= 1:
            raise UsageError(f"share is {share}; it must lie in (0, 1]")
        self.options["share"] = share
        self.k = min(max(1, int(share * num_classes + 1e-9)), source_classes)

    def _gather(self, logits: Tensor, labels: Tensor) -> None:
        mass, classes = logits.double().softmax(1).topk(self.k, dim=1)
        self.counts.index_put_((classes, labels.unsqueeze(1).expand_as(classes)), mass, accumulate=True)


class Linear(OutputMapping):
    """A linear layer from S to T logits, trained jointly with the program (Tsao et al., AutoVP, arXiv 2310.08381)."""

    name: ClassVar[str] = "linear"

    def __init__(self, source_classes: int, num_classes: int) -> None:
        super().__init__(source_classes, num_classes)
        self.layer = nn.Linear(source_classes, num_classes)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits (B, S) to (B, T)."""
        self.check_logits(logits)
        mapped: Tensor = self.layer(logits.to(self.layer.weight.dtype))
        return mapped
