"""RESQUE without labels of the target: by the model's own predicted classes, or by transport between class means.

Predicted: the target's samples are grouped by the class that the model gives them. Transport: the target's
representations are clustered by k-means from the source's class means, and the clusters' means are matched to
those of the source at the least total cost. Both return RESQUE's mean angle over π.

How far they are from the labelled value, over 12 shifts and none of MNIST, Fashion-MNIST and CIFAR-10
(docs/label_free.md): by transport 0.008 on average (at most 0.045) and no bias, Spearman 1.00; by predicted classes
0.044 (at most 0.17), nearly always too low, Spearman 0.97. A wrong prediction puts a sample to the class that it has
moved towards, so that the groups seem to have turned less than the classes did. Classes that are missing in the
target break transport, which cuts others in two: with half of them missing both are 0.05 off.
"""

from __future__ import annotations

import torch

from foretoll.errors import DataError
from foretoll.indices._arrays import same_width
from foretoll.indices._clusters import kmeans_from
from foretoll.indices._validate import Array, check_known_labels, check_labels, check_representations
from foretoll.indices.resque import resque_distribution, turned
from foretoll.indices.separability import match_classes_by_transport


def resque_predicted(source: Array, source_labels: Array, target: Array, logits: Array) -> float:
    """RESQUE with the model's predicted classes in place of the target's labels.

    `source` (n, d), `source_labels` (n,), `target` (m, d), `logits` (m, C). Errors as `resque_distribution`, and
    DataError for logits that are not finite. Equal to the labelled value where all predictions are right.
    """
    outputs = check_representations(logits, "logits", dtype=None)
    return resque_distribution(source, source_labels, target, outputs.argmax(dim=1))


def resque_transport(source: Array, source_labels: Array, target: Array, *, seed: int = 0) -> float:
    """RESQUE between source classes and target clusters that optimal transport matches to them.

    `source` (n, d), `source_labels` (n,), `target` (m, d); nothing is drawn at random, so `seed` has no effect. Equal
    to the labelled value where the clusters are the classes. Raises DataError with fewer target
    samples than source classes, other widths on both sides, constant or unusable representations.
    """
    x = check_representations(source, "source", allow_constant=False).cpu()
    t = check_representations(target, "target", allow_constant=False).cpu()
    same_width(x, t, "source and target")
    x, y = check_known_labels(x, check_labels(source_labels, len(x), "source_labels").cpu(), "source_labels")
    classes = torch.unique(y)
    if len(t) < len(classes):
        raise DataError(f"{len(t)} target samples cannot be put into {len(classes)} clusters: give more")
    means = torch.stack([x[y == c].mean(0) for c in classes])
    centres = torch.from_numpy(kmeans_from(t.numpy(), means.numpy()).centres).to(torch.float64)
    matched = match_classes_by_transport(means, centres).classes
    return float(turned(means[matched], centres).nanmean())
