"""What happens while a model trains: when it ends, and the recorder of what it costs. It never drives a loop."""

from __future__ import annotations

from foretoll.training.recorder import (
    EVALUATION,
    LOOKING,
    PREPARATION,
    TRAINING,
    Recorded,
    Recorder,
    Recording,
)
from foretoll.training.stop import StopRule, epochs, first_of, never, patience, steps, until

__all__ = [
    "EVALUATION",
    "LOOKING",
    "PREPARATION",
    "TRAINING",
    "Recorded",
    "Recorder",
    "Recording",
    "StopRule",
    "epochs",
    "first_of",
    "never",
    "patience",
    "steps",
    "until",
]
