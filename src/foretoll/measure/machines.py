"""The hardware that a forecast is asked for, by name: `A100`, `4xA100`, or the file of `foretoll hardware measure`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from foretoll.errors import UsageError, one_line, read_small, shown
from foretoll.measure.catalogue import find_device
from foretoll.measure.throughput import Range, Throughput
from foretoll.records import Device, MeasuredDevice

MOST_DEVICES = 1024
MOST_ASKED = 20
# Data-parallel training against so many times one device: 68 % to 90 % on 512 GPUs (Sergeev and Del Balso 2018,
# arXiv 1802.05799), close to 1 within one machine (Li et al. 2020, arXiv 2006.15704)
EFFICIENCY: Range = (1.0, 0.9, 0.68)
_SEVERAL = re.compile(r"\s*(\d{1,6})\s*[x×*]\s*(\S.*)", re.IGNORECASE)
LONGEST_FILE = 65_536


@dataclass(frozen=True)
class Machine:
    """So many devices of one kind, on which one batch is shared out (data parallel)."""

    device: Device | MeasuredDevice
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Machine:
        """Read `A100`, `4xA100`, `my-box.json` or `2x./my-box.json`; UsageError otherwise."""
        found = _SEVERAL.fullmatch(text)
        count, name = (int(found[1]), found[2].strip()) if found else (1, text.strip())
        if not 1 <= count <= MOST_DEVICES:
            raise UsageError(
                f"--hardware {shown(text, 40)} is of {count} devices: give 1 to {MOST_DEVICES:,}"
            )
        if name.lower().endswith(".json"):
            return cls(read_measured(Path(name)), count)
        return cls(find_device(name), count)

    @property
    def name(self) -> str:
        """Its name for people."""
        return self.device.name if self.count == 1 else f"{self.count} × {self.device.name}"

    @property
    def memory_bytes(self) -> float | None:
        """Memory of each device; None where it is not known."""
        return None if self.device.memory_gb is None else self.device.memory_gb * 1e9

    @property
    def efficiency(self) -> Range:
        """What is left of the devices' rates where they share the work: (at best, typical, at worst)."""
        return EFFICIENCY if self.count > 1 else (1.0, 1.0, 1.0)

    @property
    def knows_power(self) -> bool:
        """Whether its power is known."""
        return isinstance(self.device, Device) or self.device.busy_w is not None

    def throughput(self, precision: str) -> Throughput:
        """What a training gets of one of its devices."""
        if isinstance(self.device, Device):
            return Throughput.of_sheet(self.device, precision)
        return Throughput.of_measured(self.device, precision)

    def basis(self, precision: str) -> str:
        """What a forecast for it rests on, in words."""
        text = self.throughput(precision).basis
        if self.count == 1:
            return text
        return f"{text}; {self.count} devices at {EFFICIENCY[2]:g} … {EFFICIENCY[0]:g} times as many rates of one"


def machines(names: str | Sequence[str] | None) -> tuple[Machine, ...]:
    """The machines of these names, each once, of which one text may name several by commas; UsageError otherwise."""
    if names is None:
        return ()
    texts = [part for text in ([names] if isinstance(names, str) else names) for part in text.split(",")]
    if len(texts) > MOST_ASKED:
        raise UsageError(f"--hardware names {len(texts)} kinds: ask for {MOST_ASKED} at the most")
    parsed = [Machine.parse(text) for text in texts]
    return tuple(machine for place, machine in enumerate(parsed) if machine not in parsed[:place])


def read_measured(path: Path) -> MeasuredDevice:
    """A file that `foretoll hardware measure` wrote; UsageError where it is missing or holds anything else."""
    try:
        return MeasuredDevice.model_validate_json(read_small(path, LONGEST_FILE))
    except OSError as error:
        raise UsageError(
            f"the hardware file {shown(path)} cannot be read ({error.strerror}): write one with foretoll hardware "
            "measure --out FILE, or name a device (foretoll hardware list)"
        ) from error
    except (ValidationError, RecursionError) as error:
        first = (
            error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deep"}
        )
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{shown(path)} is no file of foretoll hardware measure ({one_line(where or 'file', 40)}: "
            f"{one_line(str(first['msg']), 90)}): write it anew with foretoll hardware measure --out FILE"
        ) from error
