"""`foretoll.track` and `foretoll.tracked`: forecast and measure a training loop that is not foretoll's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from foretoll.errors import UsageError, shown
from foretoll.ledger import Ledger
from foretoll.options.table import DEFAULT, get_option
from foretoll.records import TrainingSettings
from foretoll.records.setting_texts import chance
from foretoll.tasks import check_until, known_metric
from foretoll.tracking.plan import Plan, RunLogger
from foretoll.tracking.run import TrackedRun
from foretoll.training import StopRule
from foretoll.workflows.context import Accounting, Data

R = TypeVar("R")


def track(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    source: Data = None,
    target: Data = None,
    until: float | None = None,
    stop: StopRule | None = None,
    option: str = DEFAULT,
    task: bool | None = None,
    settings: TrainingSettings | None = None,
    steps_per_epoch: int | None = None,
    give_up: float | str | None = None,
    forecast: bool = True,
    ledger: Ledger | str | None = None,
    accounting: Accounting | None = None,
    tags: tuple[str, ...] = (),
    loggers: Sequence[RunLogger] = (),
    quiet: bool = False,
    strict: bool = False,
) -> TrackedRun:
    """Predict and measure the training in a `with` block, whatever its loop is, and add the run to the ledger.

    >>> with foretoll.track(model, optimizer, source=old, target=new, until=0.9) as run:  # doctest: +SKIP
    ...     for batch in loader:
    ...         ...  # your own code, untouched
    ...         if evaluated and run.evaluate(accuracy):
    ...             break

    Args:
        model: the network that is trained, as the loop calls it; it may be compiled, or wrapped for several processes.
        optimizer: the torch optimiser whose steps are counted; that of accelerate is unwrapped.
        source: what the model was trained on, as in `foretoll.estimate`; best your own data sets or loaders, so that
            the model sees what it sees in the loop. None: the forecast is made without it where `until` names a goal,
            and else there is none.
        target: what it is trained on now, in the same forms. None: the run is recorded without a forecast, and no later
            forecast learns from it.
        until: the quality that the training is meant to reach, in the metric's unit.
        stop: another rule that ends the training, beside `until`.
        option: what kind of update it is, as in `foretoll.retrain`.
        task: whether the target is a new task; None: decided by the names of the classes.
        settings: what cannot be read off the optimiser and the loop, and what is to be predicted (`max_epochs`); what
            is named there is taken at its word.
        steps_per_epoch: optimisation steps of an epoch; None: by the loader, or by the target's training samples.
        give_up: a probability such as 0.05 (or "5%") of reaching the target, under which the run counts as
            `run.hopeless`. The loop itself decides whether to end then.
        forecast: whether to look at data and model, and predict, before the first step.
        ledger: where the run is written: open, a path or a database URL; None: the user's own.
        accounting: how energy and emissions are counted; None: the best meter of this machine.
        tags: words by which the run is found in the ledger.
        loggers: where the finished run goes besides (`foretoll.integrations.loggers`).
        quiet: print nothing but faults.
        strict: let faults of foretoll pass, for tests.

    Returns:
        The run in progress, a context manager: `run.evaluate(quality)` records how good the model is, `run.live` has
            what is left. The gradient norm is that of the step as the optimiser receives it: after accumulation,
            clipping and unscaling. With torch.distributed every process calls this; the first one writes the run, with
            the energy of all.

    Raises:
        UsageError: arguments that cannot be used, when the block is entered.
        DataError: data that cannot be used, likewise. Inside of the block nothing of foretoll is raised: a fault is one
            line on the standard error.
    """
    settings = settings or TrainingSettings()
    if until is not None and known_metric(settings.metric) is not None:
        check_until(until, settings.metric)
    get_option(option)
    if give_up is not None:
        settings = _giving_up(settings, give_up)
    if steps_per_epoch is not None and steps_per_epoch < 1:
        raise UsageError(f"steps_per_epoch={steps_per_epoch} is no length of an epoch: give 1 or more")
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"{shown(type(model).__name__)} is no torch.nn.Module: give the network that the loop trains"
        )
    inner = _unwrapped(optimizer)
    if inner is None:
        raise UsageError(
            f"{shown(type(optimizer).__name__)} is no optimiser of torch: give the one whose step() the loop calls"
        )
    plan = Plan(
        source=source, target=target, until=until, stop=stop, option=option, task=task,
        settings=settings, steps_per_epoch=steps_per_epoch, forecast=forecast, ledger=ledger,
        accounting=accounting or Accounting(), tags=tags, loggers=tuple(loggers), quiet=quiet, strict=strict,
    )  # fmt: skip
    if settings.give_up is not None and until is None and settings.until is None and not plan.looks:
        raise UsageError("give_up needs a quality target, whose chance may fall: name one with until=0.9")
    return TrackedRun(model, inner, plan)


def _giving_up(settings: TrainingSettings, share: float | str) -> TrainingSettings:
    try:
        return settings.model_copy(update={"give_up": chance(share)})
    except ValueError as error:
        raise UsageError(f"give_up={shown(share)}: {error}") from None


def tracked(**how: Any) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Track every call of a training function; the arguments are those of `track`.

    >>> @foretoll.tracked(source=old, target=new, until=0.9)  # doctest: +SKIP
    ... def train(model, optimizer, loader, run): ...

    Model and optimiser are found among the call's arguments by their kinds; the run is given as the argument `run`
    where the function has one. Raises UsageError where a call has no model or no optimiser.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        signature = inspect.signature(function)
        wants_run = "run" in signature.parameters

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> R:
            given = [*args, *kwargs.values()]
            model = next((value for value in given if isinstance(value, nn.Module)), None)
            optimizer: Any = next((value for value in given if _unwrapped(value) is not None), None)
            if model is None or optimizer is None:
                missing = "a model" if model is None else "an optimiser"
                raise UsageError(f"{function.__name__} was called without {missing}: pass it as an argument")
            with track(model, optimizer, **how) as run:
                extra: dict[str, Any] = {"run": run} if wants_run else {}
                return function(*args, **(kwargs | extra))

        return call

    return decorate


def _unwrapped(value: Any) -> torch.optim.Optimizer | None:
    """The optimiser of torch within a wrapper such as accelerate's; None where there is none."""
    for _ in range(8):
        inner = getattr(value, "optimizer", None) if not isinstance(value, nn.Module) else None
        if not isinstance(inner, torch.optim.Optimizer):
            break
        value = inner
    return value if isinstance(value, torch.optim.Optimizer) else None
