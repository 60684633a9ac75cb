"""The lives of models in the ledger's database: what each is watched by, and what happened, appended only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from foretoll.errors import LedgerError, UsageError, shown
from foretoll.ledger.database import Database, default_location
from foretoll.ledger.schema import life_event, life_start, now_text
from foretoll.records import LifeCard, LifeEvent

T = TypeVar("T")
_MAX_NAME = 128


class LifeBook:
    """All lives of one ledger. Each event is one transaction, and a key of a kind is written once.

    Raises `LedgerError`, in one sentence, where the ledger cannot be read or written.
    """

    def __init__(self, location: str | None = None) -> None:
        self._database = Database(location or default_location())

    @property
    def where(self) -> str:
        """The path of the file, or the database URL without its password."""
        return self._database.where

    def held(self) -> AbstractContextManager[None]:
        """A block whose transactions share a connection, as `Database.held`."""
        return self._database.held()

    def let_go(self) -> None:
        """Close the connection that is held, until the next transaction: for what may fork in between."""
        self._database.let_go()

    def start(self, card: LifeCard) -> None:
        """Append the start of a life; UsageError where there is one of this name."""
        if not 0 < len(card.name) <= _MAX_NAME or not card.name.isprintable():
            raise UsageError(
                f"{shown(card.name, 40)} is no name for a life: give it 1 to {_MAX_NAME} characters"
            )
        values = {"name": card.name, "recorded_at": now_text(), "record": card.model_dump_json(by_alias=True)}
        try:
            self._database.write(lambda connection: connection.execute(life_start.insert(), values))
        except IntegrityError as error:
            raise UsageError(
                f"there is a life {shown(card.name, 40)} in the ledger {self.where}: give the new one another name"
            ) from error

    def names(self) -> list[str]:
        """Names of all lives, in the order of the alphabet."""
        query = sa.select(life_start.c.name).order_by(life_start.c.name)
        return self._read(lambda connection: [str(name) for name in connection.scalars(query)])

    def card(self, name: str) -> LifeCard:
        """What a life is watched by; LedgerError where there is none of this name, or it cannot be read."""
        query = sa.select(life_start.c.record).where(life_start.c.name == name)
        found = self._read(lambda connection: [str(record) for record in connection.scalars(query)])
        if not found:
            names = self.names()
            there = (
                f"there are {', '.join(shown(n, 30) for n in names[:5])}" if names else "there is none yet"
            )
            raise LedgerError(
                f"there is no life {shown(name, 40)} in the ledger {self.where} ({there}): begin it with foretoll life "
                "start"
            )
        try:
            return LifeCard.model_validate_json(found[0])
        except ValidationError as error:
            raise LedgerError(
                f"the life {shown(name, 40)} cannot be read (it is damaged, or of a newer foretoll): upgrade foretoll"
            ) from error

    def events(self, name: str, known: Sequence[LifeEvent] = ()) -> list[LifeEvent]:
        """What happened, oldest first; an event that cannot be read is left out.

        known: what was read before; where its last event still stands, later ones alone are read.
        """
        query = sa.select(life_event.c.record).where(life_event.c.life == name).order_by(life_event.c.number)
        if known:
            query = query.where(life_event.c.number >= known[-1].number)
        texts = self._read(lambda connection: [str(record) for record in connection.scalars(query)])
        events: list[LifeEvent] = []
        for text in texts:
            try:
                events.append(LifeEvent.model_validate_json(text))
            except ValidationError:  # of a newer foretoll, or damaged: the others count
                continue
        if known and events[:1] != [known[-1]]:  # another ledger lies there now
            return self.events(name)
        return [*known[:-1], *events]

    def append(self, name: str, event: LifeEvent) -> LifeEvent | None:
        """Append an event with the next number; None where one of its kind and key is there already."""

        def insert(connection: Connection) -> LifeEvent:
            newest = connection.scalar(
                sa.select(sa.func.max(life_event.c.number)).where(life_event.c.life == name)
            )
            numbered = event.model_copy(update={"number": 0 if newest is None else int(newest) + 1})
            connection.execute(
                life_event.insert(),
                {
                    "life": name,
                    "number": numbered.number,
                    "kind": numbered.kind,
                    "key": numbered.key,
                    "recorded_at": now_text(),
                    "record": numbered.model_dump_json(),
                },
            )
            return numbered

        for _ in range(100):  # another writer took the number in between, which only a server lets happen
            try:
                return self._database.write(insert)
            except IntegrityError:
                if self._has(name, event.kind, event.key):
                    return None
        raise LedgerError(f"the ledger {self.where} took no event for the life {shown(name, 40)}: try again")

    def _has(self, name: str, kind: str, key: str) -> bool:
        query = sa.select(life_event.c.number).where(
            life_event.c.life == name, life_event.c.kind == kind, life_event.c.key == key
        )
        return bool(self._read(lambda connection: list(connection.scalars(query))))

    def _read(self, work: Callable[[Connection], list[T]]) -> list[T]:
        return self._database.read(work, empty=[])
