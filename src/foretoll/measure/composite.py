"""Several meters as one: counters where there are any, a power model for the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import MeasureError
from foretoll.measure.basis import PartReport
from foretoll.measure.meter import Clock, EnergyMeter, Scope
from foretoll.measure.rapl_meter import POWERCAP, TOPOLOGY

if TYPE_CHECKING:
    import torch


class CompositeMeter(EnergyMeter):
    """Adds meters up. A part of the machine that several of them know is taken from the first one.

    A meter that cannot be set up on this machine is left away; with none left, energies are None and
    the reading's notes say why.
    """

    def __init__(
        self,
        meters: Sequence[EnergyMeter],
        *,
        device: torch.device | str = "cpu",
        clock: Clock = time.perf_counter,
    ) -> None:
        super().__init__(device=device, clock=clock)
        self._candidates = list(meters)
        self._meters: list[EnergyMeter] = []
        self._unavailable: list[str] = []
        self._owner: dict[str, EnergyMeter] = {}

    def _prepare(self) -> None:
        for meter in self._candidates:
            try:
                meter.prepare()
            except MeasureError as error:
                self._unavailable.append(str(error))
            else:
                self._meters.append(meter)
        self.tool = ", ".join(meter.tool for meter in self._meters) or "none"

    def _begin(self) -> None:
        for meter in self._meters:
            meter._begin()

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        merged: dict[str, float | None] = {}
        for meter in self._meters:
            for part, joules in meter._sample(phase, duration_s).items():
                if self._owner.setdefault(part, meter) is meter:
                    merged[part] = joules
        return merged

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        reports: list[PartReport] = []
        most, scope = -1.0, "none"
        for meter in self._meters:
            own = {part: total for part, total in joules.items() if self._owner.get(part) is meter}
            reports.extend(meter._report(own, duration_s) if own else [])
            energy = sum(total or 0.0 for total in own.values())
            if own and energy > most:  # the scope of the part that matters most
                most, scope = energy, meter.scope
        self.scope: Scope = scope  # type: ignore[assignment]  # one of the meters' scopes
        return reports

    def _finish(self) -> None:
        for meter in self._meters:
            meter._finish()

    def _notes(self, shortest_s: Mapping[str, float]) -> list[str]:
        notes = [note for meter in self._meters for note in meter._notes(shortest_s)]
        if not self._meters:
            notes.append("energy was not measured: " + "; ".join(self._unavailable))
        return notes

    def _left_out(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(what for meter in self._meters for what in meter._left_out()))


def auto_meter(device: str, *, powercap: Path = POWERCAP, topology: Path = TOPOLOGY) -> CompositeMeter:
    """Counters first (GPU of a CUDA device, RAPL), CodeCarbon's power models for the parts without one.

    Where the GPU has no readable counter, CodeCarbon measures it by its power readings. Where the counter of only some
    processor sockets can be read, all of them are modelled: counted ones alone would pass for the whole machine.
    """
    from foretoll.measure.codecarbon_meter import CodeCarbonMeter
    from foretoll.measure.nvml_meter import NvmlMeter
    from foretoll.measure.rapl_meter import Domains, RaplMeter

    meters: list[EnergyMeter] = []
    if device.startswith("cuda"):
        meters.append(NvmlMeter(device=device))
    counters = Domains.look(powercap, topology)
    if counters.whole:
        meters.append(RaplMeter(root=powercap, topology=topology, device=device))
    unread = counters.unread.get("cpu", []) if counters.found else []
    meters.append(CodeCarbonMeter(device=device, cpu_unread=unread))
    return CompositeMeter(meters, device=device)
