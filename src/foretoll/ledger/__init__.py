"""The ledger: runs that were really carried out, append-only, in SQLite or a shared database."""

from foretoll.exchange.files import read_runs, write_runs
from foretoll.exchange.reading import Selection, UnreadRecordWarning
from foretoll.ledger.lives import LifeBook
from foretoll.ledger.query import RunSummary
from foretoll.ledger.spool import rescue
from foretoll.ledger.store import Ledger
from foretoll.ledger.taught import OwnRuns

__all__ = [
    "Ledger",
    "LifeBook",
    "OwnRuns",
    "RunSummary",
    "Selection",
    "UnreadRecordWarning",
    "read_runs",
    "rescue",
    "write_runs",
]
