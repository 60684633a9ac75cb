"""A fitted model is taught a few runs of one source model, without a fit: their mean residual, as a fit has it."""

from __future__ import annotations

import numpy as np

from foretoll.forecast.point import OWN_SHRINKAGE, Table
from foretoll.forecast.regressor import CostModel
from foretoll.forecast.survival import expected_beyond


def teach_owner(model: CostModel, table: Table, owner: str) -> None:
    """Move the forecasts for `owner` by the mean of what its runs (`table`) were off by, shrunk towards 0."""
    point, count = model.point, len(table)
    if count == 0:
        return
    located = point.predict(table.rows, [""] * count)
    beyond = np.maximum(expected_beyond(located, table.y, point.ridge.sigma), table.y)
    seen = np.where(table.censored, beyond, table.y)
    point.offsets[owner] = float((seen - located).mean()) * count / (count + OWN_SHRINKAGE)
