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
from foretoll.forecast.spread import GroupSpread
from foretoll.forecast.survival import Distribution, IntervalRidge
from foretoll.forecast.trees import Trees

Arrays = dict[str, NDArray[Any]]


def digest_of(table: Table) -> bytes:
    """A digest of all that a model of this table follows from, but for residuals that are known beforehand."""
    names = sorted({name for row in table.rows for name in row})
    values = np.array([[_nan(row.get(name)) for name in names] for row in table.rows], dtype=np.float64)
    texts = [
        names,
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


def _nan(value: float | None) -> float:
    return np.nan if value is None else value


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
        "owners": np.array(list(point.offsets), dtype=np.str_),
        "offsets": np.array(list(point.offsets.values()), dtype=np.float64),
        "numbers": np.array([model.sigma, model.usual, model.spread.within, model.spread.between]),
    }
    if point.trees is not None:
        found |= _prefixed("trees", point.trees.arrays())
    if model.scale_trees is not None:
        found |= _prefixed("spread", model.scale_trees.arrays())
    if model.shape is not None:
        found |= {"shape values": model.shape.values, "shape mass": model.shape.mass}
    if held is not None:
        found |= {"held rows": held.rows, "held residual": held.residual, "held fold": held.fold}
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
    offsets = dict(zip(arrays["owners"].tolist(), arrays["offsets"].tolist(), strict=True))
    sigma, usual, within, between = arrays["numbers"].tolist()
    held = reach = shape = None
    if "held rows" in arrays:
        held = HeldOutResiduals(arrays["held rows"], arrays["held residual"], arrays["held fold"])
    if "reach" in arrays:
        spread, at = arrays["reach"].tolist()
        reach = Reach(arrays["reach options"].tolist(), spread, arrays["reach slopes"], at)
    if "shape values" in arrays:
        shape = Distribution(arrays["shape values"], arrays["shape mass"])
    return CostModel.restored(
        table,
        point=PointModel.restored(columns, features, ridge, trees, offsets, str(arrays["base"])),
        sigma=sigma,
        scale_trees=Trees.from_arrays(_of_prefix("spread", arrays)) if "spread roots" in arrays else None,
        shape=shape,
        spread=GroupSpread(within, between),
        reach=reach,
        held_out=held,
        outermost=float(arrays["outermost"]) if "outermost" in arrays else None,
        usual=usual,
    )


def _prefixed(prefix: str, arrays: Arrays) -> Arrays:
    return {f"{prefix} {name}": value for name, value in arrays.items()}


def _of_prefix(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    return {
        name.removeprefix(f"{prefix} "): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix} ")
    }
