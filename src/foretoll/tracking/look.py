"""The look at model and data before the first step of a loop: indices, signals, forecast, quality at the start."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from foretoll.data import TaskData, open_data
from foretoll.errors import ForetollError, MissingExtraError, ModelError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.quality import Evaluation, evaluate
from foretoll.records import Estimate, TrainingSettings
from foretoll.records.settings import OPTIMIZERS
from foretoll.tasks import check_metric
from foretoll.tracking.plan import Plan
from foretoll.training.guard import Guard
from foretoll.workflows.context import Accounting, Data, Runtime, Update, new_run_id, open_update
from foretoll.workflows.estimate import estimate_update
from foretoll.workflows.goal import with_target
from foretoll.workflows.unknown_source import named_source, unsaid

NO_FORECAST = "the run is recorded without a forecast"


@dataclass
class Look:
    """What was seen before the first step; what could not be seen is None."""

    update: Update | None = None
    estimate: Estimate | None = None
    before: Evaluation | None = None  # on test data of the target that the loop does not train on

    @property
    def until(self) -> float | None:
        """The quality target that the forecast is for."""
        return self.estimate.until if self.estimate is not None else None


def bare(model: nn.Module) -> nn.Module:
    """The network within the wrappers of torch: compiled, and of several devices."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def place_of(model: nn.Module) -> torch.device:
    """Where the first of the model's weights is; the CPU where it has none."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def open_look(model: nn.Module, source: Data, target: Data, task: bool | None) -> Update:
    """The user's own network, data beside it; raises DataError, UsageError or ModelError where they cannot be used."""
    network = bare(model)
    places = {parameter.device for parameter in network.parameters()}
    if len(places) > 1:
        raise UsageError("the model lies on several devices, where its data cannot be looked at")
    if any(isinstance(module, nn.SyncBatchNorm) for module in network.modules()):
        raise UsageError("synchronised batch norm cannot be looked at by one process alone")
    if (
        named_source(source) is None and task is None
    ):  # the loop trains these outputs as they are, where they fit
        target = open_data(target)
        fit = load_model(network, data=unsaid(target)).num_classes == target.num_classes
        task = False if fit else None
    return open_update(network, source, target, task=task, device=place_of(network))


def take_look(
    update: Update,
    settings: TrainingSettings,
    until: float | None,
    option: str,
    *,
    apart: bool,
    accounting: Accounting,
    ledger: Ledger,
) -> Look:
    """Signals and forecast of an opened update, and the model's quality on the target's test data where `apart`."""
    check_metric(settings.metric)
    settings = with_target(update, settings, until)
    if settings.optimizer not in OPTIMIZERS:  # the pilot's steps are those of the nearest that it can make
        settings = settings.model_copy(update={"optimizer": "adam"})
    estimate = estimate_update(update, option, settings, Runtime(update.device, accounting, ledger))
    before = None
    if apart and not update.task_shift and update.target.test.labels is not None:
        before = evaluate(update.model, update.target.test, metric=settings.metric, device=update.device)
    return Look(update, estimate, before)


def look_before(
    model: nn.Module, plan: Plan, settings: TrainingSettings, *, ledger: Ledger | None, guard: Guard
) -> tuple[Look, list[str]]:
    """Look at model and data before the loop, and forecast; also sentences on what was taken for granted.

    Raises UsageError or DataError for data that cannot be used: before anything was spent, that is no fault. A network
    that foretoll cannot look at may be trained all the same.
    """
    try:
        update = open_look(model, plan.source, plan.target, plan.task)
    except (ModelError, MissingExtraError) as error:
        guard.fault("looking at the model", error, NO_FORECAST)
        return Look(), []
    except ForetollError:
        raise
    except Exception as error:
        if guard.strict:
            raise
        guard.fault("looking at model and data", error, NO_FORECAST)
        return Look(), []
    notes = []
    if "batch_size" not in plan.settings.model_fields_set:
        size = getattr(loader_of(plan.target), "batch_size", None)
        if size:
            settings = settings.model_copy(update={"batch_size": size})
        else:
            notes.append(
                f"the forecast is for batches of {settings.batch_size}: give your DataLoader as the target, or "
                "settings=TrainingSettings(batch_size=…), where yours are others"
            )
    look = guard.call(
        "the forecast",
        lambda: take_look(
            update,
            settings,
            plan.until,
            plan.option,
            apart=tests_apart(plan.target),
            accounting=plan.accounting,
            ledger=readable(ledger, guard),
        ),
        so=NO_FORECAST,
    )
    return look or Look(update), notes


def readable(ledger: Ledger | None, guard: Guard) -> Ledger:
    """The ledger, or an empty one where it cannot be read: the forecast then rests on the runs that ship."""
    nothing = Ledger(Path(tempfile.gettempdir()) / f"foretoll-none-{new_run_id()}.db")
    if ledger is None:
        return nothing

    def read() -> Ledger:
        ledger.select(limit=1)
        return ledger

    so = "the forecast rests on the runs that come with foretoll"
    return guard.call("reading the ledger", read, so=so) or nothing


def tests_apart(target: Any) -> bool:
    """Whether the target's test data were given apart from those that are trained on.

    What foretoll itself would split off a loader is trained on by the loop, and says nothing of its quality.
    """
    if isinstance(target, TaskData):
        return True
    return (
        "test" in target
        if isinstance(target, dict)
        else isinstance(target, tuple | list) and len(target) in (2, 3, 4)
    )


def loader_of(data: Any) -> DataLoader[Any] | None:
    """The DataLoader of the training data, where there is one in what was given."""
    if isinstance(data, dict):
        data = data.get("train")
    elif isinstance(data, tuple | list) and data:
        data = data[0]
    return data if isinstance(data, DataLoader) else None
