"""The learning rates of a training, kept in bounded memory, and the schedule that they follow."""

from __future__ import annotations

import math
from collections.abc import Callable

MOST = 2048  # rates that are kept: of a longer training every second one, then every fourth, …
NEAR = 0.02  # of the peak: how far a rate may be from a schedule that has a name


class Rates:
    """Learning rates of one parameter group, step by step."""

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._every = 1
        self.steps = 0

    def append(self, lr: float) -> None:
        """The rate of the next step."""
        if self.steps % self._every == 0:
            self._kept.append(float(lr))
            if len(self._kept) > MOST:
                self._kept, self._every = self._kept[::2], 2 * self._every
        self.steps += 1

    @property
    def peak(self) -> float | None:
        """The highest rate; None where there was no step with a rate above 0."""
        return max(self._kept, default=0.0) or None

    @property
    def warmup(self) -> int:
        """Steps in which the rate rose before its peak."""
        peak = self.peak
        if peak is None:
            return 0
        first = next(i for i, lr in enumerate(self._kept) if lr >= peak * (1 - 1e-9))
        return first * self._every

    def schedule(self) -> str | None:
        """`constant`, `linear` or `cosine` (to 0 at the end), after warm-up; None where it is none of these.

        A training that ends before its schedule does is read off the part that was seen: the best fit over where the
        schedule might have ended.
        """
        peak = self.peak
        if peak is None:
            return "constant"
        falling = [lr / peak for lr in self._kept[self.warmup // self._every :]]
        if all(abs(share - 1) <= NEAR for share in falling):
            return "constant"
        # the end that the last rate speaks of, for either shape
        last, length = max(falling[-1], 0.0), max(len(falling) - 1, 1)
        for name, shape, inverse in _SHAPES:
            reach = inverse(min(last, 1.0))
            whole = length / reach if reach > 0 else math.inf
            if all(abs(shape(i / whole) - share) <= NEAR for i, share in enumerate(falling)):
                return name
        return None


def _linear(x: float) -> float:
    return 1 - x


def _cosine(x: float) -> float:
    return (1 + math.cos(math.pi * x)) / 2


_Shape = Callable[[float], float]
_SHAPES: tuple[tuple[str, _Shape, _Shape], ...] = (
    ("linear", _linear, _linear),
    ("cosine", _cosine, lambda share: math.acos(2 * share - 1) / math.pi),
)
