"""`foretoll doctor`: what works on this machine, what does not, why, and what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import Literal

from foretoll.errors import ForetollError, one_line
from foretoll.forecast.kept import ArrayStore
from foretoll.ledger import Ledger
from foretoll.measure import describe_hardware, grid_intensity, open_meter
from foretoll.measure.rapl_meter import Domains
from foretoll.records.diagnosis import Diagnosis, Finding
from foretoll.version import __version__

MEASURED_S = 0.3  # of busy work, for a first look at what the meter says
TIGHT_BYTES = 2 * 2**30  # of disk: what studies and checkpoints soon take
OF_DEVELOPERS = "dev"  # the extra that is for foretoll's own tests


def examine_machine(
    *, device: str = "auto", energy: str = "auto", region: str | None = None, ledger: Ledger | None = None
) -> Diagnosis:
    """Everything that a forecast or a measurement rests on here, in the order of their use; nothing is changed.

    Whatever goes wrong in one of them is a finding, never an error.
    """
    looked: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("versions", _versions),
        ("device", lambda: _device(device)),
        ("energy", lambda: _energy(device, energy)),
        ("region", lambda: _region(region)),
        ("ledger", lambda: _ledger(ledger or Ledger.open())),
        ("cache", _cache),
        ("disk", _disk),
        ("extras", _extras),
    ]
    found: list[Finding] = []
    for subject, look in looked:
        try:
            found += look()
        except ForetollError as error:
            found.append(_finding(subject, "fault", str(error)))
        except Exception as error:  # noqa: BLE001  (a doctor that dies of what it finds helps nobody)
            found.append(_finding(subject, "fault", one_line(str(error), 200)))
    return Diagnosis(findings=tuple(found))


def _finding(subject: str, state: Literal["ok", "note", "fault"], note: str, remedy: str = "") -> Finding:
    return Finding(subject=subject, state=state, note=note, remedy=remedy)


def _versions() -> Iterator[Finding]:
    import torch

    python = ".".join(map(str, sys.version_info[:3]))
    yield _finding("versions", "ok", f"foretoll {__version__}, Python {python}, torch {torch.__version__}")
    yield _finding("system", "ok", platform.platform())


def _device(name: str) -> Iterator[Finding]:
    import torch

    from foretoll.workflows.context import choose_device

    chosen = choose_device(name)
    seen = describe_hardware(chosen)
    cores = f"{seen.cores} cores, of which torch uses {seen.threads}"
    yield _finding(
        "device", "ok", f"{seen.device_name} ({seen.device}); {cores}, {seen.memory_gb:g} GB of memory"
    )
    if not torch.cuda.is_available() and _driver_is_there():
        yield _finding(
            "device",
            "fault",
            "an NVIDIA driver is there, and this torch cannot use it",
            "install a torch built for the driver's CUDA version",
        )


def _driver_is_there() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _energy(device: str, name: str) -> Iterator[Finding]:
    from foretoll.workflows.context import choose_device

    counters = Domains.look()
    unread = [text for texts in counters.unread.values() for text in texts]
    if unread:
        yield _finding(
            "processor counter",
            "note",
            f"there, and not readable: {', '.join(unread)}",
            "sudo chmod -R a+r /sys/class/powercap/intel-rapl:*/ makes kWh of the processor a measurement",
        )
    elif not counters.found:
        yield _finding("processor counter", "note", "none on this machine (usual in containers and clouds)")
    meter = open_meter(name, device=choose_device(device))
    meter.start("work")
    until = time.perf_counter() + MEASURED_S
    while time.perf_counter() < until:
        sum(range(10_000))
    reading = meter.stop()
    basis = reading.basis
    if reading.energy_kwh is None:
        remedy = "name what the machine draws: --energy watts:NUMBER"
        yield _finding("energy", "fault", "; ".join(reading.notes) or "no meter works here", remedy)
        return
    counted = (basis.counter_share or 0.0) > 0
    remedy = (
        "" if counted else "--energy watts:NUMBER, from a plug or the vendor's tool, is nearer to the truth"
    )
    yield _finding("energy", "ok" if counted else "note", f"--energy {name}: {basis.method}", remedy)


def _region(named: str | None) -> Iterator[Finding]:
    grid = grid_intensity(named)
    text = f"{grid.region}: {1000 * grid.intensity_kg_per_kwh:.0f} g CO2e per kWh"
    if grid.is_default:
        yield _finding("region", "note", text, "name yours: --region DE, or FORETOLL_REGION")
    else:
        yield _finding("region", "ok", text)


def _ledger(ledger: Ledger) -> Iterator[Finding]:
    from foretoll.ledger.spool import waiting

    faults = ledger.doctor()
    summaries = ledger.summaries()
    yield _finding("ledger", "ok", f"{ledger.where}: {len(summaries)} runs")
    for text in faults:
        yield _finding("ledger", "fault", text, "foretoll ledger doctor --repair")
    if "://" not in ledger.where:
        place = Path(ledger.where).absolute()
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        if not os.access(there, os.W_OK):
            remedy = "name another by FORETOLL_LEDGER, or ask for the right to write"
            yield _finding("ledger", "fault", f"{there} cannot be written to", remedy)
    if spooled := len(waiting(ledger.where)):
        yield _finding(
            "ledger", "note", f"{spooled} measured runs wait to be taken in", "foretoll ledger flush"
        )


def _cache() -> Iterator[Finding]:
    folder = ArrayStore.of_user().folder
    if folder is None:
        remedy = "FORETOLL_CACHE names a folder; without one every forecast with runs of your own fits anew"
        yield _finding("cache", "note", "off", remedy)
        return
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if os.access(there, os.W_OK):
        yield _finding("cache", "ok", str(folder))
    else:
        yield _finding(
            "cache", "note", f"{there} cannot be written to", "name another folder by FORETOLL_CACHE"
        )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    text = f"{free / 2**30:.1f} GB free in the current folder"
    if free < TIGHT_BYTES:
        yield _finding(
            "disk", "note", text, "checkpoints and studies need more: free some, or work elsewhere"
        )
    else:
        yield _finding("disk", "ok", text)


def _extras() -> Iterator[Finding]:
    there, missing = [], []
    for extra in sorted({*metadata("foretoll").get_all("Provides-Extra", ())} - {OF_DEVELOPERS}):
        versions = [_version_of(package) for package in _packages(extra)]
        if versions and all(versions):
            there.append(", ".join(text for text in versions if text))
        else:
            missing.append(extra)
    yield _finding("extras", "ok", f"installed: {', '.join(there) or 'none'}")
    if missing:
        remedy = f"where one is wanted: pip install 'foretoll[{missing[0]}]'"
        yield _finding("extras", "ok", f"not installed: {', '.join(missing)}", remedy)


def _packages(extra: str) -> list[str]:
    """What an extra asks for, by the package's own metadata."""
    asked = (line.partition(";") for line in requires("foretoll") or ())
    return [
        re.split(r"[^\w.-]", name, maxsplit=1)[0]
        for name, _, when in asked
        if re.search(rf"""extra == ['"]{extra}['"]""", when)
    ]


def _version_of(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""
