"""Load an architecture and weights; find embedding layer and head; replace the head; save a checkpoint folder.

A model's name is read and checked (`foretoll.models.named`) without torch: the names below are loaded when they are
used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foretoll.models.anatomy import pool_positions
    from foretoll.models.architectures import ARCHITECTURES
    from foretoll.models.checkpoint import save_checkpoint
    from foretoll.models.digest import weights_digest
    from foretoll.models.fresh import fresh_copy
    from foretoll.models.loading import Loading, build_model, load_model
    from foretoll.models.model import Model, check_fits
    from foretoll.models.recognise import recognise_outputs
    from foretoll.models.rows import comparable_layers, countable_layers
    from foretoll.models.spec import parse_spec
    from foretoll.models.table_layout import known_layout
    from foretoll.models.trust import Trust

_HOME = {
    "ARCHITECTURES": "architectures",
    "Loading": "loading",
    "Model": "model",
    "Trust": "trust",
    "build_model": "loading",
    "check_fits": "model",
    "comparable_layers": "rows",
    "countable_layers": "rows",
    "fresh_copy": "fresh",
    "known_layout": "table_layout",
    "load_model": "loading",
    "parse_spec": "spec",
    "pool_positions": "anatomy",
    "recognise_outputs": "recognise",
    "save_checkpoint": "checkpoint",
    "weights_digest": "digest",
}

__all__ = [
    "ARCHITECTURES",
    "Loading",
    "Model",
    "Trust",
    "build_model",
    "check_fits",
    "comparable_layers",
    "countable_layers",
    "fresh_copy",
    "known_layout",
    "load_model",
    "parse_spec",
    "pool_positions",
    "recognise_outputs",
    "save_checkpoint",
    "weights_digest",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'foretoll.models' has no attribute {name!r}")
    value = getattr(import_module(f"foretoll.models.{_HOME[name]}"), name)
    globals()[name] = value
    return value
