"""Meters without hardware: none, and a replay of known joules or watts (for tests, and `watts:NUMBER`)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import MeasureError, read_small, shown
from foretoll.measure.basis import PartReport
from foretoll.measure.meter import Clock, EnergyMeter, Scope
from foretoll.records import EnergyComponent
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch


MOST_JOULES = 1e18
"""And watts: more than a year of all the power stations there are."""


class NoMeter(EnergyMeter):
    """Measures durations only; every energy is None."""

    tool = "none"

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        return {}

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        return []


class ReplayMeter(EnergyMeter):
    """Gives known energies back: exact arithmetic without hardware.

    Args:
        joules: phase → joules. A number is the whole phase, however often it is entered; a sequence gives one
            number per visit, in order. A phase that is not in the record raises MeasureError.
        watts: instead of `joules`, a constant power over the measured durations.
        by_user: the figure comes from the user (`watts:65`), not from a recording.
    """

    tool = "replay"
    scope: Scope = "machine"

    def __init__(
        self,
        joules: Mapping[str, float | Sequence[float]] | None = None,
        *,
        watts: float | None = None,
        by_user: bool = False,
        device: torch.device | str = "cpu",
        clock: Clock = time.perf_counter,
    ) -> None:
        super().__init__(device=device, clock=clock)
        if (joules is None) == (watts is None):
            raise MeasureError("a replay meter needs either joules per phase or a constant number of watts")
        numbers = [watts] if watts is not None else [n for v in (joules or {}).values() for n in _visits(v)]
        bad = [n for n in numbers if not isinstance(n, (int, float)) or not 0 <= n < MOST_JOULES]
        if bad:
            raise MeasureError(f"a replay meter cannot use {shown(bad[0], 40)}: give numbers of 0 or more")
        self._watts = watts
        self._by_user = by_user
        self._recorded = dict(joules or {})
        self._visited: dict[str, int] = {}
        self._sum = 0.0
        if by_user:
            self.tool = "user"

    @classmethod
    def from_file(cls, path: Path, *, device: torch.device | str = "cpu") -> ReplayMeter:
        """Read `{"joules": {"training": 120.0, "evaluation": [4.0, 4.1]}}` or `{"watts": 65}`."""
        where = f"the energy series {shown(path)}"
        try:
            content = json.loads(read_small(path))
        except (OSError, ValueError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
            raise MeasureError(
                f'cannot read {where} ({reason}): give a JSON file such as {{"watts": 65}}'
            ) from error
        shape = '{"joules": {"training": 120.0}} or {"watts": 65}'
        if not isinstance(content, dict) or len(content.keys() & {"joules", "watts"}) != 1:
            raise MeasureError(f"{where} must look like {shape}")
        joules, watts = content.get("joules"), content.get("watts")
        if joules is not None and not isinstance(joules, dict):
            raise MeasureError(f"{where} must map phases to joules, like {shape}")
        return cls(joules, watts=watts, device=device)

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        self._sum += duration_s * self._watts if self._watts is not None else self._next(phase)
        return {"machine": self._sum}

    def _next(self, phase: str) -> float:
        if phase not in self._recorded:
            known = ", ".join(sorted(self._recorded)) or "none"
            raise MeasureError(f"the replayed energy series has no phase {phase!r}: it has {known}")
        recorded, visit = self._recorded[phase], self._visited.get(phase, 0)
        self._visited[phase] = visit + 1
        if not isinstance(recorded, Sequence):
            return float(recorded) if visit == 0 else 0.0
        if visit >= len(recorded):
            raise MeasureError(
                f"the replayed energy series has {len(recorded)} values for phase {phase!r}: "
                "it needs one for each visit of the phase"
            )
        return float(recorded[visit])

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        total = joules.get("machine")
        return [
            PartReport(
                EnergyComponent(
                    name="machine",
                    method="set by the user" if self._by_user else "replay",
                    energy_kwh=None if total is None else kwh_from_joules(total),
                    watts=self._watts,
                    detail="constant power times duration" if self._watts is not None else "recorded joules",
                )
            )
        ]


def _visits(value: float | Sequence[float]) -> Sequence[float]:
    return value if isinstance(value, Sequence) else [value]
