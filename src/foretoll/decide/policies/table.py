"""All policies by name, with the parameter that follows a colon: `periodic:4`, `floor:0.85`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from foretoll.decide.policies.base import Policy
from foretoll.decide.policies.cara import Cara
from foretoll.decide.policies.drift import Confidence, Ks, Psi
from foretoll.decide.policies.dummies import Every, Keep, Periodic
from foretoll.decide.policies.quality import Adwin, Drop, Floor
from foretoll.decide.policies.rent import Rent
from foretoll.errors import UsageError, shown, unknown_name

DEFAULT_POLICY = "rent"


@dataclass(frozen=True)
class Entry:
    """A policy: how it is made, and what its parameter is, if it has one."""

    make: Callable[..., Policy]
    parameter: str = ""
    most: float = math.inf


POLICIES: dict[str, Entry] = {
    "keep": Entry(Keep),
    "every": Entry(Every),
    "periodic": Entry(Periodic, "a number of batches"),
    "floor": Entry(Floor, "a quality", most=1.0),
    "drop": Entry(Drop, "a drop in quality", most=1.0),
    "ks": Entry(Ks, "a level of the statistic", most=1.0),
    "psi": Entry(Psi, "a level of the index"),
    "adwin": Entry(Adwin, "a confidence delta", most=1.0),
    "confidence": Entry(Confidence, "a drop in confidence", most=1.0),
    "cara": Entry(Cara, "a multiple of the cost"),
    "rent": Entry(Rent),
}


def get_policy(text: str) -> Policy:
    """The policy of a name such as `rent` or `periodic:4`; UsageError where there is none, or its number is none."""
    name, _, number = text.strip().partition(":")
    entry = POLICIES.get(name)
    if entry is None:
        raise UsageError(unknown_name("policy", name, tuple(POLICIES)))
    if not number:
        return entry.make()
    if not entry.parameter:
        raise UsageError(f"the policy {name} takes no number: write {name} alone")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not 0 < value <= entry.most or not math.isfinite(value):
        most = f" and at most {entry.most:g}" if math.isfinite(entry.most) else ""
        raise UsageError(
            f"{shown(number)} is no parameter of the policy {name}: give {entry.parameter} above 0{most}, "
            f"such as {name}:{'4' if name == 'periodic' else '0.5'}"
        )
    return entry.make(value)
