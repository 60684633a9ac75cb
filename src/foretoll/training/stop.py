"""When a training ends: by its quality, its budget or its lack of progress, or by the first of several rules.

A rule is a function of what happened so far and of nothing else, so that it can be asked at any time and says the
same again. A rule of your own is a subclass of `StopRule` with `ends`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from foretoll.errors import UsageError
from foretoll.records import SHARES, EvalPoint, QualityScale

_ROUNDING = 1e-9  # without it 1.1 epochs of 10 steps would be 12 steps (1.1 × 10 is above 11 in floats)


class StopRule(ABC):
    """Says when a training ends. `goal` is the validation quality that it is meant to reach; None: it has none."""

    @property
    def goal(self) -> float | None:
        """The quality whose reaching is the aim."""
        return None

    def meets(self, quality: float) -> bool:
        """Whether a quality is what the training is meant to reach; True where it has no aim."""
        return self.goal is None or quality >= self.goal

    @abstractmethod
    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        """Whether to end now: after `step` optimisation steps, `epochs` epochs, with these evaluations so far."""

    def spent(self, step: int, epochs: float) -> bool:
        """Whether a budget is used up, whatever the evaluations say: the last one is then due."""
        return False

    def __or__(self, other: StopRule) -> StopRule:
        """The first of both."""
        return first_of(self, other)


def until(quality: float, *, scale: QualityScale | None = None) -> StopRule:
    """End when an evaluation first is as good as `quality`.

    `scale`: of its metric, which says whether higher or lower is better; None: a share in (0, 1], higher is better.
    """
    return _Until(quality, scale)


def epochs(count: float) -> StopRule:
    """End after `count` epochs, and after one step at the least."""
    return _Epochs(count)


def steps(count: int) -> StopRule:
    """End after `count` optimisation steps."""
    return _Steps(count)


def patience(evaluations: int, *, least: float = 0.0, scale: QualityScale | None = None) -> StopRule:
    """End when so many evaluations in a row were not better than the best before by more than `least`.

    `least` is in the metric's unit; `scale` as in `until`.
    """
    return _Patience(evaluations, least, scale)


def never() -> StopRule:
    """Do not end: whoever drives the training decides."""
    return _Never()


def first_of(*rules: StopRule) -> StopRule:
    """End when the first of the rules does."""
    flat = [inner for rule in rules for inner in (rule.rules if isinstance(rule, _First) else (rule,))]
    if not flat:
        raise UsageError("no stop rule was given: name one, for example epochs(20)")
    return flat[0] if len(flat) == 1 else _First(tuple(flat))


@dataclass(frozen=True)
class _Until(StopRule):
    quality: float
    scale: QualityScale | None = None

    def __post_init__(self) -> None:
        if self.scale is None and not 0 < self.quality <= 1:
            raise UsageError(f"until({self.quality:g}) is no quality: it lies above 0 and at most at 1")
        if not math.isfinite(self.quality):
            raise UsageError(f"until({self.quality:g}) is no quality: give a finite number")

    @property
    def goal(self) -> float | None:
        return self.quality

    def meets(self, quality: float) -> bool:
        return (self.scale or SHARES).meets(quality, self.quality)

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        return any(self.meets(point.quality) for point in curve)


@dataclass(frozen=True)
class _Epochs(StopRule):
    count: float

    def __post_init__(self) -> None:
        if not self.count > 0:
            raise UsageError(f"epochs({self.count:g}) trains nothing: give more than 0")

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        return self.spent(step, epochs)

    def spent(self, step: int, epochs: float) -> bool:
        return step > 0 and epochs >= self.count - _ROUNDING


@dataclass(frozen=True)
class _Steps(StopRule):
    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"steps({self.count}) trains nothing: give at least 1")

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        return self.spent(step, epochs)

    def spent(self, step: int, epochs: float) -> bool:
        return step >= self.count


@dataclass(frozen=True)
class _Patience(StopRule):
    evaluations: int
    least: float = 0.0
    scale: QualityScale | None = None

    def __post_init__(self) -> None:
        if self.evaluations < 1 or self.least < 0:
            raise UsageError(
                f"patience({self.evaluations}, least={self.least:g}): wait for at least 1 evaluation, and take least "
                "as 0 or more"
            )

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        sign = 1.0 if (self.scale or SHARES).higher_is_better else -1.0
        best, waited = -math.inf, 0
        for point in curve:
            quality = sign * point.quality
            if quality > best + self.least:
                best, waited = quality, 0
            else:
                waited += 1
            if waited >= self.evaluations:
                return True
        return False


@dataclass(frozen=True)
class _Never(StopRule):
    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        return False


@dataclass(frozen=True)
class _First(StopRule):
    rules: tuple[StopRule, ...]

    @property
    def goal(self) -> float | None:
        """The easiest of the rules' goals: the one that is met first."""
        goals = [rule for rule in self.rules if rule.goal is not None]
        others = [rule.goal for rule in goals]
        return next((r.goal for r in goals if all(r.meets(g) for g in others if g is not None)), None)

    def meets(self, quality: float) -> bool:
        goals = [rule for rule in self.rules if rule.goal is not None]
        return not goals or any(rule.meets(quality) for rule in goals)

    def ends(self, curve: Sequence[EvalPoint], step: int, epochs: float) -> bool:
        return any(rule.ends(curve, step, epochs) for rule in self.rules)

    def spent(self, step: int, epochs: float) -> bool:
        return any(rule.spent(step, epochs) for rule in self.rules)
