"""What the runs of a ledger teach: read and fitted anew only where there are other runs than the last time."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from foretoll.errors import LedgerError, WrongLedgerError
from foretoll.forecast import Forecaster
from foretoll.forecast.reference import reference_forecaster
from foretoll.ledger import Ledger, OwnRuns
from foretoll.training.guard import strict_everywhere

_FITTED: WeakKeyDictionary[Ledger, tuple[int, tuple[str, ...], Forecaster]] = WeakKeyDictionary()


def experience_of(ledger: Ledger | None) -> tuple[OwnRuns, Forecaster]:
    """What is known of a ledger's runs, and the forecaster of these and of the runs that ship.

    The forecaster is kept for as long as the ledger is open (`foretoll.Session` holds one), with the models that it
    has fitted; a run that was added since gives a new one. A ledger that cannot be read teaches nothing, and its
    warning says so.
    """
    if ledger is None:
        return OwnRuns(), reference_forecaster()
    try:
        known = ledger.own_runs()
    except WrongLedgerError:
        raise
    except LedgerError as error:
        if strict_everywhere():
            raise
        known = OwnRuns(warning=f"the forecast rests on the runs that come with foretoll alone: {error}")
    seen = tuple(known.lessons.lessons.columns["run_id"].tolist())
    kept = _FITTED.get(ledger)
    if kept is None or kept[:2] != (known.ends, seen):
        kept = _FITTED[ledger] = known.ends, seen, reference_forecaster(known.lessons)
    return known, kept[2]
