"""What a user asks for, from inputs to a record: train, estimate, retrain, compare."""

from __future__ import annotations

from foretoll.arguments import check_out
from foretoll.workflows.candidates import was_stopped
from foretoll.workflows.compare import compare
from foretoll.workflows.context import Accounting, Watcher
from foretoll.workflows.estimate import estimate
from foretoll.workflows.retrain import retrain
from foretoll.workflows.train import train

__all__ = ["Accounting", "Watcher", "check_out", "compare", "estimate", "retrain", "train", "was_stopped"]
