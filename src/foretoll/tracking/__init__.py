"""Any training loop, forecast before and measured after: `track`, `tracked` and the run that they give."""

from __future__ import annotations

from foretoll.tracking.card import log_model_card, model_card_fields
from foretoll.tracking.public import track, tracked
from foretoll.tracking.run import TrackedRun

__all__ = ["TrackedRun", "log_model_card", "model_card_fields", "track", "tracked"]
