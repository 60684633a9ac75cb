"""What a machine's examination found, as a table; faults first in colour, remedies below."""

from __future__ import annotations

from foretoll.records.diagnosis import Diagnosis
from foretoll.report.document import Block, Column, Line, Lines, Row, Table, Tone

TONES: dict[str, Tone] = {"ok": "good", "note": "unsure", "fault": "bad"}


def doctor_blocks(diagnosis: Diagnosis) -> list[Block]:
    """All findings in their order, and what may be done."""
    columns = [Column("checked"), Column("state"), Column("found")]
    found = diagnosis.findings
    rows = [Row((f.subject, f.state, f.note), tone=TONES[f.state]) for f in found]
    remedies = [Line(f.subject, (f.remedy,)) for f in found if f.remedy]
    table = Table(columns, rows, title="This machine", main=True)
    return [table, Lines(remedies)] if remedies else [table]
