"""How near a case is to the runs that its forecast rests on, and whether it is unlike all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foretoll.forecast.case import FeatureValues
from foretoll.forecast.regressor import CostModel
from foretoll.forecast.survival import Array


class Neighbourhood:
    """How near a case is to the runs that a model learned from (root mean square of standardised features)."""

    def __init__(self, model: CostModel, nearest: int = 8) -> None:
        self.model, self.nearest = model, nearest
        self.z = model.point.standardised(model.table.rows)
        if model.outermost is None and len(self.z) > nearest:
            model.outermost = self._outermost(
                np.array(model.table.groups)
            )  # kept with the model: it takes a while

    def _outermost(self, groups: NDArray[np.str_]) -> float:
        """How far the outermost 5 % of the runs lie from those of other groups, as a case of new data does."""
        several = len(set(groups.tolist())) > 1
        own = []
        for z, group in zip(self.z[:2000], groups, strict=False):
            distances = self._distances(z)
            others = distances[groups != group] if several else distances
            own.append(np.sort(others)[0 if several else 1 :][: self.nearest].mean())
        return float(np.quantile(own, 0.95))

    def of(self, row: FeatureValues) -> tuple[list[tuple[int, float]], float]:
        """Positions and distances of the nearest runs, and how unlike the case is (1 = as the outermost 5 %)."""
        distances = self._distances(self.model.point.standardised([row])[0])
        order = np.argsort(distances)[: self.nearest]
        mean = float(distances[order].mean())
        return (
            [(int(i), float(distances[i])) for i in order],
            mean / self.model.outermost if self.model.outermost else 1.0,
        )

    def _distances(self, z: Array) -> Array:
        return np.asarray(np.sqrt(((self.z - z) ** 2).mean(axis=1)))
