"""RESQUE for a task shift (arXiv 2412.15511, AAAI 2025): how well the old representations cluster by the new classes.

1 − adjusted Rand index between the target's labels and k-means clusters of its representations, k = number of
target classes; 0 where the clusters are the classes, about 1 where they have nothing in common. No unit.
Trusted equivalents: scikit-learn's `KMeans` and `adjusted_rand_score`.
"""

# Deviations of mode "corrected" from the released code, which mode "released" repeats:
# 1. k-means is in float64; the released code clusters float32.
# 2. k-means++ starts 10 times (released: once, random_state=0) over rows in an order set by their content, so
#    that the value does not depend on the order of the samples.
# 3. Labels of -1 (unknown) are left out.

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from foretoll.indices._bootstrap import hash_rows
from foretoll.indices._clusters import adjusted_rand, kmeans_from
from foretoll.indices._sample import SampleAccumulator
from foretoll.indices._validate import (
    MODES,
    Array,
    Mode,
    Pooling,
    check_choice,
    check_ids,
    check_known_labels,
    check_labels,
    check_representations,
)
from foretoll.records import IndexValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

INITS = ("class-means", "k-means++")


def resque_task(
    representations: Array,
    labels: Array,
    *,
    init: Literal["class-means", "k-means++"] = "class-means",
    mode: Mode = "corrected",
    pooling: Pooling = "average",
    seed: int = 0,
) -> float:
    """RESQUE's index of a task shift: 1 − adjusted Rand index(labels, clusters), in [0, 1.5].

    `representations` (n, d), or (n, channels, …) which are averaged over the positions ("df2" in the released
    code) or flattened ("df1"). `init`: the first centres are the classes' means (one run) or k-means++.
    Raises `DataError` with fewer than two classes or constant representations.
    """
    check_choice("init", init, INITS)
    check_choice("mode", mode, MODES)
    dtype = torch.float64 if mode == "corrected" else None
    x = check_representations(representations, pooling=pooling, dtype=dtype, allow_constant=False)
    y = check_labels(labels, x.shape[0]).to(x.device)
    x, y = check_known_labels(x, y)
    classes, y = torch.unique(y, return_inverse=True)
    if init == "class-means":
        centres = torch.stack([x[y == c].mean(0) for c in range(len(classes))])
        return cluster_disagreement(x, y, centres=centres)
    if mode == "released":
        return cluster_disagreement(x, y, restarts=1, seed=0)
    order = torch.argsort(hash_rows(x))
    return cluster_disagreement(x[order], y[order], restarts=10, seed=seed)


class ResqueTask(SampleAccumulator[IndexValue]):
    """RESQUE's task form over batches of the target, from a bounded sample (all of it up to `capacity`)."""

    def __init__(
        self,
        *,
        init: Literal["class-means", "k-means++"] = "class-means",
        mode: Mode = "corrected",
        capacity: int = 2000,
        seed: int = 0,
    ) -> None:
        super().__init__(("target",), capacity, seed)
        check_choice("init", init, INITS)
        check_choice("mode", mode, MODES)
        self.init, self.mode, self.seed = init, mode, seed

    def _settings(self) -> tuple[Any, ...]:
        return (self.init, self.mode, *super()._settings())

    def update(self, representations: Array, labels: Array, ids: Array) -> None:
        """Add a batch: representations (B, d), labels (B,), and one integer a sample."""
        x = check_representations(representations, dtype=None)
        y = check_labels(labels, x.shape[0])
        self.sampler("target").update(check_ids(ids, x.shape[0]), y, representations=x)

    def _value(self) -> IndexValue:
        """Value and the number of samples that it rests on."""
        sample = self._sample("target")
        value = resque_task(
            sample.tensors["representations"], sample.labels, init=self.init, mode=self.mode, seed=self.seed
        )
        used = int((sample.labels >= 0).sum())
        note = "" if sample.seen <= len(sample) else f"from {len(sample)} of {sample.seen} samples"
        return IndexValue(name="resque_task", value=value, samples=used, note=note)


def cluster_disagreement(
    x: Tensor, y: Tensor, *, centres: Tensor | None = None, restarts: int = 1, seed: int = 0
) -> float:
    """1 − adjusted Rand index of labels `y` (n,) and k-means clusters of `x` (n, d), k = number of labels.

    From `centres` (k, d), or from `restarts` k-means++ starts.
    """
    points: NDArray[Any] = x.cpu().numpy()
    if centres is not None:
        clusters = kmeans_from(points, centres.cpu().numpy()).labels
    else:
        clusters = _from_drawn_centres(points, int(torch.unique(y).numel()), restarts, seed)
    return 1.0 - adjusted_rand(y.cpu().numpy(), clusters)


def _from_drawn_centres(points: NDArray[Any], k: int, restarts: int, seed: int) -> NDArray[Any]:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    means = KMeans(k, init="k-means++", n_init=restarts, random_state=seed)
    with warnings.catch_warnings():
        # fewer distinct points than classes: the clusters are then the distinct points, as they should be
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(means.fit_predict(points))
