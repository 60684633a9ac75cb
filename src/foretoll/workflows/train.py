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
from foretoll.random_states import keeps_random_states
from foretoll.records import Run, TrainingSettings
from foretoll.tasks import check_until
from foretoll.workflows.carry_out import RunMetadata, RunResult, carry_out
from foretoll.workflows.chance import target_warnings
from foretoll.workflows.context import Accounting, Data, Runtime, Update, Watcher
from foretoll.workflows.goal import on_data, with_evaluations
from foretoll.workflows.keeping import guarded


class InitialTraining(Option):
    """The model as it was built is what is trained."""

    name = SCRATCH
    summary = "train a freshly built model"
    reuses_weights = False

    def _prepare(self, model: Any, target: TaskData, *, task_shift: bool, seed: int) -> Any:
        return model


@keeps_random_states
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
    """Train a model from fresh weights, measured, and add the run to the ledger.

    >>> run = foretoll.train("foretoll:cnn", "digits", out="source", until=0.95)  # doctest: +SKIP

    Args:
        arch: "foretoll:cnn", "timm:NAME", "torchvision:NAME", "hf:PATH" or "package.module:function".
        data: a data URI, a torch Dataset or DataLoader, arrays, or `TaskData`, with labels.
        out: the folder for the checkpoint; None: it is not saved.
        until: the validation quality that ends the training, in the metric's unit; None: the whole budget is trained.
        settings: the training settings; None: those of docs/settings.md.
        options: arguments of the architecture, such as {"width": 8}.
        embedding_layer: name of the layer that represents a sample; found where it is not named.
        head: name of the layer that classifies; found where it is not named.
        device: "cpu", "cuda", "cuda:1", …; "auto" takes CUDA where there is one.
        accounting: how energy and emissions are counted, and the price; None: the best meter of this machine, and the
            world average of emissions.
        ledger: where runs are read and written: open, a path or a database URL; None: the user's own.
        tags: words by which the run is found in the ledger.
        watcher: is called with the progress; None: nobody.

    Returns:
        The run: how it ended, its costs, and its quality on test data.

    Raises:
        UsageError: an argument is no name or number that can be used; the sentence names the nearest valid ones.
        DataError: data that cannot be read or do not fit the model.
        ModelError: a model that cannot be loaded or trained.
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
    settings = with_evaluations(on_data(settings, task), task.card)
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
