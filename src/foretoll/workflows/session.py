"""What is given once for many calls: where the work runs, how it is accounted for, and where it is remembered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from foretoll.forecast import Forecaster
from foretoll.ledger import Ledger
from foretoll.records import Comparison, Estimate, Run, TrainingSettings
from foretoll.workflows.compare import compare
from foretoll.workflows.context import Accounting, Data, ModelLike, Watcher
from foretoll.workflows.estimate import estimate
from foretoll.workflows.experience import experience_of
from foretoll.workflows.retrain import retrain
from foretoll.workflows.train import train


@dataclass(frozen=True)
class Session:
    """What is given once for many calls; its verbs take what differs from one to the next.

    A call may give any of it for itself; it then holds for that call. The forecaster is fitted once.

    >>> session = foretoll.Session(region="DE", ledger="runs.db")  # doctest: +SKIP
    >>> session.estimate(model, old, new, option="head")  # doctest: +SKIP

    Args:
        device: "cpu", "cuda", "cuda:1", …; "auto" takes CUDA where there is one.
        accounting: how energy and emissions are counted, and the price.
        ledger: where runs are read and written: open, a path or a database URL; None: the user's own.
        settings: the training settings of calls that give none.
        watcher: is called with the progress; None: nobody.
        engine: where data are looked at: "local", "processes:4", "ray", …
        energy: short for an accounting with this meter, such as "watts:65".
        region: short for an accounting with this grid, such as "DE".

    Raises:
        LedgerError: a ledger that cannot be opened, at the first call.
        MeasureError: an unknown region or meter, at the first call.
    """

    device: str = "auto"
    accounting: Accounting | None = None
    ledger: Ledger | str | None = None
    settings: TrainingSettings | None = None
    watcher: Watcher | None = None
    engine: Any = None
    energy: Any = None
    region: str | None = None

    @cached_property
    def opened_ledger(self) -> Ledger:
        """The ledger, opened once."""
        return Ledger.of(self.ledger)

    @property
    def forecaster(self) -> Forecaster:
        """What the forecasts rest on: fitted once, and anew where the ledger has other runs."""
        return experience_of(self.opened_ledger)[1]

    @cached_property
    def full_accounting(self) -> Accounting:
        """How energy and emissions are counted, `energy` and `region` included."""
        short: dict[str, Any] = {"energy": self.energy, "region": self.region}
        given = {name: value for name, value in short.items() if value is not None}
        return replace(self.accounting or Accounting(), **given)

    def with_(self, **changes: Any) -> Session:
        """The same session but for these; the ledger stays open, and what its runs taught is kept."""
        return replace(self, **{"ledger": self.opened_ledger, **changes})

    def estimate(self, model: ModelLike, source: Data = None, target: Data = None, **more: Any) -> Estimate:
        """Predict what an update will cost; `more`: what `foretoll.estimate` takes, as its errors and its answer."""
        given = {} if self.engine is None else {"engine": self.engine}
        return estimate(model, source, target, **self._given() | given | more)

    def retrain(self, model: ModelLike, source: Data = None, target: Data = None, **more: Any) -> Run:
        """Carry out an update and measure it; `more`: what `foretoll.retrain` takes."""
        return retrain(model, source, target, **self._given() | more)

    def compare(self, models: Any, source: Data = None, target: Data = None, **more: Any) -> Comparison:
        """Compare all ways to reuse models; `more`: what `foretoll.compare` takes."""
        return compare(models, source, target, **self._given() | more)

    def train(self, arch: str, data: Data, **more: Any) -> Run:
        """Train a model from fresh weights, measured; `more`: what `foretoll.train` takes."""
        return train(arch, data, **self._given() | more)

    def _given(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "accounting": self.full_accounting,
            "ledger": self.opened_ledger,
            "settings": self.settings,
            "watcher": self.watcher,
        }
