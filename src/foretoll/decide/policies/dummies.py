"""Policies that look at nothing: they stand in every table, since a rule that does not beat them is none."""

from __future__ import annotations

from foretoll.decide.policies.base import Choice, Policy, Verdict, View


class Keep(Policy):
    """Never update."""

    name = "keep"
    title = "never update"

    def _due(self, view: View, choice: Choice) -> Verdict:
        return Verdict(False, "this policy never updates")


class Every(Policy):
    """Update after every batch."""

    name = "every"
    title = "update after every batch"

    def _due(self, view: View, choice: Choice) -> Verdict:
        return Verdict(True, "this policy updates after every batch")


class Periodic(Policy):
    """Update when a fixed number of batches was served since the last update."""

    name = "periodic"
    title = "update after every k batches"

    def __init__(self, batches: float = 8) -> None:
        self.batches = max(1, round(batches))

    def _due(self, view: View, choice: Choice) -> Verdict:
        served = len(view.since)
        if served >= self.batches:
            return Verdict(True, f"{served} batches were served since the last update", "a longer period")
        return Verdict(False, f"{served} of {self.batches} batches were served since the last update")

    def __str__(self) -> str:
        return f"{self.name}:{self.batches}"
