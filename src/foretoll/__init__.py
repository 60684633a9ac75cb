"""foretoll predicts what retraining a model will cost, before any retraining, and measures what it did cost.

>>> import foretoll
>>> estimate = foretoll.estimate("model-dir", "npz:old.npz", "npz:new.npz", until=0.9)  # doctest: +SKIP
>>> run = foretoll.retrain("model-dir", "npz:old.npz", "npz:new.npz", until=0.9)  # doctest: +SKIP
"""

from __future__ import annotations

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

from foretoll.version import __version__

if TYPE_CHECKING:
    from foretoll.data import TaskData, open_data
    from foretoll.decide.pilot_budget import PilotBudget
    from foretoll.errors import ForetollError
    from foretoll.ledger import Ledger
    from foretoll.models import Model, load_model, save_checkpoint
    from foretoll.records import Comparison, Estimate, Run, TrainingSettings
    from foretoll.report import write_report
    from foretoll.tasks import metric
    from foretoll.tracking import TrackedRun, log_model_card, track, tracked
    from foretoll.workflows import Accounting, compare, estimate, retrain, train
    from foretoll.workflows.life import Life
    from foretoll.workflows.plan import plan
    from foretoll.workflows.session import Session
    from foretoll.workflows.size import size

# Names and the modules they come from: nothing heavy is loaded before it is used.
_HOME = {
    "Accounting": "foretoll.workflows",
    "Comparison": "foretoll.records",
    "Estimate": "foretoll.records",
    "ForetollError": "foretoll.errors",
    "Ledger": "foretoll.ledger",
    "Life": "foretoll.workflows.life",
    "Model": "foretoll.models",
    "PilotBudget": "foretoll.decide.pilot_budget",
    "Run": "foretoll.records",
    "Session": "foretoll.workflows.session",
    "TaskData": "foretoll.data",
    "TrackedRun": "foretoll.tracking",
    "TrainingSettings": "foretoll.records",
    "compare": "foretoll.workflows",
    "estimate": "foretoll.workflows",
    "load_model": "foretoll.models",
    "log_model_card": "foretoll.tracking",
    "metric": "foretoll.tasks",
    "open_data": "foretoll.data",
    "plan": "foretoll.workflows.plan",
    "retrain": "foretoll.workflows",
    "save_checkpoint": "foretoll.models",
    "size": "foretoll.workflows.size",
    "track": "foretoll.tracking",
    "tracked": "foretoll.tracking",
    "train": "foretoll.workflows",
    "write_report": "foretoll.report",
}

__all__ = [
    "Accounting",
    "Comparison",
    "Estimate",
    "ForetollError",
    "Ledger",
    "Life",
    "Model",
    "PilotBudget",
    "Run",
    "Session",
    "TaskData",
    "TrackedRun",
    "TrainingSettings",
    "__version__",
    "compare",
    "estimate",
    "load_model",
    "log_model_card",
    "metric",
    "open_data",
    "plan",
    "retrain",
    "save_checkpoint",
    "size",
    "track",
    "tracked",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'foretoll' has no attribute {name!r}")
    drawn = random.getstate()
    try:
        import_module("foretoll.report")  # so that records show themselves as tables
        value = getattr(import_module(_HOME[name]), name)
    finally:
        random.setstate(drawn)  # libraries that are loaded with it draw from the generator of the process
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
