"""What `--calibrate` may spend, read from text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foretoll.errors import UsageError, shown

_UNITS = (
    (1, ("s", "sec", "secs", "second", "seconds")),
    (60, ("m", "min", "mins", "minute", "minutes")),
    (3600, ("h", "hr", "hrs", "hour", "hours")),
)
_SECONDS = {name: seconds for seconds, names in _UNITS for name in names}


@dataclass(frozen=True)
class Budget:
    """What calibration may spend: a number of runs, or seconds, or both."""

    runs: int = 1000
    duration_s: float = float("inf")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read `6`, `6runs`, `90s`, `5min` (`5m`, `5 minutes`) or `1h`; UsageError otherwise."""
        found = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]*)\s*", text.lower(), re.ASCII)
        amount, unit = (float(found[1]), found[2] or "runs") if found else (0.0, "")
        if amount > 0 and unit in _SECONDS:
            return cls(duration_s=amount * _SECONDS[unit])
        if amount > 0 and unit in ("run", "runs") and amount == int(amount):
            return cls(runs=int(amount))
        raise UsageError(
            f"--calibrate {shown(text)} is no budget: say a number of runs (6runs) or a time (90s, 5min, 1h)"
        )
