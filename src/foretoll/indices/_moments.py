"""Sums from which mean, covariance and its Ledoit-Wolf shrinkage follow: additive, so exactly mergeable.

Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004. Trusted
equivalent: sklearn.covariance.ledoit_wolf, which needs all samples at once; its fourth moment Σ‖x − x̄‖⁴ is here
expanded into Σ‖x‖⁴, Σ‖x‖² x and Σ x xᵀ, so that one pass in any order is enough.
"""

from __future__ import annotations

from copy import copy
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from foretoll.indices._accumulator import Accumulator

WIDE = 1024  # dimensions from which on the cube of the width is avoided where it can be


class Moments(NamedTuple):
    """Additive float64 sums over samples x of dimension d."""

    samples: Tensor  # ()
    total: Tensor  # (d,)    Σ x
    outer: Tensor  # (d, d)  Σ x xᵀ
    weighted: Tensor  # (d,) Σ ‖x‖² x
    quartic: Tensor  # ()    Σ ‖x‖⁴

    @staticmethod
    def shapes(dimension: int) -> dict[str, tuple[int, ...]]:
        """The shape of each sum."""
        d = dimension
        return {"samples": (), "total": (d,), "outer": (d, d), "weighted": (d,), "quartic": ()}


class Covariance(NamedTuple):
    """Mean (d,), covariance (d, d) and the share of it that was replaced by a multiple of the identity."""

    mean: Tensor
    matrix: Tensor
    shrinkage: float


def moments(x: Tensor) -> Moments:
    """The sums of `x`, shape (n, d), float64."""
    squared = x.square().sum(1)
    return Moments(
        samples=x.new_tensor(float(len(x))),
        total=x.sum(0),
        outer=x.T @ x,
        weighted=squared @ x,
        quartic=squared.square().sum(),
    )


def shifted(sums: Moments, step: Tensor) -> Moments:
    """The moments of x + step, step (d,), from those of x."""
    n, total, outer, weighted, quartic = sums
    length, along, squares = step @ step, step @ total, outer.trace()
    return Moments(
        samples=n,
        total=total + n * step,
        outer=outer + torch.outer(total, step) + torch.outer(step, total) + n * torch.outer(step, step),
        weighted=weighted
        + squares * step
        + 2 * outer @ step
        + 2 * along * step
        + length * (total + n * step),
        # ‖x + step‖² = ‖x‖² + 2 step·x + ‖step‖², squared and summed
        quartic=quartic
        + 4 * step @ outer @ step
        + n * length**2
        + 4 * step @ weighted
        + 2 * length * squares
        + 4 * length * along,
    )


def covariance(sums: Moments, *, shrink: bool, unbiased: bool = False) -> Covariance:
    """Mean and covariance, shrunk after Ledoit & Wolf where asked (then divided by n, as they do).

    Args:
        sums: the moments of n samples.
        shrink: whether to shrink.
        unbiased: without shrinkage, divide by n − 1 instead of n.
    """
    n = sums.samples
    mean = sums.total / n
    about_mean = shifted(sums, -mean)
    centred = (about_mean.outer + about_mean.outer.T) / 2
    if not shrink:
        return Covariance(mean, centred / (n - 1 if unbiased else n), 0.0)
    dimension = len(mean)
    empirical = centred / n
    scale = empirical.trace() / dimension
    square = empirical.square().sum()
    noise = (about_mean.quartic / n - square) / n
    spread = square - dimension * scale**2
    noise = torch.minimum(noise.clamp(min=0), spread)
    shrinkage = float(noise / spread) if float(noise) > 0 else 0.0
    shrunk = (1 - shrinkage) * empirical
    shrunk.diagonal().add_(shrinkage * scale)
    return Covariance(mean, shrunk, shrinkage)


def ledoit_wolf(centred: Tensor) -> tuple[float, float]:
    """Mean variance and shrinkage of centred samples (n, d), as `covariance` has them, from their (n, n) products.

    With fewer samples than dimensions no (d, d) matrix is needed.
    """
    n, dimension = centred.shape
    products = centred @ centred.T
    scale = products.trace() / (n * dimension)
    square = products.square().sum() / n**2
    noise = (products.diagonal().square().sum() / n - square) / n
    spread = square - dimension * scale**2
    noise = torch.minimum(noise.clamp(min=0), spread)
    return float(scale), float(noise / spread) if float(noise) > 0 else 0.0


def centred_covariance(x: Tensor, *, shrink: bool, unbiased: bool = False) -> Covariance:
    """`covariance` of samples at hand, centred first, which costs no digits to cancellation."""
    mean = x.mean(0)
    result = covariance(moments(x - mean), shrink=shrink, unbiased=unbiased)
    return result._replace(mean=mean)


class MomentAccumulator(Accumulator[Tensor]):
    """Base of scores of means and covariances: the moments of each of its `groups`, batch by batch.

    Samples are taken relative to a pivot, the mean of the first batch: raw sums of squares and fourth powers would
    lose their digits where the mean is large against the spread. Merging moves the other's sums to the own pivot.
    """

    groups: tuple[str, ...] = ("samples",)

    def __init__(self) -> None:
        super().__init__()
        self._pivot: Tensor | None = None

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        for group in self.groups:
            for name, shape in Moments.shapes(key[0]).items():
                self._add_zeros(f"{group}_{name}", shape, device, torch.float64)

    def _add(self, group: str, batch: Tensor) -> Tensor:
        """Add a batch (B, d), float64; returns it relative to the pivot."""
        self._size((batch.shape[1],), batch.device)
        if len(batch) == 0:
            return batch
        if self._pivot is None:
            self._pivot = batch.mean(0)
        batch = batch - self._pivot.to(batch.device)
        for name, value in moments(batch)._asdict().items():
            state = f"{group}_{name}"
            setattr(self, state, getattr(self, state) + self._at_home(value))
        return batch

    def _sums(self, group: str) -> Moments:
        """The moments of a group about the pivot, on the CPU."""
        return Moments(*(getattr(self, f"{group}_{name}").cpu() for name in Moments._fields))

    def _shift(self, step: Tensor) -> None:
        """Make the sums those of samples + step. Subclasses with more sums of samples extend it."""
        for group in self.groups:
            for name, value in shifted(self._sums(group), step)._asdict().items():
                setattr(self, f"{group}_{name}", self._at_home(value))

    def merge_state(self, other: Self) -> None:
        """Take in what another accumulator of the same kind and settings has seen."""
        self._check_kin(other)
        if other._pivot is None:
            super().merge_state(other)
            return
        pivot, theirs = self._pivot, other._pivot
        if (
            pivot is not None and theirs.shape == pivot.shape
        ):  # otherwise the base class says what does not fit
            other = copy(other)  # its sums are replaced, not changed
            other._shift((theirs.to(pivot.device) - pivot).cpu())
        super().merge_state(other)
        self._pivot = theirs if pivot is None else pivot
