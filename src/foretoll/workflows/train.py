"""`foretoll train`: train a model from nothing, measured like any other run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from foretoll.arguments import check_out
from foretoll.data import TaskData, open_data
from foretoll.data.fitting import seen_by
from foretoll.errors import DataError
from foretoll.ledger import Ledger
from foretoll.models import Model, build_model, recognise_outputs
from foretoll.options import Option
from foretoll.options.table import SCRATCH
from foretoll.records import Run, TrainingSettings
from foretoll.tasks import check_until
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out
from foretoll.workflows.chance import target_warnings
from foretoll.workflows.context import Accounting, Data, Runtime, Update, Watcher
from foretoll.workflows.goal import on_data
from foretoll.workflows.keeping import guarded


class InitialTraining(Option):
    """The model as it was built is what is trained."""

    name = SCRATCH
    summary = "train a freshly built model"
    reuses_weights = False

    def _prepare(self, model: Any, target: TaskData, *, task_shift: bool, seed: int) -> Any:
        return model


def train(
    arch: str,
    data: Data,
    *,
    out: str | Path | None = None,
    until: float | None = None,
    settings: TrainingSettings | None = None,
    options: Mapping[str, Any] | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    device: str = "auto",
    accounting: Accounting | None = None,
    ledger: Ledger | str | Path | None = None,
    tags: tuple[str, ...] = (),
    watcher: Watcher | None = None,
) -> Run:
    """Train `arch` on `data` from a fresh initialisation; save the checkpoint folder to `out`.

    `until` (or `settings.until`) stops at that validation quality; without it the whole budget is trained.
    `embedding_layer`, `head`: layers by name, as in `load_model`; found where they are not named.
    Returns the run; raises UsageError, DataError or ModelError where the inputs cannot be used.
    """
    settings = settings or TrainingSettings()
    if until is not None:
        settings = settings.model_copy(update={"until": check_until(until, settings.metric)})
    return train_model(
        partial(build_model, arch, options=options, embedding_layer=embedding_layer, head=head),
        data,
        settings,
        Runtime.of(device, accounting, ledger, watcher),
        out=out,
        tags=tags,
    ).run


def train_model(
    build: Callable[..., Model],
    data: Data,
    settings: TrainingSettings,
    runtime: Runtime,
    *,
    out: str | Path | None = None,
    tags: tuple[str, ...] = (),
) -> RunResult:
    """As `train`, and gives the trained model too. `build(data=…, seed=…)` gives the model, its weights fresh."""
    check_out(out)
    runtime = guarded(runtime)
    runtime.check(settings, to_write=True)
    task = open_data(data, seed=settings.seed)
    if task.train.labels is None:
        raise DataError(
            f"{task.name} has no labels, which training needs: give them (of a table by label=COLUMN), or a file that "
            "holds them"
        )
    model = build(data=task, seed=settings.seed).to(runtime.device)
    task = seen_by(model.card.preprocessing, task)
    settings = on_data(settings, task)
    recognise_outputs(model, task.train)
    runtime.watcher.stage(f"train {model.card.arch} on {task.name}")
    return carry_out(
        InitialTraining(),
        Update(model, None, task, False, runtime.device),
        settings,
        runtime,
        RunMetadata(tags=tags, warnings=target_warnings(task, settings)),
        out=Path(out) if out else None,
    )
