"""What is asked of a tracked run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from foretoll.ledger import Ledger
from foretoll.options.table import DEFAULT
from foretoll.records import Estimate, Run, TrainingSettings
from foretoll.training import StopRule
from foretoll.workflows.context import Accounting, Data
from foretoll.workflows.unknown_source import named_source


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

    @property
    def looks(self) -> bool:
        """Whether there is something to forecast: a target, and a goal that is named or that a source can tell."""
        goal = self.until is not None or self.settings.until is not None
        return self.forecast and self.target is not None and (goal or named_source(self.source) is not None)
