"""The processor's energy counters (RAPL) in the kernel's powercap files, where they are readable.

/sys/class/powercap/intel-rapl:0/{name, energy_uj, max_energy_range_uj}; AMD processors use the same names. Packages
are `intel-rapl:N`; memory, where it has its own counter, is a `dram` domain below one. The counters count the
whole machine and wrap around at `max_energy_range_uj` (minutes at full load), so a thread reads them meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.errors import MeasureError
from foretoll.measure.basis import PartReport
from foretoll.measure.meter import Clock, EnergyMeter, Scope
from foretoll.measure.plausible import COUNTER_RANGE
from foretoll.records import EnergyComponent
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch

POWERCAP = Path("/sys/class/powercap")
WATCH_EVERY_S = 30.0  # far below the shortest time to a wrap-around: 65 kJ at 500 W take 130 s


class _Domain:
    """One counter: adds up what it shows, over wrap-arounds."""

    def __init__(self, folder: Path, part: str) -> None:
        self.part = part
        self._file = folder / "energy_uj"
        self._range_uj = int((folder / "max_energy_range_uj").read_text())
        self._last_uj = int(self._file.read_text())
        self.total_uj = 0

    def update(self) -> None:
        now = int(self._file.read_text())
        step = now - self._last_uj
        self.total_uj += step if step >= 0 else step + self._range_uj
        self._last_uj = now


def find_domains(root: Path = POWERCAP) -> list[tuple[Path, str]]:
    """Readable counters as (folder, "cpu" | "ram"). A package's cores are inside it and not listed again."""
    found: list[tuple[Path, str]] = []
    for folder in sorted(root.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text().strip()
            int((folder / "energy_uj").read_text())  # root only on many kernels since 2020
            int((folder / "max_energy_range_uj").read_text())
        except (OSError, ValueError):
            continue
        if name.startswith("package"):
            found.append((folder, "cpu"))
        elif name.startswith("dram"):
            found.append((folder, "ram"))
    return found if any(part == "cpu" for _, part in found) else []


class RaplMeter(EnergyMeter):
    """CPU (and, where counted, memory) energy of the whole machine by its counters.

    Raises MeasureError when it is set up and no counter is readable. `root` is another folder in tests only.
    """

    tool = "RAPL"
    scope: Scope = "machine"

    def __init__(
        self,
        *,
        root: Path = POWERCAP,
        device: torch.device | str = "cpu",
        clock: Clock = time.perf_counter,
        watch_every_s: float = WATCH_EVERY_S,
    ) -> None:
        super().__init__(device=device, clock=clock)
        self._root = root
        self._domains: list[_Domain] = []
        self._packages = 0
        self._lock = threading.Lock()
        self._stop_watching = threading.Event()
        self._watch_every_s = watch_every_s
        self._watcher: threading.Thread | None = None
        self._lost = False

    def _prepare(self) -> None:
        self._found = find_domains(self._root)
        if not self._found:
            raise MeasureError(
                f"--energy rapl finds no readable energy counter in {self._root}: ask for read access to the "
                "energy_uj files, or use --energy auto"
            )

    def _begin(self) -> None:
        self._domains = [_Domain(folder, part) for folder, part in self._found]
        self._watcher = threading.Thread(target=self._watch, name="foretoll-rapl", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        while not self._stop_watching.wait(self._watch_every_s):
            self._update()

    def _update(self) -> None:
        with self._lock:
            try:
                for domain in self._domains:
                    domain.update()
            except (OSError, ValueError):
                self._lost = True

    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        self._update()
        parts = dict.fromkeys(domain.part for domain in self._domains)
        if self._lost:  # the run goes on, its energy is unknown
            return dict.fromkeys(parts)
        return {p: sum(d.total_uj for d in self._domains if d.part == p) / 1e6 for p in parts}

    def _finish(self) -> None:
        self._stop_watching.set()
        if self._watcher is not None:
            self._watcher.join()

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        counts = {part: sum(1 for domain in self._domains if domain.part == part) for part in joules}
        return [
            PartReport(
                EnergyComponent(
                    name=part,
                    method="counter",
                    energy_kwh=None if total is None else kwh_from_joules(total),
                    detail=f"RAPL, {counts[part]} domain(s), whole machine",
                ),
                *COUNTER_RANGE,
            )
            for part, total in joules.items()
        ]
