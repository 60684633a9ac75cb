"""All policies by name, with the parameter that follows a colon: `periodic:4`, `floor:0.85`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from foretoll.decide.policies.base import Policy
from foretoll.decide.policies.cara import Cara
from foretoll.decide.policies.drift import Confidence, Ks, Psi
from foretoll.decide.policies.dummies import Every, Keep, Periodic
from foretoll.decide.policies.foresight import Foresight
from foretoll.decide.policies.quality import Adwin, Drop, Floor
from foretoll.decide.policies.rent import Rent
from foretoll.decide.policies.upf import Upf
from foretoll.errors import UsageError, shown
from foretoll.records import ANSWERS, ServedMetric
from foretoll.registry import Registry

DEFAULT_POLICY = "rent"


@dataclass(frozen=True)
class Entry:
    """A policy: how it is made, and what its parameter is, if it has one."""

    make: Callable[..., Policy]
    parameter: str = ""
    most: float = math.inf
    in_unit: bool = False  # whether the parameter is in the metric's unit, of which only shares end at `most`


def _entry(found: Any) -> Entry:
    if isinstance(found, Entry):
        return found
    if isinstance(found, type) and issubclass(found, Policy):
        return Entry(found)
    raise TypeError("it is no class of foretoll.decide.policies.Policy, nor an Entry of one")


_OWN = {
    "keep": Entry(Keep),
    "every": Entry(Every),
    "periodic": Entry(Periodic, "a number of batches"),
    "floor": Entry(Floor, "a quality", most=1.0, in_unit=True),
    "drop": Entry(Drop, "a drop in quality", most=1.0),
    "ks": Entry(Ks, "a level of the statistic", most=1.0),
    "psi": Entry(Psi, "a level of the index"),
    "adwin": Entry(Adwin, "a confidence delta", most=1.0),
    "confidence": Entry(Confidence, "a drop in confidence", most=1.0),
    "cara": Entry(Cara, "a multiple of the cost"),
    "rent": Entry(Rent),
    "foresight": Entry(Foresight, "a number of batches"),
    "upf": Entry(Upf, "a probability", most=1.0),
}
POLICIES: Registry[Entry] = Registry("policy", "foretoll.policies", _OWN, made=_entry)


def get_policy(text: str | Policy, served: ServedMetric | None = ANSWERS) -> Policy:
    """The policy of a name such as `rent` or `periodic:4`, or the one that is handed in.

    served: in what its number is, where that is a quality; None where that is not known yet. UsageError where there is
    none of that name, or its number is none.
    """
    if isinstance(text, Policy):
        return text
    name, _, number = text.strip().partition(":")
    entry = POLICIES.part(name)
    if not number:
        return entry.make()
    if not entry.parameter:
        raise UsageError(f"the policy {name} takes no number: write {name} alone")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    limit = math.inf if entry.in_unit and (served is None or not served.metric.share) else entry.most
    if not 0 < value <= limit or not math.isfinite(value):
        most = f" and at most {limit:g}" if math.isfinite(limit) else ""
        raise UsageError(
            f"{shown(number)} is no parameter of the policy {name}: give {entry.parameter} above 0{most}, "
            f"such as {name}:{'4' if name == 'periodic' else '0.5'}"
        )
    return entry.make(value)
