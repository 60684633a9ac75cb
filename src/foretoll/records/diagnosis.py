"""What `foretoll doctor` found on a machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from foretoll.records.base import PresentedRecord, Record


class Finding(Record):
    """One thing that was looked at.

    state: "ok"; "note": it works, and could be better; "fault": it does not work. remedy: what to do, if anything.
    """

    subject: str
    state: Literal["ok", "note", "fault"]
    note: str
    remedy: str = ""


class Diagnosis(PresentedRecord):
    """All findings, in the order in which a forecast and a measurement need what was looked at."""

    schema_: Literal["foretoll.diagnosis/1"] = Field("foretoll.diagnosis/1", alias="schema")
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> int:
        """How many things do not work."""
        return sum(finding.state == "fault" for finding in self.findings)
