"""ARM (arXiv 2405.09600): how far the distribution of each layer's activations moves from source to target.

ARM = (1/L) Σ_l WD(P_l,source, P_l,target), P_l the distribution of the layer's spatially averaged activations
over the data set, WD the 1-Wasserstein distance. No labels, no pairs. 0 for identical data.
Unit in mode "corrected": standard deviations of the source's channel. Equivalent: `scipy.stats.wasserstein_distance`
of the binned values, per channel, divided by the source's standard deviation.

A channel is a unit that gives one number a sample: a feature map of a convolution averaged over its positions,
a neuron of a linear layer, and in a transformer one feature of the hidden state averaged over the tokens. The
mean over tokens is taken because texts and images have other numbers of tokens, a token's place means something
else in each sample, and a value per token would weigh long inputs more; what is averaged away is how much the
tokens of one sample differ.
"""

# Deviations of mode "corrected" from the released conventions, which mode "released" follows:
# 1. Released: each histogram has its own min-max range. Here source and target share `bins` equal bins over the
#    source's range of the channel; the end bins are open and take what lies outside.
# 2. Released: the histograms of a layer's channels are averaged to one P_l before they are compared, so channels
#    that move in opposite directions cancel. Here the distance is taken per channel and then averaged.
# 3. Released: scipy's `wasserstein_distance` is fed bin heights as if they were samples, mean |sort(p) − sort(q)|.
#    Here it is the distance between the distributions on the edges, in standard deviations of the source's
#    channel. A shift far beyond the source's range ends at the open bins: a channel adds at most its range.
# 4. A channel that is constant in the source has no range of its own: it gets the layer's, one root-mean-square
#    standard deviation around its value. A layer in which all channels are constant is left out.
# There are no released values to compare with: mode "released" is built from the arithmetic that the released
# PreIndex shows (see evidence in preindex.py) and the paper's wording.

from __future__ import annotations

from typing import Any, Literal, overload

import torch
from torch import Tensor

from foretoll.errors import DataError
from foretoll.indices import _histogram as hist
from foretoll.indices._bootstrap import hash_ids
from foretoll.indices._sample import Sample, SampleAccumulator
from foretoll.indices._validate import (
    MODES,
    Array,
    Layers,
    Mode,
    check_choice,
    check_ids,
    check_layers,
    check_representations,
)
from foretoll.records import IndexValue

Side = Literal["source", "target"]
SIDES: tuple[Side, ...] = ("source", "target")


@overload
def arm(
    source_layers: Layers,
    target_layers: Layers,
    *,
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: Literal[False] = False,
) -> float: ...


@overload
def arm(
    source_layers: Layers,
    target_layers: Layers,
    *,
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: Literal[True],
) -> dict[str, float]: ...


def arm(
    source_layers: Layers,
    target_layers: Layers,
    *,
    bins: int = 64,
    mode: Mode = "corrected",
    per_layer: bool = False,
) -> float | dict[str, float]:
    """ARM of two sets of activations, ≥ 0; 0 for identical data, whatever the order of the rows.

    `source_layers` and `target_layers`: layer name to activations (n, channels) and (m, channels), or
    (n, channels, …) which are averaged over the positions. `per_layer`: the layers' distances in a dict.
    Raises `DataError` for layers or widths that do not match, NaN or infinite values, and a source that is
    constant in all layers.
    """
    check_choice("mode", mode, MODES)
    hist.check_bins(bins)
    layers = check_layers(source_layers, target_layers, paired=False, dtype=None)
    distance = _released if mode == "released" else _corrected
    found = {name: distance(x, t, bins) for name, (x, t) in layers.items()}
    values = {name: value for name, value in found.items() if value is not None}
    if not values:
        raise DataError(
            "the source's activations are the same for all samples in every layer: "
            "the model does not tell these inputs apart; check the data and the weights"
        )
    return values if per_layer else sum(values.values()) / len(values)


def _corrected(x: Tensor, t: Tensor, bins: int) -> float | None:
    """Mean over channels of the distance on the source's edges, in the source's standard deviations."""
    x, t = x.double(), t.double()  # one layer at a time: all of them at once would not fit into the caches
    low, high = x.amin(0), x.amax(0)
    flat = low == high
    # torch's own `std` along the first dimension takes as long as the histogram
    std = torch.where(flat, 0.0, (x - x.mean(0)).square_().mean(0).sqrt())
    if bool(flat.all()):
        return None
    layer_std = std.square().mean().sqrt()
    low, high = torch.where(flat, low - layer_std, low), torch.where(flat, high + layer_std, high)
    std = torch.where(std == 0.0, layer_std, std)
    p, q = (hist.histograms(side.T, low, high, bins) / side.shape[0] for side in (x, t))
    return float((hist.wasserstein(p, q) * (high - low) / bins / std).mean())


def _released(x: Tensor, t: Tensor, bins: int) -> float:
    """Own ranges, histograms averaged over channels, bin heights compared as if they were samples."""
    p, q = (hist.own_range_shares(side.T.contiguous(), bins).mean(0, keepdim=True) for side in (x, t))
    return float(hist.sorted_heights_distance(p, q))


class Arm(SampleAccumulator[IndexValue]):
    """ARM over batches of both sides, from a bounded sample of each.

    A single pass cannot know the source's range before it ends, so the (samples, channels) matrices are kept, up
    to `capacity` samples a side: about 40 MB a side for 2,000 samples of 5,000 channels in float32. Beyond the
    capacity the value is that of the sample. Its error: two samples of n rows of one distribution are about
    1.8/√n standard deviations apart (0.057 at n = 1,000); `floor` reports what it is between halves of the source.
    """

    def __init__(
        self, *, bins: int = 64, mode: Mode = "corrected", capacity: int = 2000, seed: int = 0
    ) -> None:
        super().__init__(SIDES, capacity, seed)
        check_choice("mode", mode, MODES)
        hist.check_bins(bins)
        self.bins, self.mode, self.seed = bins, mode, seed

    def _settings(self) -> tuple[Any, ...]:
        return (self.bins, self.mode, *super()._settings())

    def update(self, layers: Layers, ids: Array, *, side: Side) -> None:
        """Add a batch of one side: layer name to activations (B, channels); `ids`: one integer a sample."""
        check_choice("side", side, SIDES)
        if not layers:
            raise DataError("no layers were given: pass a dict of layer name to activations (n, channels)")
        rows = {
            name: check_representations(values, f"{side} layer {name!r}", dtype=None)
            for name, values in layers.items()
        }
        n = len(next(iter(rows.values())))
        labels = torch.full((n,), -1)
        self.sampler(side).update(check_ids(ids, n), labels, **rows)

    def _value(self) -> IndexValue:
        """Value, floor (the same between two halves of the source's sample) and distance per layer."""
        source, target = (self._sample(side) for side in SIDES)
        values = arm(source.tensors, target.tensors, bins=self.bins, mode=self.mode, per_layer=True)
        samples, seen = len(target), target.seen
        del target  # tens of MB, which the floor does not need
        return IndexValue(
            name="arm",
            value=sum(values.values()) / len(values),
            floor=self._floor(source),
            samples=samples,
            detail=dict(values),
            note="" if seen <= samples else f"from {samples} of {seen} samples",
        )

    def _floor(self, source: Sample) -> float | None:
        if len(source) < 4:
            return None
        half = torch.zeros(len(source), dtype=torch.bool, device=source.ids.device)
        half[torch.argsort(hash_ids(source.ids, self.seed + 1))[: len(source) // 2]] = True
        values = []
        for name, rows in source.tensors.items():  # not all at once: their halves would be the sample again
            try:
                values.append(arm({name: rows[half]}, {name: rows[~half]}, bins=self.bins, mode=self.mode))
            except DataError:  # one half is constant: there is no scale
                continue
        return sum(values) / len(values) if values else None
