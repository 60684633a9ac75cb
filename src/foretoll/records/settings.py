"""What decides a training besides model and data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from foretoll.records.base import Record, Share


class TrainingSettings(Record):
    """What decides a training run besides model and data."""

    until: Share | None = None  # quality target on the validation split; None: train for max_epochs
    metric: str = "accuracy"
    max_epochs: float = Field(20.0, gt=0)
    evals_per_epoch: int = Field(4, ge=1)
    batch_size: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0, le=1e6)  # far above what any training bears, and far below overflow
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: float = Field(0.9, ge=0, lt=1)  # sgd only
    weight_decay: float = Field(0.0, ge=0, le=1e6)
    seed: int = 0
