"""What the runs of a ledger teach: read and fitted anew only where there are other runs than the last time."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from foretoll.forecast import Forecaster
from foretoll.forecast.reference import reference_forecaster
from foretoll.ledger import Ledger, Selection
from foretoll.records import Outcome

_Seen = tuple[tuple[str, Outcome], ...]
_FITTED: WeakKeyDictionary[Ledger, tuple[_Seen, Forecaster]] = WeakKeyDictionary()


def experience_of(ledger: Ledger) -> tuple[Selection, Forecaster]:
    """The runs of a ledger, and the forecaster of these and of the runs that ship.

    The forecaster is kept for as long as the ledger is open (`foretoll.Session` holds one), with the models that it
    has fitted; a run that was added since gives a new one.
    """
    selection = ledger.select()
    seen = tuple((run.id, run.outcome) for run in selection.runs)
    kept = _FITTED.get(ledger)
    if kept is None or kept[0] != seen:
        kept = _FITTED[ledger] = seen, reference_forecaster(selection.runs)
    return selection, kept[1]
