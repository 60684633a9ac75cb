"""The times of a time column, as values that sort as times do."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.errors import DataError, shown


def moments(values: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """Values that sort as times do: numbers as numbers, texts as ISO 8601 times; never texts by their letters."""
    if values.dtype.kind in "iufM":
        bad = np.isnat(values) if values.dtype.kind == "M" else ~np.isfinite(values.astype(float))
        found = values
    else:
        texts = [str(value).strip() for value in values.tolist()]
        read = next((kind for kind in (float, _iso_time) if texts and _reads(kind, texts[0])), None)
        found = np.array([read(t) if read and _reads(read, t) else math.nan for t in texts])
        bad = ~np.isfinite(found)
    if bool(bad.any()):
        first = shown(str(values[int(np.argmax(bad))]), 40)
        raise DataError(
            f"{what} has {int(bad.sum()):,} rows without a time that can be read (such as {first}): give numbers, or "
            "times such as 2026-01-31T12:00"
        )
    return found


def _iso_time(text: str) -> float:
    """Seconds of an ISO 8601 time; UTC where it names no zone."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _reads(kind: Callable[[str], float], text: str) -> bool:
    try:
        return math.isfinite(kind(text))
    except (ValueError, OverflowError):
        return False
