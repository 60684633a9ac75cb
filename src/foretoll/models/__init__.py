"""Load an architecture and weights; find embedding layer and head; replace the head; save a checkpoint folder."""

from foretoll.models.anatomy import pool_positions
from foretoll.models.architectures import ARCHITECTURES
from foretoll.models.checkpoint import save_checkpoint
from foretoll.models.digest import weights_digest
from foretoll.models.fresh import fresh_copy
from foretoll.models.loading import build_model, load_model
from foretoll.models.model import Model, check_fits
from foretoll.models.recognise import recognise_outputs
from foretoll.models.rows import comparable_layers, countable_layers
from foretoll.models.spec import parse_spec
from foretoll.models.table_layout import known_layout
from foretoll.models.trust import Trust

__all__ = [
    "ARCHITECTURES",
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
