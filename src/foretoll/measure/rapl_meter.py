"""The processor's energy counters (RAPL) in the kernel's powercap files, where they are readable.

/sys/class/powercap/intel-rapl:0/{name, energy_uj, max_energy_range_uj}; AMD processors use the same names. Packages
are `intel-rapl:N`; memory, where it has its own counter, is a `dram` domain below one. The counters count the
whole machine and wrap around at `max_energy_range_uj` (minutes at full load), so a thread reads them meanwhile.

Counters of some sockets are not the machine's: a part of which a counter cannot be read is named in the basis
(`left_out`), and where other meters can say what the part takes (`--energy auto`), these are asked instead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
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
TOPOLOGY = Path("/sys/devices/system/cpu")
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


@dataclass(frozen=True)
class Domains:
    """The machine's counters: those that can be read, as (folder, "cpu" | "ram"), and those that cannot, by name."""

    found: list[tuple[Path, str]]
    unread: dict[str, list[str]]  # part → names

    @classmethod
    def look(cls, root: Path = POWERCAP, topology: Path = TOPOLOGY) -> Domains:
        """Look at every counter. A package's cores are inside it and not listed again."""
        found: list[tuple[Path, str]] = []
        unread: dict[str, list[str]] = {}
        for folder in sorted(root.glob("intel-rapl:*")):
            name = _read(folder / "name") or ("package" if folder.name.count(":") == 1 else "")
            part = next(
                (p for begin, p in (("package", "cpu"), ("dram", "ram")) if name.startswith(begin)), None
            )
            if part is None:
                continue
            try:
                int((folder / "energy_uj").read_text())  # root only on many kernels since 2020
                int((folder / "max_energy_range_uj").read_text())
            except (OSError, ValueError):
                unread.setdefault(part, []).append(f"{name} ({folder.name})")
            else:
                found.append((folder, part))
        sockets = {_read(file) for file in topology.glob("cpu[0-9]*/topology/physical_package_id")} - {""}
        listed = sum(part == "cpu" for _, part in found) + len(unread.get("cpu", ()))
        if 0 < listed < len(sockets):
            unread.setdefault("cpu", []).append(f"{len(sockets) - listed} of {len(sockets)} sockets")
        return cls(found if any(part == "cpu" for _, part in found) else [], unread)

    @property
    def whole(self) -> bool:
        """Whether the processors' counters are all there: a part of them would be taken for the machine."""
        return bool(self.found) and "cpu" not in self.unread


def find_domains(root: Path = POWERCAP) -> list[tuple[Path, str]]:
    """Readable counters as (folder, "cpu" | "ram")."""
    return Domains.look(root).found


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, ValueError):
        return ""


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
        topology: Path = TOPOLOGY,
        device: torch.device | str = "cpu",
        clock: Clock = time.perf_counter,
        watch_every_s: float = WATCH_EVERY_S,
    ) -> None:
        super().__init__(device=device, clock=clock)
        self._root, self._topology = root, topology
        self._unread: dict[str, list[str]] = {}
        self._domains: list[_Domain] = []
        self._packages = 0
        self._lock = threading.Lock()
        self._stop_watching = threading.Event()
        self._watch_every_s = watch_every_s
        self._watcher: threading.Thread | None = None
        self._lost = False

    def _prepare(self) -> None:
        counters = Domains.look(self._root, self._topology)
        self._found, self._unread = counters.found, counters.unread
        if self._unread:
            self.scope = "device"  # some of the machine's parts, not the machine
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
                    detail=f"RAPL, {counts[part]} domain(s), "
                    + (f"without {_names(self._unread[part])}" if part in self._unread else "whole machine"),
                ),
                *COUNTER_RANGE,
            )
            for part, total in joules.items()
        ]

    def _left_out(self) -> tuple[str, ...]:
        return tuple(
            f"{_names(names)}: a {part} counter that cannot be read" for part, names in self._unread.items()
        )


def _names(names: list[str]) -> str:
    return ", ".join(names)
