"""PreIndex (arXiv 2408.01446, AIES 2024): how far the activations of each layer move from a sample to its shifted pair.

Paired samples (clean x, shifted x~). Per layer and sample: the histogram over the channels of the spatially
averaged activations; a distance between the pair's histograms; p = mean over layers and samples.
inv_ari = 1 − adjusted Rand index of k-means clusters of the shifted representations.
PreIndex = (p + inv_ari) / (1 + (p + inv_ari)·s) − s_bar.

Units: Wasserstein in shares of the pair's common range, in [0, 1); 1 − Bhattacharyya coefficient in [0, 1];
Jensen-Shannon in nats, [0, ln 2]; KL in nats. Equivalents: `numpy.histogram`, `scipy.stats.wasserstein_distance`.
"""

# Deviations of mode "corrected" from the released code, which mode "released" repeats:
# 1. The released code gives each histogram its own min-max range, so a layer whose activations are shifted or
#    scaled as a whole has distance 0. Here both histograms of a pair share their edges: `bins` equal bins over
#    the pooled range of the pair. Edges fixed per layer from all the data would need a pass over both sides
#    first, and edges from a first batch would make the value depend on the batches; the pair's own range does
#    neither, and is scaled with the sample.
# 2. The released "Wasserstein" hands the bin heights to scipy as if they were samples, which is
#    mean |sort(p) − sort(q)|: mirrored histograms are at distance 0. Here: the distance between the
#    distributions on the edges, as a share of the common range.
# 3. The released KL drops infinite terms and can be negative. Here half a count is added to each bin.
# 4. "Bhattacharyya" is 1 − BC and Jensen-Shannon has no root, as released; float64, so identical pairs give 0.
# 5. Layers that are not wider than the number of classes are left out when `num_classes` is given, in both modes.
# 6. s and s_bar of the score are defined in no source that we have (neither paper nor code): they are parameters.

from __future__ import annotations

from typing import Any, Literal, TypeAlias, overload

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices import _histogram as hist
from foretoll.indices._accumulator import Accumulator
from foretoll.indices._bootstrap import GROUPS, group_of, hash_rows, mean_interval
from foretoll.indices._validate import (
    MODES,
    Array,
    Layers,
    Mode,
    check_choice,
    check_ids,
    check_known_labels,
    check_labels,
    check_layers,
    check_representations,
)
from foretoll.indices.resque_task import cluster_disagreement
from foretoll.records import IndexValue

Distance: TypeAlias = Literal["wasserstein", "bhattacharyya", "jensen_shannon", "kl"]
DISTANCES: tuple[Distance, ...] = ("wasserstein", "bhattacharyya", "jensen_shannon", "kl")


@overload
def preindex_distance(
    source_layers: Layers,
    target_layers: Layers,
    *,
    distance: Distance = "wasserstein",
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: Literal[False] = False,
    num_classes: int | None = None,
) -> float: ...


@overload
def preindex_distance(
    source_layers: Layers,
    target_layers: Layers,
    *,
    distance: Distance = "wasserstein",
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: Literal[True],
    num_classes: int | None = None,
) -> dict[str, float]: ...


def preindex_distance(
    source_layers: Layers,
    target_layers: Layers,
    *,
    distance: Distance = "wasserstein",
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: bool = False,
    num_classes: int | None = None,
) -> float | dict[str, float]:
    """PreIndex's p: the mean distance between the histograms of a sample and its shifted pair; 0 for identical data.

    `source_layers`, `target_layers`: layer name to activations (n, channels), or (n, channels, …) which are
    averaged over the positions; row i of both sides is the same sample. `num_classes`: leaves out layers that
    are not wider. `per_layer`: a dict of the layers' means instead of their mean.
    Raises `DataError` for layers, rows or widths that do not match and for NaN or infinite values.
    """
    check_choice("distance", distance, DISTANCES)
    check_choice("mode", mode, MODES)
    hist.check_bins(bins)
    layers = check_layers(source_layers, target_layers, paired=True, num_classes=num_classes, dtype=None)
    means = {
        name: float(pair_distances(x, t, distance, bins, mode).mean()) for name, (x, t) in layers.items()
    }
    return means if per_layer else sum(means.values()) / len(means)


def pair_distances(x: Tensor, t: Tensor, distance: Distance, bins: int, mode: Mode) -> Tensor:
    """The distance (n,) between row i of `x` and of `t`, both (n, channels)."""
    if mode == "released":
        p, q = hist.own_range_shares(x, bins), hist.own_range_shares(t, bins)
    else:
        x, t = x.double(), t.double()
        low, high = torch.minimum(x.amin(1), t.amin(1)), torch.maximum(x.amax(1), t.amax(1))
        p, q = (hist.histograms(side, low, high, bins) / x.shape[1] for side in (x, t))
    if distance == "wasserstein":
        return hist.sorted_heights_distance(p, q) if mode == "released" else hist.wasserstein(p, q) / bins
    if distance == "bhattacharyya":
        return hist.bhattacharyya(p, q)
    if distance == "jensen_shannon":
        return hist.jensen_shannon(p, q)
    return hist.kl_common(p, q) if mode == "released" else hist.kl_smoothed(p, q, x.shape[1])


def preindex_inv_ari(
    target: Array,
    labels: Array,
    *,
    source: Array | None = None,
    source_labels: Array | None = None,
    mode: Mode = "corrected",
) -> float:
    """1 − adjusted Rand index of the target's labels and its k-means clusters, k = number of classes.

    The first centres are the target's own class means, or those of `source` where that is given (its classes
    then decide k). `target` (n, d) or (n, channels, …), averaged over the positions.
    """
    check_choice("mode", mode, MODES)
    dtype = torch.float64 if mode == "corrected" else None
    x = check_representations(target, "target", dtype=dtype, allow_constant=False)
    x, y = check_known_labels(x, check_labels(labels, x.shape[0]).to(x.device))
    if source is None:
        return cluster_disagreement(x, y, centres=_means(x, y))
    if source_labels is None:
        raise UsageError("source was given without source_labels: pass both, or neither")
    s = check_representations(source, "source", dtype=dtype)
    s, z = check_known_labels(s, check_labels(source_labels, s.shape[0], "source_labels").to(s.device))
    if s.shape[1] != x.shape[1]:
        raise DataError(
            f"source has {s.shape[1]} channels and target {x.shape[1]}: represent both with the same model"
        )
    return cluster_disagreement(x, y, centres=_means(s, z))


def _means(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([x[y == c].mean(0) for c in torch.unique(y)])


def preindex_score(p: float, inv_ari: float, *, s: float = 1.0, s_bar: float = 0.0) -> float:
    """PreIndex = (p + inv_ari) / (1 + (p + inv_ari)·s) − s_bar.

    s is said to be the scale of the noise's variance; neither s nor s_bar is defined in any source that we
    have, so both are parameters, and a score with the defaults is no figure of the paper.
    """
    total = p + inv_ari
    if 1.0 + total * s == 0.0:
        raise UsageError(f"p + inv_ari = {total} and s = {s} make the denominator 0: pass another s")
    return total / (1.0 + total * s) - s_bar


class PreIndex(Accumulator[IndexValue]):
    """PreIndex's p over batches of pairs: sums of distances per layer and counts, float64, in 32 hashed groups.

    `compute` is the pure function's value for any batch size, order or split, with a 90 % interval from a
    bootstrap of the groups and the mean per layer.
    """

    sums: Tensor
    counts: Tensor

    def __init__(
        self,
        *,
        distance: Distance = "wasserstein",
        bins: int = 64,
        mode: Mode = "corrected",
        num_classes: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_choice("distance", distance, DISTANCES)
        check_choice("mode", mode, MODES)
        hist.check_bins(bins)
        self.distance, self.bins, self.mode = distance, bins, mode
        self.num_classes, self.seed = num_classes, seed

    def _settings(self) -> tuple[Any, ...]:
        return (self.distance, self.bins, self.mode, self.num_classes, self.seed)

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        self._add_zeros("sums", (GROUPS, len(key)), device, torch.float64)
        self._add_zeros("counts", (GROUPS,), device, torch.int64)

    def update(self, source_layers: Layers, target_layers: Layers, ids: Array | None = None) -> None:
        """Add a batch of pairs: layer name to activations (B, channels), row i of both sides the same sample.

        `ids`: one integer a sample; without them the first layer's rows decide the groups of the interval.
        """
        layers = check_layers(
            source_layers, target_layers, paired=True, num_classes=self.num_classes, dtype=None
        )
        names = sorted(layers)
        first = layers[names[0]][0]
        self._size(tuple((name, layers[name][0].shape[1]) for name in names), first.device)
        each = [
            self._at_home(pair_distances(*layers[name], self.distance, self.bins, self.mode))
            for name in names
        ]
        keys = hash_rows(first) if ids is None else check_ids(ids, first.shape[0])
        group = group_of(self._at_home(keys), GROUPS, self.seed)
        self.sums.index_add_(0, group, torch.stack(each, 1))
        self.counts.index_add_(0, group, torch.ones_like(group))

    def _value(self) -> IndexValue:
        """Value, 90 % interval, mean per layer, number of pairs."""
        self._require_data()
        pairs = int(self.counts.sum())
        means = (self.sums.sum(0) / pairs).tolist()
        ends = mean_interval(self.sums.mean(1), self.counts, seed=self.seed)
        return IndexValue(
            name=f"preindex_{self.distance}",
            value=sum(means) / len(means),
            low=None if ends is None else ends[0] if self.distance == "kl" else max(0.0, ends[0]),
            high=None if ends is None else ends[1],
            floor=0.0 if self.mode == "corrected" else None,
            samples=pairs,
            detail={name: mean for (name, _), mean in zip(self._sized or (), means, strict=True)},
        )
