"""Load an architecture and weights; find embedding layer and head; replace the head; save a checkpoint folder."""

from foretoll.models.anatomy import pool_positions
from foretoll.models.architectures import ARCHITECTURES
from foretoll.models.checkpoint import save_checkpoint
from foretoll.models.fresh import fresh_copy
from foretoll.models.loading import build_model, load_model
from foretoll.models.model import Model, check_fits
from foretoll.models.rows import comparable_layers, countable_layers

__all__ = [
    "ARCHITECTURES",
    "Model",
    "build_model",
    "check_fits",
    "comparable_layers",
    "countable_layers",
    "fresh_copy",
    "load_model",
    "pool_positions",
    "save_checkpoint",
]
