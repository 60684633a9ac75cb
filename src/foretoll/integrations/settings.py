"""The settings that a library's own Trainer names, as every callback reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from foretoll.records import TrainingSettings
from foretoll.training.guard import AS_NAMED, Guard, is_refused_input


def planned_settings(
    guard: Guard, how: Mapping[str, Any], read: Callable[[TrainingSettings], TrainingSettings]
) -> TrainingSettings:
    """What `read` finds, given the settings that `how` (the arguments of `foretoll.track`) names.

    Those alone where reading fails. ForetollError where what was named is refused.
    """
    named: TrainingSettings = how.get("settings") or TrainingSettings()
    found = guard.call(
        "reading the Trainer's settings", lambda: read(named), so=AS_NAMED, passes=is_refused_input
    )
    return found or named
