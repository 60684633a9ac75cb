"""The catalogue: common devices as their makers' data sheets have them (`catalogue.json`, with the sheet of each row).

A data sheet gives ceilings: peak arithmetic, peak bandwidth, board power. What a training gets of them is a matter of
wide ranges (`throughput`). Power without work is on no sheet; `foretoll hardware measure` measures it.
"""

from __future__ import annotations

import json
from pathlib import Path

from foretoll.errors import UsageError, unknown_name
from foretoll.records import Device

_FILE = Path(__file__).with_name("catalogue.json")
CATALOGUE: dict[str, Device] = {
    row["name"]: Device.model_validate(row) for row in json.loads(_FILE.read_text(encoding="utf-8"))
}
"""Devices by name."""


def find_device(name: str) -> Device:
    """The device of that name, however it is written; UsageError with the nearest names otherwise."""
    wanted = _plain(name)
    for device in CATALOGUE.values():
        if wanted in (_plain(device.name), _plain(f"nvidia {device.name}")):
            return device
    raise UsageError(unknown_name("hardware", name, tuple(CATALOGUE)))


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())
