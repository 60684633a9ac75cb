"""The ledger of runs: append-only, in one SQLite file or in a database that a team shares."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from foretoll.atomic import clear_leftovers
from foretoll.errors import LedgerError, UsageError, WrongLedgerError, unknown_name
from foretoll.exchange.files import read_file, write_lines
from foretoll.exchange.reading import (
    Selection,
    StoredRun,
    UnreadableError,
    UnreadRecord,
    UnreadRecordWarning,
    unread_text,
)
from foretoll.ledger.append import (
    append_end,
    has_end,
    has_start,
    import_all,
    insert_end,
    insert_start,
    record_of,
    text_of,
)
from foretoll.ledger.aside import damaged_runs, move_aside
from foretoll.ledger.database import Database
from foretoll.ledger.doctor import Finding, examine
from foretoll.ledger.query import (
    Filters,
    QueryResult,
    RunSummary,
    each,
    find,
    find_after,
    ids_like,
    newest_ids,
    outcome_now,
    row_of,
    run_name,
    tags_of,
    to_stored,
    to_summary,
)
from foretoll.ledger.salvage import salvage
from foretoll.ledger.spool import rescue, waiting
from foretoll.ledger.taught import OwnRuns, own_runs
from foretoll.process import this_process
from foretoll.records import Outcome, Run

T = TypeVar("T")


class Ledger:
    """Runs that were really carried out. A start and an end are appended; nothing is ever changed.

    Args:
        location: a path (SQLite) or a database URL; None: `$FORETOLL_LEDGER`, or else
            `$XDG_DATA_HOME/foretoll/ledger.db` (`~/.local/share/foretoll/ledger.db`). The file is made by
            the first write; reading one that is not there yet finds no runs.
        lock_timeout_s: how long to wait for another writer, or for a server that is away.
        age_limit: a run that began on another host (or in another container) and has no end is shown as
            running for this long, and as interrupted afterwards.

    Every method raises `LedgerError`, in one sentence, where the ledger cannot be read or written.
    """

    def __init__(
        self,
        location: str | Path | None = None,
        *,
        lock_timeout_s: float = 30.0,
        age_limit: timedelta = timedelta(days=7),
    ) -> None:
        self._database = Database(location, lock_timeout_s=lock_timeout_s)
        self._age_limit = age_limit

    @classmethod
    def open(cls, location: str | Path | None = None) -> Ledger:
        """The ledger at a path or URL, or the default one; makes nothing yet."""
        return cls(location)

    @classmethod
    def of(cls, given: Ledger | str | Path | None) -> Ledger:
        """One that is open already as it is; else the one at a path or URL, or the default one (`open`)."""
        if isinstance(given, Ledger):
            return given
        if given is not None and not isinstance(given, (str, Path)):
            raise UsageError(
                f"a ledger was given as {type(given).__name__}: give its path or URL, or an open Ledger"
            )
        return cls.open(given)

    @property
    def where(self) -> str:
        """The path of the file, or the database URL without its password."""
        return self._database.where

    def check(self, *, to_write: bool = False) -> None:
        """Refuse, before any work, what can be no ledger of this foretoll (WrongLedgerError).

        One that is away, locked, full or damaged now passes: it is no reason not to do the work.
        """
        try:
            self._database.read(lambda _: None, empty=None)
        except WrongLedgerError:
            raise
        except LedgerError:
            return
        if to_write and self._database.newer:
            raise WrongLedgerError(self._database.newer)

    # --- writing ---------------------------------------------------------------------------------

    def begin(self, run: Run) -> None:
        """Append the start of a run, with the process that carries it out.

        Raises:
            UsageError: the run's outcome is not `running`.
            LedgerError: the id is there already, or the ledger cannot be written.
        """
        if run.outcome is not Outcome.RUNNING:
            raise UsageError(f"run {run.id} begins with outcome {run.outcome}: begin it with outcome running")
        record = record_of(run)
        try:
            self._database.append(
                lambda connection: insert_start(connection, run, record, this_process()),
                done=lambda connection: has_start(connection, run.id, record),
            )
        except IntegrityError as error:
            raise LedgerError(
                f"run {run.id} is already in the ledger {self.where}: give every run its own id"
            ) from error
        with suppress(LedgerError):  # what waits goes on waiting
            self.flush()

    def finish(self, run: Run) -> None:
        """Append the end of a run, once. `finished_at` is filled in where it is None.

        A start that is missing (the file was moved away while the run was under way) is appended too. Where
        the ledger cannot be written the record is saved to a file that the error names: a measured run is
        never thrown away.

        Raises:
            UsageError: the outcome is still `running`.
            LedgerError: the run has an end already, or the ledger cannot be written.
        """
        if run.outcome is Outcome.RUNNING:
            raise UsageError(f"run {run.id} cannot finish with outcome running: say how it ended")
        if run.finished_at is None:
            run = run.model_copy(update={"finished_at": datetime.now(UTC)})
        record = record_of(run)

        def insert(connection: Connection) -> None:
            append_end(connection, run, record, this_process())

        try:
            self._database.append(insert, done=lambda connection: has_end(connection, run.id, record))
        except IntegrityError as error:
            raise LedgerError(
                f"run {run.id} has an end already in the ledger {self.where}: an end is written once"
            ) from error
        except LedgerError as error:
            saved = rescue(run, self.where)
            if saved is None:
                raise
            raise LedgerError(
                f"{error}; the finished run is saved, add it with `foretoll ledger import {saved}`",
                saved=saved,
            ) from error

    def flush(self) -> int:
        """Take in the finished runs that were kept in files while the ledger could not be written; how many.

        The commands do so by themselves, and so does the next run.
        """
        added = 0
        for path in waiting(self.where):
            added += self.import_(path)
            path.unlink(missing_ok=True)
        return added

    # --- reading ---------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """The run with this id, or the only one whose id begins with it.

        Raises:
            LedgerError: no run, or several, have such an id.
        """
        ids = self._list(lambda connection: ids_like(connection, run_id)) if run_id else []
        if run_id not in ids and len(ids) != 1:
            if ids:
                shown = ", ".join(ids[:3]) + (", …" if len(ids) > 3 else "")
                raise LedgerError(
                    f"{len(ids)} runs have ids that begin with {run_id!r} ({shown}): write more of it"
                )
            newest = self._list(newest_ids)
            if not newest:
                raise LedgerError(f"there is no run {run_id!r}: the ledger {self.where} is empty")
            raise LedgerError(
                f"there is no run {run_id!r} in the ledger {self.where} (newest: {', '.join(newest)}): "
                "see `foretoll ledger list`"
            )
        found = self._find(run_id if run_id in ids else ids[0])
        if found is None:  # rows are never deleted, so this is another program's doing
            raise LedgerError(
                f"run {run_id!r} vanished from the ledger {self.where} while it was read: try again"
            )
        return found

    def runs(
        self,
        *,
        option: str | None = None,
        outcome: Outcome | str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[Run]:
        """Validated runs, newest first by default; those without an end as running or interrupted.

        Records that cannot be read are passed over with an `UnreadRecordWarning`; `select` gives them instead.
        """
        found = self.select(option=option, outcome=outcome, tag=tag, limit=limit, newest_first=newest_first)
        if found.warning:
            warnings.warn(found.warning, UnreadRecordWarning, stacklevel=2)
        return found.runs

    def select(
        self,
        *,
        option: str | None = None,
        outcome: Outcome | str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> Selection:
        """The same selection as `runs`, with what was passed over because it cannot be read."""
        found = self._find_stored(_filters(option, outcome, tag, limit, newest_first))
        return Selection([stored.run for stored in found.items], tuple(found.unread), self._database.newer)

    def own_runs(self) -> OwnRuns:
        """What the runs teach a forecast, from the columns beside their records: as fast with many as with few."""
        return own_runs(self._database)

    def summaries(
        self,
        *,
        option: str | None = None,
        outcome: Outcome | str | None = None,
        tag: str | None = None,
        limit: int | None = None,
        newest_first: bool = True,
    ) -> list[RunSummary]:
        """The same selection as `runs`, without parsing any record: for lists."""
        filters = _filters(option, outcome, tag, limit, newest_first)
        found: QueryResult[RunSummary] = self._database.read(
            lambda c: find(c, filters, to_summary, record=False, age_limit=self._age_limit),
            empty=QueryResult(),
        )
        if found.unread:
            warnings.warn(unread_text(found.unread), UnreadRecordWarning, stacklevel=2)
        return found.items

    def tags(self, prefix: str, *, tag: str | None = None) -> dict[str, tuple[str, ...]]:
        """By a run's id its tags that begin with `prefix`; of runs that have `tag`, where it is given."""
        return self._database.read(lambda c: tags_of(c, prefix, tag), empty={})

    def stream(self, *, at_once: int = 500) -> Iterator[Run | UnreadRecord]:
        """All runs, oldest first, `at_once` of them in memory; in place of one that cannot be read, what is wrong.

        Runs that are added meanwhile may be among them.
        """
        place: tuple[str, str] | None = None
        while True:
            found, place = self._next_of(place, at_once)
            yield from (stored.run for stored in found.items)
            yield from found.unread
            if place is None:
                return

    def lineage(self, run_id: str) -> list[Run]:
        """The updates that led to this run, oldest first, the run itself last.

        Ancestors that are not in this ledger are left out; the chain goes on behind them where a later run
        names its older ancestors.
        """
        chain = [self.get(run_id)]
        seen = {chain[0].id}
        pending = _ancestors(chain[0])
        while pending:
            ancestor, pending = pending[0], pending[1:]
            if ancestor in seen:
                continue
            seen.add(ancestor)
            try:
                run = self._find(ancestor)
            except LedgerError:  # it cannot be read
                run = None
            if run is not None:
                chain.append(run)
                pending = _ancestors(run) or pending
        return chain[::-1]

    # --- exchange --------------------------------------------------------------------------------

    def export(self, path: str | Path, *, anonymous: bool = False) -> int:
        """Write all runs that are not running as JSON lines (gzip where the name ends in .gz), oldest first.

        Paths are named from the current folder or from the home folder; with `anonymous`, nothing of user, host,
        folders and the system's version is told (`foretoll.sharing`). The file is written atomically; "-" is the
        standard output. Records that cannot be read are left out with an
        `UnreadRecordWarning`; fields that a newer foretoll wrote are kept. Returns the number of runs.
        """
        count, unread = self.export_readable(path, anonymous=anonymous)
        if unread:
            warnings.warn(unread_text(unread), UnreadRecordWarning, stacklevel=2)
        return count

    def export_readable(
        self, path: str | Path, *, anonymous: bool = False
    ) -> tuple[int, tuple[UnreadRecord, ...]]:
        """As `export`; also returns what was left out because it cannot be read."""
        unread: list[UnreadRecord] = []

        def lines(connection: Connection) -> Iterator[bytes]:
            unread.clear()
            filters = Filters(newest_first=False)
            for found in each(connection, filters, to_stored, record=True, age_limit=self._age_limit):
                if isinstance(found, UnreadRecord):
                    unread.append(found)
                elif found.run.outcome is not Outcome.RUNNING:
                    yield found.line(anonymous=anonymous).encode()

        written = self._database.read(lambda c: write_lines(path, lines(c)), empty=None)
        return write_lines(path, ()) if written is None else written, tuple(unread)

    def import_(self, path: str | Path, *, skip: bool = False) -> int:
        """Add the runs of a JSON lines file that are not here yet: all of them, or on any error none.

        Returns:
            The number of runs that were added.

        Args:
            skip: pass over whole lines that are no run, with an `UnreadRecordWarning`.

        Raises:
            LedgerError: the file cannot be read whole, a run in it is still running, or a run differs from
                the one with the same id in this ledger.
        """
        added, unread = self.import_readable(path, skip=skip)
        if unread:
            warnings.warn(unread_text(unread), UnreadRecordWarning, stacklevel=2)
        return added

    def import_readable(
        self, path: str | Path, *, skip: bool = False
    ) -> tuple[int, tuple[UnreadRecord, ...]]:
        """As `import_`; also returns the lines that were passed over."""
        found = read_file(path, skip=skip)
        for run in found.runs:
            if run.outcome is Outcome.RUNNING:
                raise LedgerError(f"{path}: run {run.id} is still running: import it when it has ended")
        prepared = [(stored.run, text_of(stored)) for stored in found.stored]

        def insert(connection: Connection) -> int:
            return import_all(connection, prepared, str(path))

        if not prepared:
            return 0, tuple(found.unread)
        try:
            added = self._database.write(insert)
        except IntegrityError:
            added = self._database.write(
                insert
            )  # another import added the same run meanwhile: now it is seen
        return added, tuple(found.unread)

    # --- health ----------------------------------------------------------------------------------

    def doctor(self, *, repair: bool = False, aside: str | Path | None = None) -> list[str]:
        """What is wrong with the ledger, one sentence each; an empty list where all is well.

        Args:
            repair: append an `interrupted` end to every run whose process is gone (or, on other hosts, whose
                age is past the limit); if such a run ends after all, its own end counts. Move records that cannot
                be read into the table `run_aside`, and write them, as they are, to a file. Of a file with damaged
                pages, which is left as it is, copy every run that can be read into a new ledger beside it.
            aside: that file; None: one beside the ledger, or in the current folder for a ledger on a server.
        """
        try:
            findings = self._list(lambda c: examine(c, self.where, self._age_limit))
        except LedgerError as error:
            broken = self._database.is_broken(error)
            return [self._salvaged(str(error)) if broken and repair else str(error)]
        if self._database.newer:
            return [self._database.newer, *(finding.text for finding in findings)]
        if not repair:
            return [finding.text for finding in findings]
        if (place := self._database.path) is not None:  # what repairs left that were killed
            clear_leftovers(place.parent, f".{place.stem}-aside-", ".part", named=True)
        if any(finding.broken_file for finding in findings):
            return [self._salvaged(findings[0].text)]
        file = self._move_aside(aside) if any(finding.damaged for finding in findings) else None
        return [self._repaired(finding, file) for finding in findings]

    def _repaired(self, finding: Finding, file: Path | None) -> str:
        if finding.damaged is not None:
            said = finding.text.rsplit(": ", 1)[0]
            return f"{said}; repaired: it was moved aside, what it held is in {file}"
        if finding.dead_run is not None and self._presume_end(finding):
            return f"{finding.text}; repaired: an interrupted end was appended"
        return finding.text

    def _salvaged(self, what: str) -> str:
        """The runs of a damaged file in a new one, and how many were lost."""
        place = self._database.path
        if place is None:
            return what
        said = what.rsplit(": ", 1)[0]
        try:
            found = salvage(place)
            new = place.with_name(f"{place.stem}-salvaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.db")
            Database(new).write(found.write)
        except LedgerError:
            return what
        lost = f"{found.lost:,} rows are lost" if found.lost else "nothing was found missing"
        return f"{said}; repaired: {found.runs:,} runs are in the new ledger {new.name} beside it, {lost}: use that one"

    def _move_aside(self, aside: str | Path | None) -> Path:
        """Everything that cannot be read now; the file that it is in."""
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}.jsonl"
        place = self._database.path
        file = Path(aside) if aside else Path(f"foretoll-aside-{name}")
        if not aside and place is not None:
            file = place.with_name(f"{place.stem}-aside-{name}")

        def move(connection: Connection) -> None:
            move_aside(connection, damaged_runs(connection), file)

        self._database.write(move)
        return file

    def _presume_end(self, finding: Finding) -> bool:
        run_id = str(finding.dead_run)

        def insert(connection: Connection) -> bool:
            row = row_of(connection, run_id)
            if row is None or row.ended is not None:
                return False  # it ended, or somebody else repaired it, since it was examined
            outcome, reason = outcome_now(row, self._age_limit)
            if outcome is Outcome.RUNNING:
                return False
            run = to_stored(row, outcome, reason).run
            insert_end(connection, run, record_of(run))
            return True

        try:
            return self._database.write(insert)
        except (IntegrityError, UnreadableError):
            return False

    # --- inside ----------------------------------------------------------------------------------

    def _list(self, work: Callable[[Connection], list[T]]) -> list[T]:
        return self._database.read(work, empty=[])

    def _find_stored(self, filters: Filters) -> QueryResult[StoredRun]:
        return self._database.read(
            lambda c: find(c, filters, to_stored, record=True, age_limit=self._age_limit), empty=QueryResult()
        )

    def _next_of(
        self, place: tuple[str, str] | None, count: int
    ) -> tuple[QueryResult[StoredRun], tuple[str, str] | None]:
        none: tuple[QueryResult[StoredRun], tuple[str, str] | None] = (QueryResult(), None)
        return self._database.read(lambda c: find_after(c, place, count, self._age_limit), empty=none)

    def _find(self, run_id: str) -> Run | None:
        row = self._database.read(lambda connection: row_of(connection, run_id), empty=None)
        if row is None:
            return None
        try:
            return to_stored(row, *outcome_now(row, self._age_limit)).run
        except UnreadableError as error:
            raise LedgerError(
                f"{run_name(run_id)} in the ledger {self.where} cannot be read ({error}): "
                "upgrade foretoll if a newer one wrote it, or run `foretoll ledger doctor`"
            ) from error


def _filters(
    option: str | None, outcome: Outcome | str | None, tag: str | None, limit: int | None, newest_first: bool
) -> Filters:
    if limit is not None and limit < 0:
        raise UsageError(f"the limit of runs is {limit}: give 0 or more")
    if outcome is not None and outcome not in list(Outcome):
        raise UsageError(unknown_name("outcome", str(outcome), [str(known) for known in Outcome]))
    return Filters(option, None if outcome is None else Outcome(outcome), tag, limit, newest_first)


def _ancestors(run: Run) -> tuple[str, ...]:
    """Ids of the updates before a run, nearest first.

    A card names the run that made its weights; where that is the run itself (the card describes the result)
    the parent is one further.
    """
    parents = [run.model.run_id, run.model.parent_run_id, *reversed(run.lineage)]
    return tuple(dict.fromkeys(parent for parent in parents if parent and parent != run.id))
