"""The columns that a model was trained on, known before its data are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foretoll.models.checkpoint import CARD, is_checkpoint
from foretoll.models.model import Model
from foretoll.records import ModelCard, TableLayout


def known_layout(model: Any, weights: str | Path | None = None) -> TableLayout | None:
    """The layout on a model's card; None where it has none, or no card, or one that loading will refuse."""
    if isinstance(model, Model):
        return model.card.layout
    for folder in (model, weights):
        if not isinstance(folder, str | Path):
            continue
        try:
            path = Path(folder).expanduser()
            if is_checkpoint(path):
                return ModelCard.model_validate_json((path / CARD).read_bytes()).layout
        except (OSError, ValueError, RuntimeError, ValidationError):
            continue
    return None
