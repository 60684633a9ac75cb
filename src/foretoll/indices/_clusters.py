"""k-means from given first centres (Lloyd 1982) and the adjusted Rand index (Hubert and Arabie 1985).

Trusted equivalents: scikit-learn's `KMeans(init=centres, n_init=1)` and `adjusted_rand_score`, whose rules are kept:
the tolerance, the stop at equal labels, and that an empty cluster takes the sample farthest from its centre. (A cluster
that loses its only sample by that goes to the largest one's centre; scikit-learn 1.9 may take the sum for that centre.)
They are here since every look at a target needs them, and scikit-learn takes most of a second to load.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretoll.errors import DataError

ITERATIONS, TOLERANCE = 300, 1e-4
Points = NDArray[np.floating[Any]]
Numbers = NDArray[np.intp]


@dataclass(frozen=True)
class Clusters:
    """The cluster of each sample (n,), and the clusters' centres (k, d)."""

    labels: Numbers
    centres: Points


def kmeans_from(points: Points, centres: Points) -> Clusters:
    """Clusters of `points` (n, d) that Lloyd's iterations from `centres` (k, d) end in.

    Raises DataError with fewer points than centres.
    """
    if len(points) < len(centres):
        raise DataError(f"{len(points)} samples cannot be put into {len(centres)} clusters: give more")
    middle = points.mean(0)
    x = points - middle
    now = (centres - middle).astype(x.dtype)
    tolerance = TOLERANCE * x.var(0).mean()
    before: Numbers | None = None
    for _ in range(ITERATIONS):
        labels = _nearest(x, now)
        moved = _means(x, now, labels)
        shift, now = float(((moved - now) ** 2).sum()), moved
        if before is not None and np.array_equal(labels, before):
            return Clusters(labels, now + middle)
        if shift <= tolerance:
            break
        before = labels
    return Clusters(_nearest(x, now), now + middle)


def _nearest(x: Points, centres: Points) -> Numbers:
    return np.asarray(((centres**2).sum(1) - 2 * (x @ centres.T)).argmin(1))


def _means(x: Points, centres: Points, labels: Numbers) -> Points:
    """Mean of each cluster; one without samples takes that which lies farthest from its own centre."""
    k = len(centres)
    member = np.zeros((k, len(x)), dtype=x.dtype)
    member[labels, np.arange(len(x))] = 1
    sums, counts = member @ x, np.bincount(labels, minlength=k)
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        distances = ((x - centres[labels]) ** 2).sum(1)
        farthest = np.argpartition(distances, -len(empty))[: -len(empty) - 1 : -1]
        for cluster, sample in zip(empty, farthest, strict=True) if distances.max() > 0 else ():
            sums[labels[sample]] -= x[sample]
            counts[labels[sample]] -= 1
            sums[cluster], counts[cluster] = x[sample], 1
    means = sums / np.maximum(counts, 1)[:, None]
    means[counts == 0] = means[counts.argmax()]  # more clusters than different samples
    return np.asarray(means.astype(x.dtype))


def adjusted_rand(first: Numbers, second: Numbers) -> float:
    """Agreement of two groupings (n,) of the same samples: 1 for the same groups, 0 as by chance."""
    groups, one = np.unique(first, return_inverse=True)
    others, two = np.unique(second, return_inverse=True)
    together = np.bincount(one * len(others) + two, minlength=len(groups) * len(others))
    table = together.reshape(len(groups), len(others)).astype(object)  # whole numbers of any size
    n = len(first)
    both = int((table**2).sum()) - n  # ordered pairs in one group of each
    only_first = int((table.sum(1) ** 2).sum()) - n - both
    only_second = int((table.sum(0) ** 2).sum()) - n - both
    neither = n * n - n - both - only_first - only_second
    if only_first == 0 and only_second == 0:
        return 1.0
    return float(
        2.0
        * (both * neither - only_first * only_second)
        / ((both + only_first) * (only_first + neither) + (both + only_second) * (only_second + neither))
    )
