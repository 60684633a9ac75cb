"""A stored JSON text as a `Run`, by whoever wrote it: newer fields are kept, what cannot be read says why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from foretoll.errors import ForetollWarning, shown
from foretoll.exchange.packing import PackingError, goes_on, is_packed, unpack
from foretoll.records import Outcome, Run
from foretoll.sharing import anonymous as nameless
from foretoll.sharing import shortened, shortened_data

NEWER = "written by a newer foretoll"
_SCHEMA = re.compile(r"foretoll\.run/(\d+)")
_NAMED = 3  # unread records that a warning names


class UnreadRecordWarning(ForetollWarning):
    """Records of a ledger or an export were passed over, because they cannot be read."""


class UnreadableError(ValueError):
    """A stored text that is no record of this version; the message is part of a sentence."""


@dataclass(frozen=True)
class StoredRun:
    """A run, and the text that it was read from where that has more than this version knows."""

    run: Run
    text: str | None = None

    def whole(self) -> str:
        """The record with the fields that a newer foretoll wrote."""
        if self.text is None:
            return self.run.model_dump_json(by_alias=True)
        # what the ledger itself concluded (an interrupted run) is not in the stored text
        data = json.loads(self.text)
        return json.dumps({**data, "outcome": self.run.outcome.value, "reason": self.run.reason})

    def line(self, *, anonymous: bool = False) -> str:
        """The record as it is exported: paths named from here or from home, or nothing said of the machine.

        The anonymous form has no field that this version does not know: nobody could say what it tells.
        """
        if anonymous:
            return nameless(self.run).model_dump_json(by_alias=True)
        if self.text is None:
            return shortened(self.run).model_dump_json(by_alias=True)
        return json.dumps(shortened_data(json.loads(self.whole())))


@dataclass(frozen=True)
class UnreadRecord:
    """A record that was passed over: where it stands, and why (both printable)."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} ({self.why})"


@dataclass(frozen=True)
class Selection:
    """Runs of a ledger, the records that were passed over, and what is to be done about a newer schema."""

    runs: list[Run]
    unread: tuple[UnreadRecord, ...] = ()
    newer: str = ""

    @property
    def warning(self) -> str:
        """One line that counts and names what was passed over; empty where nothing was."""
        return "; ".join(filter(None, (unread_text(self.unread), self.newer)))


def unread_text(unread: Sequence[UnreadRecord], number: int | None = None) -> str:
    """One line that counts and names what was passed over; empty where nothing was.

    number: how many they are, where `unread` has some of them.
    """
    number = len(unread) if number is None else number
    if not number:
        return ""
    named = "; ".join(map(str, unread[:_NAMED])) + ("; …" if number > _NAMED else "")
    count = f"{number} record{'s' if number > 1 else ''}"
    text = f"{count} could not be read: {named}"
    return f"{text[:230]}{'…' if len(text) > 230 else ''}; see `foretoll ledger doctor`"


def read_record(record: object, start: object = None) -> StoredRun:
    """The run of a stored text, plain or packed; `start`: what is stored of the run's start, where this is its end.

    Fields that this version does not know are left out of the run and kept in `StoredRun.text`. A moment without a zone
    is taken as UTC.

    Raises:
        UnreadableError: it is no text, no JSON, or no run of this version.
    """
    raw = text_of_record(record, start)
    try:
        return StoredRun(_with_zones(Run.model_validate_json(raw)))
    except ValidationError as error:
        known = _without_unknown(raw, error)
        if known is None:
            raise UnreadableError(_why(raw, error)) from error
    try:
        return StoredRun(_with_zones(Run.model_validate_json(known)), raw.decode().strip())
    except ValidationError as error:
        raise UnreadableError(f"{first_problem(error)}; {NEWER}") from error


def text_of_record(record: object, start: object = None) -> bytes:
    """What is stored of a run, unpacked where it is packed; `start`: what is stored of its start, where it is its end.

    Raises:
        UnreadableError: it is no text, or no packed one.
    """
    if not isinstance(record, str | bytes):
        raise UnreadableError(f"its record is {'empty' if record is None else f'a {type(record).__name__}'}")
    try:
        if isinstance(record, str):
            return record.encode()
        return unpack(record, _text_before(record, start)) if is_packed(record) else record
    except UnicodeEncodeError as error:
        raise UnreadableError("its record is not UTF-8 text") from error
    except PackingError as error:
        raise UnreadableError(f"its record is {error}") from error


def _text_before(record: bytes, start: object) -> bytes | None:
    """The text that a packed one goes on from; None where it goes on from none, or that cannot be read."""
    with suppress(UnreadableError):
        return text_of_record(start) if goes_on(record) else None
    return None


def first_problem(error: ValidationError) -> str:
    """The first thing that pydantic found wrong, as part of a sentence."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = shown(".".join(map(str, problem["loc"])), 60)[1:-1]
    message = problem["msg"] if len(problem["msg"]) <= 90 else f"{problem['msg'][:89]}…"
    return f"{place}: {message}" if place else message


def _why(raw: bytes, error: ValidationError) -> str:
    """What is wrong, and whether a newer foretoll wrote it."""
    schema = _schema_of(raw)
    number = _SCHEMA.fullmatch(schema)
    if number and int(number[1]) > 1:
        return f"schema {shown(schema, 40)[1:-1]}, {NEWER}"
    unknown = [p for p in error.errors(include_url=False) if p["loc"] == ("outcome",) and p["type"] == "enum"]
    if unknown:
        return f"unknown outcome {shown(unknown[0]['input'], 40)}"
    return first_problem(error)


def _schema_of(raw: bytes) -> str:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    return str(data.get("schema", ""))[:200] if isinstance(data, dict) else ""


def _without_unknown(raw: bytes, error: ValidationError) -> bytes | None:
    """The text without the fields that are not known; None where that is not all that is wrong."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] != "extra_forbidden" for problem in problems):
        return None
    data: Any = json.loads(raw)
    for problem in problems:
        *path, last = problem["loc"]
        place = data
        for step in path:
            place = place[step]
        place.pop(last, None)
    return json.dumps(data).encode()


def _with_zones(run: Run) -> Run:
    moments = {"started_at": run.started_at, "finished_at": run.finished_at}
    naive = {name: at.replace(tzinfo=UTC) for name, at in moments.items() if at is not None and not at.tzinfo}
    try:
        for moment in moments.values():
            if isinstance(moment, datetime) and moment.tzinfo is not None:
                moment.astimezone(UTC)
    except OverflowError as error:
        raise UnreadableError("its time is out of range") from error
    return run.model_copy(update=naive) if naive else run


def concluded(stored: StoredRun, outcome: Outcome, reason: str) -> StoredRun:
    """The same with the outcome that the ledger knows better: a run without an end, whose process is gone."""
    if stored.run.outcome == outcome:
        return stored
    return StoredRun(stored.run.model_copy(update={"outcome": outcome, "reason": reason}), stored.text)
