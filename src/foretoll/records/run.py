"""One update that was carried out."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field

from foretoll.records.base import PresentedRecord
from foretoll.records.data import DataCard
from foretoll.records.forecast import MadeForecast
from foretoll.records.measured import (
    EnergyBasis,
    EvalPoint,
    GradientNorm,
    GridIntensity,
    Hardware,
    InferenceCost,
    PhaseCost,
    Quality,
    Toll,
)
from foretoll.records.model import ModelCard
from foretoll.records.settings import TrainingSettings


class Outcome(StrEnum):
    """How a run ended. Only `reached` means that the quality target was met."""

    REACHED = "reached"
    CENSORED = "censored"  # the epoch budget was spent before the target was met
    GIVEN_UP = (
        "given_up"  # ended before its budget, since its chance of meeting the target had fallen too low
    )
    FAILED = "failed"  # the run could not go on: diverged, out of memory, …
    INTERRUPTED = "interrupted"  # stopped from outside: Ctrl-C, a killed process
    RUNNING = "running"  # begun and not yet ended, by a process that is alive

    @property
    def complete(self) -> bool:
        """Whether a run ended by its own rules, so that it can be learned from."""
        return self is Outcome.REACHED or self.short

    @property
    def short(self) -> bool:
        """Whether a run ended by its own rules before its target was met: censored where it ended."""
        return self in (Outcome.CENSORED, Outcome.GIVEN_UP)


class Run(PresentedRecord):
    """One update that was really carried out and measured."""

    schema_: Literal["foretoll.run/1"] = Field("foretoll.run/1", alias="schema")
    id: str
    option: str
    option_settings: dict[str, str] = {}  # what the option did in particular: program, student, part, …
    outcome: Outcome
    reason: str = ""  # why it failed or was interrupted
    started_at: datetime
    finished_at: datetime | None = None
    model: ModelCard
    source: DataCard | None = None  # None for a model trained from nothing
    target: DataCard
    task_shift: bool = False
    settings: TrainingSettings
    toll: Toll = Toll()
    steps: int = 0
    steps_per_epoch: int | None = None
    evaluations: int = 0
    trainable_parameters: int | None = None
    training_state_bytes: int | None = (
        None  # weights, gradients, optimiser state and caches, see docs/options.md
    )
    gradient_norm: GradientNorm | None = None
    parameter_change_by_tensor: dict[str, float] = {}
    preparation: PhaseCost | None = (
        None  # passes without a gradient before the first step, where there were any
    )
    training: PhaseCost | None = None
    evaluation: PhaseCost | None = None
    quality: Quality | None = None
    inference: InferenceCost | None = None  # of the finished model; no part of the toll
    curve: tuple[EvalPoint, ...] = ()
    energy: EnergyBasis | None = None
    grid: GridIntensity | None = None
    hardware: Hardware | None = None
    signals: dict[str, float | None] = {}
    forecast: MadeForecast | None = None  # the one that was made for this run, where there was one
    checkpoint: str | None = None
    lineage: tuple[str, ...] = ()  # run ids of the updates before this one, oldest first
    tags: tuple[str, ...] = ()  # "calibration", "demo", study names
    warnings: tuple[str, ...] = ()  # of the data and of the model on them: what a reader must know

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
