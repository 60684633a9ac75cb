"""A tracker for accelerate: what `accelerator.log` is given as quality becomes a run in the ledger.

>>> tracker = ForetollTracker(model, optimizer, source=old, target=new, until=0.9)  # doctest: +SKIP
>>> accelerator = Accelerator(log_with=tracker)  # doctest: +SKIP
>>> accelerator.init_trackers("mine")  # forecasts; accelerator.end_training() writes the run  # doctest: +SKIP
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from typing import Any

from foretoll.errors import MissingExtraError
from foretoll.tracking import TrackedRun, track
from foretoll.training.guard import Guard, harmless, is_refused_input

try:
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    raise MissingExtraError("the tracker for accelerate", "accelerate") from error


class ForetollTracker(GeneralTracker):  # type: ignore[misc]  # untyped
    """Tracks one training: from `init_trackers` to `end_training`, in every process.

    model, optimizer: prepared by accelerate or not yet
    metric, loss: the names under which the loop logs quality and validation loss
    how: the arguments of `foretoll.track`
    """

    name = "foretoll"
    requires_logging_directory = False
    main_process_only = False  # the energy of all processes is one run's

    def __init__(
        self, model: Any, optimizer: Any, *, metric: str = "accuracy", loss: str = "eval_loss", **how: Any
    ) -> None:
        super().__init__()
        self.metric, self.loss = metric, loss
        self.guard = Guard(strict=bool(how.get("strict")))
        self.run: TrackedRun | None = self.guard.call(
            "setting up the tracker", lambda: track(model, optimizer, **how), passes=is_refused_input
        )

    @property
    def tracker(self) -> TrackedRun | None:
        """The tracked run; None where a fault of foretoll kept it from being made."""
        return self.run

    @harmless
    def start(self) -> None:
        """Forecast, and begin to record."""
        if self.run is None:
            return
        self.run.start()
        atexit.register(self._close)

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Settings are read off the optimiser and the loop: nothing is taken from here."""

    @harmless
    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Record an evaluation where the quality is among the values."""
        if self.run is not None and self.metric in values:
            self.run.evaluate(values[self.metric], values.get(self.loss))

    @harmless
    def finish(self) -> None:
        """Write the run."""
        if self.run is not None:
            self.run.finish()
        atexit.unregister(self._close)

    def _close(self) -> None:
        """End a run that nobody ended."""
        if self.run is not None:
            self.run.finish(SystemExit())
