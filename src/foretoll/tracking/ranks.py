"""One run of several processes: that of rank 0, with the energy of all of them.

Each rank leaves what it measured in the process group's own key-value store, so that none waits for another (a
collective would hang where one has died) and only rank 0 waits, for a bounded time.
"""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from foretoll.measure import EnergyReading
from foretoll.process import this_process
from foretoll.records import EnergyBasis, PhaseCost


def _wait_s() -> float:
    """For how long ranks that are still evaluating are waited for; what is no number says nothing."""
    try:
        return float(os.environ["FORETOLL_RANKS_WAIT_S"])
    except (KeyError, ValueError):
        return 60.0


WAIT_S = _wait_s()
_numbers = itertools.count()  # of the tracked runs of this process: every rank begins them in the same order


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    count: int = 1
    number: int = 0

    @classmethod
    def here(cls) -> Ranks:
        """By torch.distributed, where it is initialised."""
        number = next(_numbers)
        if not (dist.is_available() and dist.is_initialized()):
            return cls(number=number)
        return cls(dist.get_rank(), dist.get_world_size(), number)

    @property
    def first(self) -> bool:
        """Whether the run is written by this process."""
        return self.rank == 0

    def leave(self, reading: EnergyReading) -> None:
        """Leave a reading for rank 0."""
        energies = {phase: cost.energy_kwh for phase, cost in reading.phases.items()}
        durations = {phase: cost.duration_s for phase, cost in reading.phases.items()}
        left = {
            "host": this_process().host, "energies": energies, "durations": durations, "own": _own_share(reading.basis),
        }  # fmt: skip
        _store().set(self._key(self.rank), json.dumps(left))

    def together(
        self, own: EnergyReading, *, wait_s: float = WAIT_S
    ) -> tuple[EnergyReading, tuple[str, ...]]:
        """The reading of all ranks: energies added up, the longest duration of each phase. Also what is missing.

        What several ranks on one machine would each count whole (its processor's counter, a power that the user
        named) counts once per machine.
        """
        hosts, readings, missing = {this_process().host}, [own], []
        for rank in range(1, self.count):
            left = self._left_by(rank, wait_s)
            if left is None:
                missing.append(rank)
                continue
            share = left["own"] if left["host"] in hosts else 1.0
            hosts.add(left["host"])
            readings.append(_reading(own, left, share))
        notes = (
            (f"energy of {len(missing)} of {self.count} ranks is missing: they left none",) if missing else ()
        )
        phases: dict[str, PhaseCost] = {}
        for name in dict.fromkeys(name for reading in readings for name in reading.phases):
            costs = [reading.phases[name] for reading in readings if name in reading.phases]
            phases[name] = PhaseCost(duration_s=max(c.duration_s for c in costs), energy_kwh=_sum(costs))
        return replace(
            own,
            phases=phases,
            energy_kwh=_sum(phases.values()),
            duration_s=max(reading.duration_s for reading in readings),
        ), notes

    def _left_by(self, rank: int, wait_s: float) -> dict[str, Any] | None:
        store, key = _store(), self._key(rank)
        try:
            store.wait([key], timedelta(seconds=max(wait_s, 0.001)))
        except (RuntimeError, ValueError):  # it did not come
            return None
        left: dict[str, Any] = json.loads(store.get(key))
        return left

    def _key(self, rank: int) -> str:
        return f"foretoll/{self.number}/{rank}"


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()


def _own_share(basis: EnergyBasis) -> float:
    """The share of the energy that is this process's alone, and not the whole machine's."""
    total = sum(part.energy_kwh or 0.0 for part in basis.components)
    own = sum(part.energy_kwh or 0.0 for part in basis.components if not _of_machine(part.name, part.method))
    return own / total if total else 1.0


def _of_machine(name: str, method: str) -> bool:
    return name == "machine" or (method == "counter" and name != "gpu")


def _reading(like: EnergyReading, left: dict[str, Any], share: float) -> EnergyReading:
    phases = {
        name: PhaseCost(
            duration_s=duration,
            energy_kwh=None if left["energies"][name] is None else share * left["energies"][name],
        )
        for name, duration in left["durations"].items()
    }
    return replace(like, phases=phases, duration_s=sum(left["durations"].values()))


def _sum(costs: Any) -> float | None:
    energies = [cost.energy_kwh for cost in costs]
    return None if any(energy is None for energy in energies) else float(sum(energies))
