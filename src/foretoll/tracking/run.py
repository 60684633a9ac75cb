"""A training loop of the user's own, forecast before and measured after: what `foretoll.track` gives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from foretoll.ledger import Ledger
from foretoll.options.table import traits_of
from foretoll.quality import Evaluation, evaluate, quality_of
from foretoll.random_states import random_states_kept
from foretoll.records import Estimate, LiveForecast, Outcome, Run
from foretoll.tasks import known_metric
from foretoll.tracking import record
from foretoll.tracking.ending import end, finished
from foretoll.tracking.hooks import Hooks
from foretoll.tracking.look import Look, bare, loader_of, look_before, place_of
from foretoll.tracking.observer import Observer, epoch_length, parameters_of
from foretoll.tracking.plan import Plan
from foretoll.tracking.ranks import WAIT_S, Ranks
from foretoll.tracking.reading import read_loop, read_optimizer
from foretoll.tracking.showing import log_run, show_end, show_forecast
from foretoll.training import EVALUATION, TRAINING, Recorder, Recording, first_of, never, until
from foretoll.training.guard import AS_NAMED, Guard, GuardedMeter, is_refused_input, say
from foretoll.workflows.keeping import begin, keep
from foretoll.workflows.live import SO, Renewals

if TYPE_CHECKING:
    from foretoll.records import DataCard


class TrackedRun:
    """One run of a loop that is not foretoll's. Made by `foretoll.track`, used as a context manager.

    estimate: the forecast; None without one
    record: the run as the ledger has it, after the block; before it as far as it is known; None on ranks but the first
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan) -> None:
        self.model, self.optimizer, self.plan = model, optimizer, plan
        self.estimate: Estimate | None = None
        self.record: Run | None = None
        self._guard = Guard(strict=plan.strict)
        self._look = Look()
        self._notes: list[str] = []
        self._factor = 1.0
        self._ledger: Ledger | None = None
        self._known = False  # whether the ledger has the start of the run
        self._recorder: Recorder | None = None
        self._seen: Observer | None = None
        self._hooks: Hooks | None = None
        self._stop = False
        self._over = False
        self._renewals: Renewals | None = None
        self._meter: GuardedMeter | None = None

    # --- the user's side -------------------------------------------------------------------------

    def evaluate(self, quality: float | Tensor, loss: float | Tensor | None = None) -> bool:
        """The model was evaluated on data that stop the training, with this quality in the metric's unit and mean loss.

        True when the training should stop (`stop`); whether it does is the loop's to decide.
        """
        recorder = self._recorder
        if recorder is None:
            return False

        def told() -> None:
            value, metric = float(quality), known_metric(self._settings.metric)
            low, high = (metric.low, metric.high) if metric else (-math.inf, math.inf)
            if not (math.isfinite(value) and low <= value <= high):
                say(
                    f"a quality of {value:g} is not recorded: it lies between {low:g} and {high:g} (93 % is 0.93)"
                )
                return
            recorder.enter(EVALUATION)
            recorder.result.steps_per_epoch = self._steps_per_epoch()
            self._stop = recorder.evaluate(value, None if loss is None else float(loss))
            recorder.enter(TRAINING)

        self._guard.call("recording an evaluation", told, so="the run is recorded without the rest of them")
        self._guard.call("forecasting what is left", lambda: self._renew(recorder), so=SO)
        return self.stop

    def _renew(self, recorder: Recorder) -> None:
        """Forecast anew what is left; at the loop's own rate of evaluations."""
        self._renewals = renewals = self._renewals or Renewals(self._settings, None, 0)
        result, renewals.latest = recorder.result, None
        if not result.curve or result.epochs is None:
            return
        later = len(result.curve) - (result.curve[0].step == 0)
        settings = self._settings
        if "evals_per_epoch" not in settings.model_fields_set and later and result.epochs:
            settings = settings.model_copy(update={"evals_per_epoch": max(round(later / result.epochs), 1)})
        renewals.settings = settings
        if self.record is not None:
            renewals.made = self.record.forecast
            renewals.validation = self.record.target.validation
        renewals.renew(result.curve, result.steps_per_epoch, recorder.meter.so_far_kwh)

    @property
    def live(self) -> LiveForecast | None:
        """What is left of the run, as forecast at its last evaluation; None where it cannot be known.

        It takes a target, the length of an epoch, and a step; the budget is that of the settings (`max_epochs`).
        """
        return self._renewals.latest if self._renewals is not None else None

    @property
    def hopeless(self) -> bool:
        """Whether the chance of reaching the target lies under `give_up` now; what follows is the loop's to decide."""
        return bool(self._guard.call("forecasting what is left", self._why_hopeless, so=SO))

    def _why_hopeless(self) -> str:
        return self._renewals.hopeless if self._renewals is not None else ""

    @property
    def stop(self) -> bool:
        """Whether the target is met, or another stop rule says so."""
        return self._stop

    @property
    def steps(self) -> int:
        """Optimisation steps so far."""
        return self._recorder.result.steps if self._recorder is not None else 0

    def batch(self, samples: int | None = None) -> None:
        """A batch of so many samples is trained on: only for loops that do not call the tracked model itself."""
        seen = self._seen
        if seen is not None:
            self._guard.call("watching the model", lambda: seen.batch(samples))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """A block that belongs to an evaluation, where the model's own mode does not tell it."""
        self._enter(EVALUATION)
        try:
            yield
        finally:
            self._enter(TRAINING)

    def _enter(self, phase: str) -> None:
        recorder = self._recorder
        if recorder is not None:
            self._guard.call("watching the model", lambda: recorder.enter(phase))

    # --- before the first step -------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.start()

    def start(self) -> Self:
        """Look, forecast and begin to record; what entering the block does. `finish` ends it."""
        guard = self._guard
        if not guard.call("reading the loop", self._read, so=_NOT_RECORDED):
            return self
        if self._first:
            guard.call("looking before the loop", self._prepare, so=_NOT_RECORDED, passes=is_refused_input)
        guard.call("watching the loop", self._watch, so="the run is recorded without its steps")
        return self

    def _read(self) -> bool:
        """What the loop trains, where, in how many processes and with which settings."""
        self._factor = traits_of(self.plan.option).lr_factor
        self._network = bare(self.model)
        self._device = place_of(self._network)
        self._ranks = self._guard.call("finding the other processes", Ranks.here) or Ranks()
        self._first = self._ranks.first
        self._names = {id(p): name for name, p in self._network.named_parameters()}
        read = self._guard.call(
            "reading the optimiser",
            lambda: read_optimizer(self.optimizer, self.plan.settings, self._names, lr_factor=self._factor),
            so=AS_NAMED,
        )
        self._settings = read.settings if read else self.plan.settings
        self._notes += read.notes if read else ()
        return True

    def _prepare(self) -> None:
        """Look, forecast and write the start of the run; on the first rank alone."""
        plan, guard = self.plan, self._guard
        self._ledger = guard.call("opening the ledger", self._open_ledger, so="the run is kept in a file")
        target: DataCard | None = None
        if plan.looks:
            with random_states_kept():
                self._look, notes = look_before(
                    self.model, plan, self._settings, ledger=self._ledger, guard=guard
                )
                self._notes += notes
        self.estimate = self._look.estimate
        goal = plan.until
        if goal is None and self.estimate is not None and self._ranks.count == 1:
            goal = self.estimate.until  # of several processes, the others would not stop at it
        if goal is not None:
            known = self.estimate.settings if self.estimate is not None else self._settings
            fixed = {"until": goal, "metric": known.metric, "scale": known.scale}
            self._settings = self._settings.model_copy(update=fixed)
        if self._look.update is None and plan.target is not None:
            target = guard.call(
                "reading the target data", self._target_card, so="the run is recorded without them"
            )
        digest = guard.call("identifying the weights", lambda: record.digest_of(self._network), so=_NO_DIGEST)
        self.record = guard.call(
            "describing the run",
            lambda: record.begun(
                plan,
                self._look,
                self._network,
                self._settings,
                target=target,
                digest=digest,
                notes=self._notes,
            ),
            so=_NOT_RECORDED,
        )
        if self.record is not None:
            grid = guard.call("finding the grid's intensity", lambda: plan.accounting.grid)
            self.record = self.record.model_copy(update={"grid": grid})
            self._known = begin(self._ledger, self.record, guard)
        if self.estimate is not None and not plan.quiet:
            show_forecast(self.estimate, guard)

    def _target_card(self) -> DataCard:
        from foretoll.data import open_data

        with random_states_kept():
            return open_data(self.plan.target).card

    def _open_ledger(self) -> Ledger:
        return Ledger.of(self.plan.ledger)

    def _watch(self) -> None:
        """Begin to measure and to count."""
        guard, plan = self._guard, self.plan
        settings = self._settings
        goal = settings.until if self._first else plan.until
        aim = until(goal, scale=settings.known_scale) if goal is not None else None
        rules = [rule for rule in (aim, plan.stop) if rule is not None]
        stop = first_of(*rules) if rules else never()
        self._meter = meter = GuardedMeter(
            guard, lambda: plan.accounting.meter(self._device), device=self._device
        )
        parameters = parameters_of(self.optimizer, self._names) if self._first else {}

        def new_recorder(parameters: dict[str, nn.Parameter]) -> Recorder:
            return Recorder(parameters, stop=stop, steps_per_epoch=None, meter=meter)

        recorder = guard.call("copying the weights at the start", lambda: new_recorder(parameters))
        recorder = recorder or new_recorder({})
        seen = Observer(recorder, self.optimizer)
        recorder.begin(TRAINING)
        self._recorder, self._seen = recorder, seen
        self._hooks = Hooks(self.model, self.optimizer, seen, guard)

    def _steps_per_epoch(self) -> int | None:
        seen, run = self._seen, self.record
        if self.plan.steps_per_epoch is not None or seen is None:
            return self.plan.steps_per_epoch
        samples = run.target.train if run else 0
        return epoch_length(seen, loader_of(self.plan.target), samples, ranks=self._ranks.count)

    # --- after the last step ---------------------------------------------------------------------

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(error)

    def finish(self, error: BaseException | None = None) -> None:
        """Stop recording and write the run; what leaving the block does. `error`: what ended the loop; not raised."""
        if not self._over:
            self._over = True
            self._guard.call("ending the record", lambda: self._finish(error), so=_AS_FAR)

    def _finish(self, error: BaseException | None) -> None:
        guard, hooks = self._guard, self._hooks
        if hooks is not None:
            guard.call("taking the hooks off", hooks.remove)
        recorder = self._recorder
        if recorder is None or self._seen is None:
            self._unwatched()
            return
        if not recorder.over:
            recorder.result.outcome = Outcome.INTERRUPTED  # what is known where the next line fails
        guard.call(
            "recording how the run ended", lambda: end(recorder, error, self._why_hopeless()), so=_AS_FAR
        )
        recording = guard.call(
            "reading the recorder", lambda: finished(recorder, self._steps_per_epoch()), so=_AS_FAR
        )
        if recording is None:
            recording = recorder.result
        if not self._first:
            if recording.reading is not None:
                reading = recording.reading
                guard.call("reporting to the first rank", lambda: self._ranks.leave(reading))
            return
        if self._ranks.count > 1:
            guard.call("adding up the ranks", lambda: self._add_up(recording, wait=error is None))
        after = None
        if error is None and self._look.before is not None:
            with random_states_kept():
                after = guard.call("the test of the final model", self._test, so=_AS_FAR)
        if self.record is None:
            return
        run = guard.call("describing the run's end", lambda: self._ended(recording, after), so=_AS_FAR)
        self.record = run or self.record.model_copy(
            update={"outcome": recording.outcome, "reason": recording.reason}
        )
        keep(self._ledger, self.record, guard, known=self._known)
        if not self.plan.quiet:
            show_end(self.estimate, self.record, guard)
        for logger in self.plan.loggers:
            log_run(logger, self.record, self.estimate, guard)

    def _unwatched(self) -> None:
        """End a run that has begun, and of which nothing could be recorded."""
        if self._meter is not None:
            self._meter.__exit__(None, None, None)
        if self.record is not None:
            why = {"outcome": Outcome.INTERRUPTED, "reason": "it could not be watched"}
            self.record = self.record.model_copy(update=why | {"warnings": self._guard.faults})
            keep(self._ledger, self.record, self._guard, known=self._known)

    def _add_up(self, recording: Recording, *, wait: bool) -> None:
        if recording.reading is None:
            return
        reading, notes = self._ranks.together(recording.reading, wait_s=WAIT_S if wait else 0.0)
        recording.measured(reading)
        self._notes += notes

    def _test(self) -> Evaluation | None:
        opened = self._look.update
        if opened is None or opened.target.test.labels is None:
            return None
        return evaluate(opened.model, opened.target.test, metric=self._settings.metric, device=opened.device)

    def _ended(self, recording: Recording, after: Evaluation | None) -> Run:
        assert self.record is not None and self._seen is not None  # noqa: S101  # the caller asked
        read = read_loop(
            self._settings,
            self.plan.settings,
            self._seen,
            self.model,
            ranks=self._ranks.count,
            lr_factor=self._factor,
        )
        digest = self._guard.call(
            "identifying the weights", lambda: record.digest_of(self._network), so=_NO_DIGEST
        )
        return record.ended(
            self.record,
            recording,
            replace(read, notes=(*self._notes, *read.notes, *self._guard.faults)),
            seen=self._seen,
            trained=sum(p.numel() for p in parameters_of(self.optimizer, {}).values() if p.requires_grad),
            quality=None if after is None else quality_of(read.settings.metric, self._look.before, after),
            digest=digest,
        )


_NOT_RECORDED = "the run is not recorded"
_AS_FAR = "the run is recorded as far as it is known"
_NO_DIGEST = "the run is not known as one of this model's own"
