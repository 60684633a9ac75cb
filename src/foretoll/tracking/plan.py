"""What is asked of a tracked run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from foretoll.ledger import Ledger
from foretoll.options.table import DEFAULT
from foretoll.records import Estimate, Run, TrainingSettings
from foretoll.training import StopRule
from foretoll.workflows.context import Accounting, Data


class RunLogger(Protocol):
    """Takes finished runs to a tracker such as MLflow, see `foretoll.integrations.loggers`."""

    def log_run(self, run: Run, estimate: Estimate | None = None) -> None:
        """Log a run, and the forecast that was made before it."""


@dataclass(frozen=True)
class Plan:
    """What is asked of a tracked run, see `foretoll.track`."""

    source: Data = None
    target: Data = None
    until: float | None = None
    stop: StopRule | None = None
    option: str = DEFAULT
    task: bool | None = None
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    steps_per_epoch: int | None = None
    forecast: bool = True
    ledger: Ledger | str | None = None
    accounting: Accounting = field(default_factory=Accounting)
    tags: tuple[str, ...] = ()
    loggers: tuple[RunLogger, ...] = ()
    quiet: bool = False
    strict: bool = False
