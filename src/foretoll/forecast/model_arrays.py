"""A fitted cost model as named arrays, and back: the same forecasts to the bit, without a fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.point import PointModel, Table
from foretoll.forecast.reach import Reach
from foretoll.forecast.regressor import CostModel, HeldOutResiduals
from foretoll.forecast.rows import Rows
from foretoll.forecast.spread import GroupSpread
from foretoll.forecast.survival import IntervalRidge
from foretoll.forecast.trees import Trees

Arrays = dict[str, NDArray[Any]]


def digest_of(table: Table) -> bytes:
    """A digest of all that a model of this table follows from, but for residuals that are known beforehand."""
    rows = Rows.of(table.rows)
    values = rows.values
    texts = [
        rows.names,
        table.groups,
        table.owners,
        sorted(table.rising),
        table.options,
        [table.base],
        table.families,
    ]
    found = hashlib.sha256(json.dumps([list(text) for text in texts]).encode())
    limits = np.zeros(0) if table.limits is None else table.limits
    for array in (values, table.y, table.lower_ends, table.censored, table.weights, limits):
        found.update(str(array.shape).encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.digest()


def arrays_of(model: CostModel) -> Arrays:
    """All that a model learned, without its table."""
    point, held = model.point, model.held_out
    found: Arrays = {
        "columns": np.array(point.columns, dtype=np.str_),
        "medians": point.medians,
        "mean": point.mean,
        "scale": point.scale,
        "ridge coefficients": point.ridge.coefficients,
        "ridge": np.array([point.ridge.intercept, point.ridge.sigma]),
        "base": np.array(point.base, dtype=np.str_),
        "offsets": np.array([point.offsets[owner] for owner in sorted(point.offsets)], dtype=np.float64),
        "numbers": np.array([model.sigma, model.usual, model.spread.within, model.spread.between]),
    }
    if point.trees is not None:
        found |= _prefixed("trees", point.trees.arrays())
    if model.scale_trees is not None:
        found |= _prefixed("spread", model.scale_trees.arrays())
    if held is not None:
        found |= {
            "held rows": np.diff(held.rows, prepend=0).astype(np.int32),  # as differences, stored in less
            "held residual": _thousandths(held.residual),
            "held fold": held.fold.astype(np.int16),
        }
    if model.reach is not None:
        found |= {
            "reach options": np.array(model.reach.options, dtype=np.str_),
            "reach": np.array([model.reach.spread, model.reach.intercept]),
            "reach slopes": model.reach.slopes,
        }
    if model.outermost is not None:
        found["outermost"] = np.array(model.outermost)
    return found


def model_from(table: Table, arrays: Mapping[str, NDArray[Any]]) -> CostModel:
    """The model that `arrays_of` took apart. Raises KeyError, IndexError or ValueError where there is none."""
    intercept, ridge_sigma = arrays["ridge"].tolist()
    ridge = IntervalRidge(arrays["ridge coefficients"], intercept, ridge_sigma)
    columns: list[str] = arrays["columns"].tolist()
    trees = Trees.from_arrays(_of_prefix("trees", arrays)) if "trees roots" in arrays else None
    features = (arrays["medians"], arrays["mean"], arrays["scale"])
    owners = sorted({owner for owner in table.owners if owner})
    offsets = dict(zip(owners, arrays["offsets"].tolist(), strict=True))
    sigma, usual, within, between = arrays["numbers"].tolist()
    held = reach = None
    if "held rows" in arrays:
        rows = np.cumsum(arrays["held rows"]).astype(np.intp)
        residual = _of_thousandths(arrays["held residual"])
        held = HeldOutResiduals(rows, residual, arrays["held fold"].astype(np.intp))
    if "reach" in arrays:
        spread, at = arrays["reach"].tolist()
        reach = Reach(arrays["reach options"].tolist(), spread, arrays["reach slopes"], at)
    return CostModel.restored(
        table,
        point=PointModel.restored(columns, features, ridge, trees, offsets, str(arrays["base"])),
        sigma=sigma,
        scale_trees=Trees.from_arrays(_of_prefix("spread", arrays)) if "spread roots" in arrays else None,
        spread=GroupSpread(within, between),
        reach=reach,
        held_out=held,
        outermost=float(arrays["outermost"]) if "outermost" in arrays else None,
        usual=usual,
    )


def _thousandths(values: NDArray[np.float64]) -> NDArray[Any]:
    """Values that are whole thousandths, as those of the reference are, as whole numbers; others as they are."""
    whole = np.round(values * 1000)
    exact = bool((np.abs(whole) < 2**15).all()) and bool((whole / 1000 == values).all())
    return whole.astype(np.int16) if exact else values


def _of_thousandths(values: NDArray[Any]) -> NDArray[np.float64]:
    return values / 1000 if values.dtype == np.int16 else values


def _prefixed(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix} {name}": value for name, value in arrays.items()}


def _of_prefix(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    return {
        name.removeprefix(f"{prefix} "): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix} ")
    }
