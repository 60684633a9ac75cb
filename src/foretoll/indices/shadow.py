"""The shadow: a linear head on the served model's frozen representations, refitted from sums and never served.

It is fitted on the labelled batches so far and tested on the next one, which it has not seen. By how much it beats
the served model there is the *lead*: what an update would win, measured without one. The head is ridge regression on
the task's targets as its probe fits them (`Task.design`: one-hot labels, standardised numbers; `_ridge.py`), from sums
that add up: any order, any batch size and any split into batches give the same head.

Defined in foretoll (docs/life.md); no paper to deviate from.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError, UsageError
from foretoll.indices._ridge import Floats, LinearHead, Sums, fit_head
from foretoll.tasks import Metric

WIDEST = 512  # wider representations are projected: sums of 4,096 channels would take 134 MB a batch
_SEED = 20250


class Lead(NamedTuple):
    """By how much the shadow beats the served model on one batch, in units of the metric (a share of right answers).

    Above 0 the shadow is better, whatever the metric's direction. `standard_error` is that of the paired difference,
    over the samples that have a label.
    """

    value: float
    standard_error: float
    shadow: float
    served: float
    samples: int


def lead(shadow_scores: npt.ArrayLike, served_scores: npt.ArrayLike, metric: Metric | None = None) -> Lead:
    """The lead from the scores of each sample, such as 1 for a right answer and 0 for a wrong one; both (n,).

    `metric`: of whose samples these are the scores (`Metric.each`), without it a share. Where its value is the root of
    the mean score, as an RMSE is, the error is linearised about both values. Raises DataError for no sample, other
    lengths, or scores that are not finite.
    """
    a, b = np.asarray(shadow_scores, dtype=np.float64), np.asarray(served_scores, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise DataError(
            f"the scores of shadow and served model have the shapes {a.shape} and {b.shape}: give one score a sample"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("a score is not finite: leave out samples that have none")
    n, means = len(a), (float(a.mean()), float(b.mean()))
    # one wrong answer more than was seen: a batch without a disagreement is no proof that there is none
    one = 1.0
    if metric is None or metric.share:
        difference, values, sign = a - b, means, 1.0
        value = float(difference.mean())
    else:
        values = metric.of_mean(means[0]), metric.of_mean(means[1])
        slopes = [0.5 / max(each, 1e-300) if metric.root else 1.0 for each in values]
        difference = slopes[0] * a - slopes[1] * b
        sign = 1.0 if metric.direction == "higher" else -1.0
        value, one = sign * (values[0] - values[1]), slopes[1] * means[1]
    spread = math.sqrt((float(((difference - difference.mean()) ** 2).sum()) + one**2) / n / n)
    return Lead(value, spread, *values, n)


class Shadow:
    """The shadow of one served model: sums of the last `window` labelled batches, and the head they give.

    `window` None keeps all batches in one sum; else each batch has its own, and the oldest falls out. A batch that
    was added is known by its name and adds nothing the second time.
    """

    def __init__(self, *, window: int | None = None) -> None:
        if window is not None and window < 1:
            raise UsageError(f"a window of {window} batches holds nothing: give at least 1, or none")
        self.window = window
        self.width: int | None = None
        self._ring: deque[tuple[str, Sums]] = deque()
        self._older: Sums | None = None  # of all batches, where there is no window
        self._known: set[str] = set()
        self._head: LinearHead | None = None

    @property
    def samples(self) -> int:
        """Labelled samples that the head rests on."""
        return sum(sums.n for _, sums in self._ring) + (self._older.n if self._older else 0)

    @property
    def batches(self) -> tuple[str, ...]:
        """Names of the batches in the window, oldest first."""
        return tuple(name for name, _ in self._ring)

    @property
    def known(self) -> frozenset[str]:
        """Names of all batches that were ever added."""
        return frozenset(self._known)

    def without(self, name: str) -> Shadow:
        """The same shadow as if a batch of the window had not been added; UsageError where there is no window."""
        if self.window is None:
            raise UsageError("a shadow without a window cannot forget a batch: its sums are one")
        other = type(self)(window=self.window)
        other.width, other._known = self.width, self._known - {name}
        other._ring.extend((batch, sums) for batch, sums in self._ring if batch != name)
        return other

    def add(self, name: str, representations: npt.ArrayLike, targets: npt.ArrayLike) -> None:
        """Add a labelled batch: representations (n, d), and what the head fits of each, (n, k).

        Raises DataError for other shapes or widths, and for values that are not finite.
        """
        if name in self._known:
            return
        x = self._projected(representations)
        y = np.asarray(targets, dtype=np.float64)
        if y.ndim != 2 or len(y) != len(x) or not y.shape[1]:
            raise DataError(
                f"the targets have the shape {y.shape}: give one row for each of {len(x)} samples"
            )
        if not np.isfinite(y).all():
            raise DataError("a target is not finite: leave samples out that have none")
        sums = Sums.of(x, y)
        self._known.add(name)
        if self.window is None:
            self._older = sums if self._older is None else self._older + sums
        else:
            self._ring.append((name, sums))
            while len(self._ring) > self.window:
                self._ring.popleft()
        self._head = None

    def merge(self, other: Shadow) -> None:
        """Take in the batches of another shadow of the same model; those known to both count once.

        Raises UsageError where one has a window and the other none: their sums do not say the same.
        """
        if (self.window is None) != (other.window is None):
            raise UsageError("a shadow with a window and one without cannot be merged: make both alike")
        if other.width is not None:
            self._check_width(other.width)
        if self.window is None:
            if self._known & other._known:
                raise UsageError(
                    "two shadows that share batches in their sums cannot be merged: merge disjoint ones"
                )
            parts = [part for part in (self._older, other._older) if part is not None]
            self._older = parts[0] if len(parts) == 1 else parts[0] + parts[1] if parts else None
        else:
            self._ring.extend((name, sums) for name, sums in other._ring if name not in self._known)
            while len(self._ring) > self.window:
                self._ring.popleft()
        self._known |= other._known
        self._head = None

    @property
    def ready(self) -> bool:
        """Whether there is a head: two samples at the least were added."""
        return self.samples >= 2

    def head(self) -> LinearHead:
        """The head of what was added (DataError before that)."""
        if self._head is None:
            parts = [sums for _, sums in self._ring] + ([self._older] if self._older else [])
            if not parts:
                raise DataError("the shadow has seen no labelled batch: add one first")
            total = parts[0]
            for part in parts[1:]:
                total = total + part
            self._head = fit_head(total)
        return self._head

    def fitted(self, representations: npt.ArrayLike) -> Floats:
        """What the head says of representations (n, d): (n, k), as targets were given."""
        return self.head().scores(self._projected(representations))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Plain arrays from which `from_state` makes the same shadow; for an .npz file without pickles."""
        parts = [*self._ring, *([("", self._older)] if self._older else [])]
        state: dict[str, npt.NDArray[Any]] = {
            "window": np.array(-1 if self.window is None else self.window),
            "width": np.array(-1 if self.width is None else self.width),
            "known": np.array(sorted(self._known), dtype=np.str_),
            "names": np.array([name for name, _ in parts], dtype=np.str_),
        }
        for number, (_, sums) in enumerate(parts):
            for field in ("n", "x", "y", "xx", "xy", "yy"):
                state[f"{number}.{field}"] = np.asarray(getattr(sums, field))
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The shadow of a state; DataError where it is none."""
        try:
            window, width = int(state["window"]), int(state["width"])
            shadow = cls(window=None if window < 0 else window)
            shadow.width = None if width < 0 else width
            shadow._known = {str(name) for name in state["known"]}
            for number, name in enumerate(state["names"]):
                x, y, xx, xy = (
                    np.asarray(state[f"{number}.{key}"], dtype=np.float64) for key in ("x", "y", "xx", "xy")
                )
                sums = Sums(int(state[f"{number}.n"]), x, y, xx, xy, float(state[f"{number}.yy"]))
                if xx.shape != (len(x), len(x)) or xy.shape != (len(x), len(y)):
                    raise ValueError("shapes")
                if shadow.window is None:
                    shadow._older = sums
                else:
                    shadow._ring.append((str(name), sums))
        except (KeyError, ValueError, TypeError, UsageError) as error:
            raise DataError(
                f"this is no state of a shadow ({error}): look at the labelled batches anew"
            ) from error
        return shadow

    def _check_width(self, width: int) -> None:
        if self.width is None:
            self.width = width
        elif self.width != width:
            raise DataError(
                f"the representations have {width} channels after {self.width}: use one model and embedding layer"
            )

    def _projected(self, representations: npt.ArrayLike) -> Floats:
        """The representations (n, d) in float64, in at most WIDEST channels."""
        x = np.asarray(representations, dtype=np.float64)
        if x.ndim != 2 or not x.shape[1]:
            raise DataError(f"the representations have the shape {x.shape}: give (samples, channels)")
        if not np.isfinite(x).all():
            raise DataError("the representations hold NaN or infinity: look for the layer that gives them")
        self._check_width(x.shape[1])
        return x @ _projection(x.shape[1]) if x.shape[1] > WIDEST else x


def _projection(width: int) -> Floats:
    """A random projection to WIDEST channels that depends on the width alone (Johnson and Lindenstrauss 1984)."""
    draw = np.random.default_rng([_SEED, width])
    return draw.standard_normal((width, WIDEST)) / math.sqrt(WIDEST)
