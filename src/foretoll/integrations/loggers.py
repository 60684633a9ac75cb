"""Finished runs in trackers that people have: MLflow, Weights & Biases (offline), TensorBoard.

>>> foretoll.track(model, optimizer, ..., loggers=[MlflowLogger()])  # doctest: +SKIP
>>> MlflowLogger().log_run(run, estimate)  # any run of the ledger  # doctest: +SKIP

A logger of your own is a `RunLogger` with `start`, `log` and `finish`.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from foretoll.errors import MissingExtraError
from foretoll.records import Estimate, Run

Value = float | int | str | bool


class RunLogger(ABC):
    """Takes runs to a tracker: `start`, then `log` in the order of steps, then `finish`. `name`: of the tracker."""

    name: ClassVar[str] = "the tracker"

    def log_run(self, run: Run, estimate: Estimate | None = None) -> None:
        """Log the settings of a run, its curve by step, its costs and, with an estimate, their forecast."""
        self.start(run.id, _settings(run))
        try:
            for point in run.curve:
                seen = {run.settings.metric: point.quality, "loss": point.loss, "epochs": point.epochs}
                self.log(_known(seen), point.step)
            self.log(_known(_costs(run, estimate)), run.steps)
        finally:
            self.finish()

    @abstractmethod
    def start(self, name: str, settings: Mapping[str, Value]) -> None:
        """Begin a run of this name with these settings."""

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers by their names, as of an optimisation step."""

    @abstractmethod
    def finish(self) -> None:
        """End the run."""


class MlflowLogger(RunLogger):
    """Logs to MLflow: the server or folder that `uri` names (None: MLflow's own setting), in an experiment."""

    name = "MLflow"

    def __init__(self, uri: str | None = None, *, experiment: str = "foretoll") -> None:
        tracking: Any = _library("mlflow.tracking", "MLflow", "mlflow")
        self._client = tracking.MlflowClient(tracking_uri=uri)
        self._experiment = experiment
        self._run = ""

    def start(self, name: str, settings: Mapping[str, Value]) -> None:
        """Begin a run; one of the user's own that is active is left as it is."""
        found = self._client.get_experiment_by_name(self._experiment)
        number = found.experiment_id if found else self._client.create_experiment(self._experiment)
        self._run = self._client.create_run(number, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, value)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics."""
        for key, value in values.items():
            self._client.log_metric(self._run, key, value, step=step)

    def finish(self) -> None:
        """End the run."""
        self._client.set_terminated(self._run)


class WandbLogger(RunLogger):
    """Logs to Weights & Biases: by default offline, into `folder`; `wandb sync` sends it."""

    def __init__(self, project: str = "foretoll", *, folder: str | Path = ".", mode: str = "offline") -> None:
        self._wandb: Any = _library("wandb", "Weights & Biases", "wandb")
        self._project, self._folder, self._mode = project, str(folder), mode
        self._run: Any = None

    def start(self, name: str, settings: Mapping[str, Value]) -> None:
        """Begin a run."""
        self._run = self._wandb.init(
            project=self._project, name=name, dir=self._folder, mode=self._mode, config=dict(settings),
            reinit="create_new", settings=self._wandb.Settings(silent=True, console="off"),
        )  # fmt: skip

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log metrics."""
        self._run.log(dict(values), step=step)

    def finish(self) -> None:
        """End the run."""
        self._run.finish()


class TensorBoardLogger(RunLogger):
    """Writes event files for TensorBoard into a folder by run under `folder`."""

    def __init__(self, folder: str | Path = "runs") -> None:
        self._tensorboard: Any = _library("torch.utils.tensorboard", "TensorBoard", "tensorboard")
        self._folder = Path(folder)
        self._writer: Any = None

    def start(self, name: str, settings: Mapping[str, Value]) -> None:
        """Begin a run."""
        self._writer = self._tensorboard.SummaryWriter(self._folder / name)
        rows = "\n".join(f"| {key} | {value} |" for key, value in settings.items())
        self._writer.add_text("settings", f"| setting | value |\n|---|---|\n{rows}")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def finish(self) -> None:
        """Write what is left and close the files."""
        self._writer.close()


def _library(module: str, what: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(f"logging to {what}", extra) from error


def _settings(run: Run) -> dict[str, Value]:
    plain = {
        name: value if isinstance(value, float | int | str | bool) else str(value)
        for name, value in run.settings.model_dump(mode="json").items()
        if value is not None
    }
    return plain | {
        "option": run.option, "model": run.model.arch, "target": run.target.uri, "outcome": run.outcome.value,
    }  # fmt: skip


def _costs(run: Run, estimate: Estimate | None) -> dict[str, float | None]:
    found: dict[str, float | None] = {f"toll/{name}": value for name, value in run.toll}
    if run.quality is not None:
        found |= {"test/before": run.quality.before, "test/after": run.quality.after}
    if estimate is not None:
        for name, interval in estimate.forecast:
            if interval is not None:
                found |= {
                    f"forecast/{name}": interval.median,
                    f"forecast/{name}_low": interval.low,
                    f"forecast/{name}_high": interval.high,
                }
    return found


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
