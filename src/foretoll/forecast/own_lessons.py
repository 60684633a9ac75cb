"""The lessons of the user's own runs: all of few, of many a sample that does not grow with them.

Of more than `EVERY` runs a fit takes the `RECENT` newest and `SPREAD` of all: those with the smallest place, which is
a number from 0 to 1 drawn by the run's id, times how many equal runs there were when it ended, itself included. So of n
equal runs (same data, shift, option, family, task) about log n are taken, and runs of a kind that is rare stay
(priority sampling: Duffield, Lund and Thorup 2007). The fit is made anew when there are a tenth more runs; until then,
and for every model that is asked about, the newest runs of that model move its forecast by what they were off by.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from foretoll.forecast.case import Case
from foretoll.forecast.lesson_columns import Lessons

EVERY = 300
RECENT = 250
SPREAD = 750
OF_MODEL = 200  # newest runs of the model that is asked about
GROWTH = 1.1


@dataclass(frozen=True)
class OwnLessons:
    """What a ledger's runs teach, newest first.

    of_model: the newest lessons of a case's own model, where `lessons` is a sample; None where it has all.
    """

    lessons: Lessons = field(default_factory=lambda: Lessons.of(()))
    of_model: Callable[[Case], Lessons] | None = None


def drawn(run_id: str) -> float:
    """A number above 0, up to 1, that follows from a run's id."""
    bits = int.from_bytes(hashlib.sha256(run_id.encode("utf-8", "backslashreplace")).digest()[:6], "big")
    return (bits + 1) / 2.0**48


def milestone(count: int) -> int:
    """How many runs, in the order in which they came, a fit of `count` runs rests on."""
    if count <= EVERY:
        return count
    steps = math.floor(math.log(count / EVERY) / math.log(GROWTH) + 1e-9)
    return min(math.floor(EVERY * GROWTH**steps), count)
