"""RESQUE for a distribution shift (arXiv 2412.15511, AAAI 2025): how far the classes' representations turned.

Definition: u_c, v_c = sums of the representations a(x) over the source and target samples of class c,
θ_c = arccos(û_c · v̂_c) / π, index = mean of θ_c over the classes that both sides have, in [0, 1], no unit.
Trusted equivalent: numpy's arccos of the cosine. The task form is in resque_task.py.
"""

# Deviations of mode "corrected" from the released code, which mode "released" repeats (to the last bits of float32):
# 1. Sums and norms are in float64; the released code adds up float32.
# 2. The angle is 2·atan2(‖û − v̂‖, ‖û + v̂‖), exactly 0 for identical data; arccos in float32 gives 1.5e-5.
# 3. Classes missing on one side, or whose sum is the zero vector, are reported and left out; the released
#    mean is NaN then, so mode "released" refuses such data.
# 4. Labels of -1 (unknown) are left out.
# 5. One pass over the data in batches; the released code makes one pass per class with batch size 1. Beside
#    the value stand a 90 % interval and a floor: the same statistic between two halves of the source.

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from foretoll.errors import DataError, UsageError
from foretoll.indices._accumulator import Accumulator
from foretoll.indices._bootstrap import (
    bootstrap_weights,
    group_of,
    groups_for,
    half_masks,
    hash_rows,
    interval,
)
from foretoll.indices._validate import (
    MODES,
    Array,
    Mode,
    check_choice,
    check_ids,
    check_known_labels,
    check_labels,
    check_not_constant,
    check_representations,
)
from foretoll.indices.resque_task import ResqueTask, resque_task
from foretoll.records import IndexValue

__all__ = [
    "ClassAngles",
    "ResqueDistribution",
    "ResqueTask",
    "resque_class_angles",
    "resque_distribution",
    "resque_task",
]

Side = Literal["source", "target"]
SIDES: tuple[Side, ...] = ("source", "target")


class ClassAngles(NamedTuple):
    """Angles over π per class that both sides have, and the classes left out."""

    angles: dict[int, float]
    missing: tuple[int, ...]  # on one side only, or with a zero vector for a sum

    @property
    def value(self) -> float:
        """The index: the mean over the classes that both sides have."""
        return math.fsum(self.angles.values()) / len(self.angles)


def resque_distribution(
    source: Array,
    source_labels: Array,
    target: Array,
    target_labels: Array,
    *,
    mode: Mode = "corrected",
) -> float:
    """RESQUE's index of a distribution shift, in [0, 1]; 0 for identical data.

    `source` (n, d) and `target` (m, d): representations by the same model, or (n, channels, …), averaged over
    the positions. Labels: class indices of the same classes. Scaling one side by a positive number or
    swapping the sides changes nothing. Raises `DataError` where no class is on both sides or an input is
    unusable.
    """
    found = resque_class_angles(source, source_labels, target, target_labels, mode=mode)
    if mode == "released":
        # the released code averages a list of float32 values in numpy
        return float(torch.tensor(list(found.angles.values()), dtype=torch.float64).mean())
    return found.value


def resque_class_angles(
    source: Array,
    source_labels: Array,
    target: Array,
    target_labels: Array,
    *,
    mode: Mode = "corrected",
) -> ClassAngles:
    """θ_c per class that both sides have, and the classes left out. Arguments as `resque_distribution`."""
    check_choice("mode", mode, MODES)
    dtype = torch.float64 if mode == "corrected" else None
    x = check_representations(source, "source", dtype=dtype, allow_constant=False)
    t = check_representations(target, "target", dtype=dtype, allow_constant=False)
    if x.shape[1] != t.shape[1]:
        raise DataError(
            f"source has {x.shape[1]} channels and target {t.shape[1]}: represent both with the same model"
        )
    y = check_labels(source_labels, x.shape[0], "source_labels").to(x.device)
    z = check_labels(target_labels, t.shape[0], "target_labels").to(t.device)
    t, z = t.to(x.device), z.to(x.device)
    x, y = check_known_labels(x, y, "source_labels", classes=1)
    t, z = check_known_labels(t, z, "target_labels", classes=1)
    if mode == "released":
        return _released_angles(x, y, t, z)
    classes = int(max(y.max(), z.max())) + 1
    return _class_angles(_class_sums(x, y, classes), _class_sums(t, z, classes), _present(y, z, classes))


def _class_sums(x: Tensor, y: Tensor, classes: int) -> Tensor:
    return torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, y, x)


def _present(y: Tensor, z: Tensor, classes: int) -> Tensor:
    return torch.stack([torch.bincount(y, minlength=classes), torch.bincount(z, minlength=classes)])


def _unit(x: Tensor) -> Tensor:
    """Rows of length 1; NaN for the zero vector. Scaled by the largest entry first: nothing overflows."""
    x = x / x.abs().amax(-1, keepdim=True)
    unit: Tensor = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return unit


def turned(u: Tensor, v: Tensor) -> Tensor:
    """Angle between vectors along the last dimension, over π; NaN where one of them is zero."""
    a, b = _unit(u), _unit(v)
    return 2.0 / math.pi * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1))


def _class_angles(u: Tensor, v: Tensor, counts: Tensor) -> ClassAngles:
    """Angles from class sums (C, d) of both sides and the numbers of samples (2, C)."""
    angles = turned(u, v)
    shared = ((counts > 0).all(0) & torch.isfinite(angles)).tolist()
    seen = (counts > 0).any(0).tolist()
    missing = tuple(c for c, (s, has) in enumerate(zip(shared, seen, strict=True)) if has and not s)
    values = {c: angle for c, angle in enumerate(angles.tolist()) if shared[c]}
    if not values:
        both = bool((counts > 0).all(0).any())
        raise DataError(
            "the representations of every class sum to zero vectors: choose a layer whose output is not zero"
            if both
            else "source and target have no class in common: use RESQUE's task form for a task shift"
        )
    return ClassAngles(values, missing)


def _released_angles(x: Tensor, y: Tensor, t: Tensor, z: Tensor) -> ClassAngles:
    """The released arithmetic: sums, norms, dot product and arccos in the dtype of the input (float32)."""
    classes = sorted(set(y.tolist()) | set(z.tolist()))
    angles: dict[int, float] = {}
    for c in classes:
        u, v = x[y == c].sum(0), t[z == c].sum(0)
        cosine = torch.dot(u / u.norm(), v / v.norm())
        angle = float(torch.arccos(torch.clip(cosine, -1.0, 1.0)) / torch.pi)
        if math.isnan(angle):
            raise DataError(
                f"class {c} is missing on one side or sums to zero, which is NaN in the released arithmetic: "
                'use mode="corrected"'
            )
        angles[c] = angle
    return ClassAngles(angles, ())


class ResqueDistribution(Accumulator[IndexValue]):
    """RESQUE's distribution form over batches of both sides, with a 90 % interval and the zero-shift floor.

    State: class sums, float64 (2 sides, groups, C, d), where a sample's group is a hash of its id: 32 groups
    (fewer above 2²⁴ numbers a side; 1 with `uncertainty=False`). `compute` is the pure function's value for
    any batch size, order or split.
    """

    sums: Tensor
    counts: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, num_classes: int, *, uncertainty: bool = True, seed: int = 0) -> None:
        super().__init__()
        if num_classes < 1:
            raise UsageError(f"num_classes is {num_classes}: pass the number of classes, at least 1")
        self.num_classes, self.uncertainty, self.seed = num_classes, uncertainty, seed

    def _settings(self) -> tuple[Any, ...]:
        return (self.num_classes, self.uncertainty, self.seed)

    def _make_states(self, key: tuple[Any, ...], device: torch.device) -> None:
        (width,) = key
        groups = groups_for(self.num_classes * width) if self.uncertainty else 1
        self._add_zeros("sums", (2, groups, self.num_classes, width), device, torch.float64)
        self._add_zeros("counts", (2, groups, self.num_classes), device, torch.int64)
        full = torch.full((2, width), math.inf, dtype=torch.float64, device=device)
        self._add_state("lowest", full, "min")
        self._add_state("highest", -full, "max")

    def update(self, representations: Array, labels: Array, *, side: Side, ids: Array | None = None) -> None:
        """Add a batch: representations (B, d) or (B, channels, …), labels (B,), all of one side.

        `ids`: one integer a sample that does not change between passes; without them the rows' own content
        decides the groups (the value is the same, the interval and floor then need bit-equal rows).
        """
        check_choice("side", side, SIDES)
        x = check_representations(representations, f"{side} representations")
        y = check_labels(labels, x.shape[0], f"{side} labels")
        self._size((x.shape[1],), x.device)
        x, y = self._at_home(x), self._at_home(y)
        keys = hash_rows(x) if ids is None else self._at_home(check_ids(ids, x.shape[0]))
        if int(y.max()) >= self.num_classes:
            raise DataError(
                f"{side} labels hold {int(y.max())}, but there are {self.num_classes} classes: "
                f"class indices run from 0 to {self.num_classes - 1}"
            )
        known = y >= 0
        x, y, keys = x[known], y[known], keys[known]
        if not x.shape[0]:
            return
        s = SIDES.index(side)
        groups = self.sums.shape[1]
        group = group_of(keys, groups, self.seed)
        cell = (s * groups + group) * self.num_classes + y
        self.sums.view(-1, x.shape[1]).index_add_(0, cell, x)
        self.counts.view(-1).index_add_(0, cell, torch.ones_like(cell))
        self.lowest[s] = torch.minimum(self.lowest[s], x.amin(0))
        self.highest[s] = torch.maximum(self.highest[s], x.amax(0))

    def angles(self) -> ClassAngles:
        """The angles per class of what was seen so far."""
        self._require_data()
        counts = self.counts.sum(1)
        for s, side in enumerate(SIDES):
            total = int(counts[s].sum())
            if not total:
                raise DataError(f"no labelled {side} sample was seen: update both sides before compute")
            check_not_constant(self.lowest[s], self.highest[s], total, side)
        sums = self.sums.sum(1)
        return _class_angles(sums[0], sums[1], counts)

    def _value(self) -> IndexValue:
        """Value, 90 % interval, floor, angles per class, and the classes missing on one side."""
        found = self.angles()
        low = high = floor = None
        if self.uncertainty:
            classes = torch.tensor(list(found.angles), device=self.sums.device)
            angles = torch.tensor(list(found.angles.values()), dtype=torch.float64)
            low, high = interval(angles, self._replicates(classes).cpu(), upper=1.0)
            floor = self._floor(classes)
        return IndexValue(
            name="resque",
            value=found.value,
            low=low,
            high=high,
            floor=floor,
            samples=int(self.counts[1].sum()),
            detail={str(c): angle for c, angle in found.angles.items()},
            missing_classes=tuple(map(str, found.missing)),
            note="a floor is from halves of the source: half its samples a side" if floor is not None else "",
        )

    def _replicates(self, classes: Tensor) -> Tensor:
        """The angles (replicates, classes) under bootstrap weights of the groups.

        Both sides share the weights: where they hold the same samples (the same ids), pairs stay pairs; where
        they do not, their groups are unrelated and nothing is lost.
        """
        groups = self.sums.shape[1]
        weights = self._at_home(bootstrap_weights(groups, seed=self.seed))
        # class by class: memory stays at replicates × d
        angles = [
            turned(weights @ self.sums[0, :, c], weights @ self.sums[1, :, c]) for c in classes.tolist()
        ]
        return torch.stack(angles, 1)

    def _floor(self, classes: Tensor) -> float | None:
        """Mean of the index between two halves of the source's groups, over eight splits."""
        source = self.sums[0][:, classes]
        first = self._at_home(half_masks(source.shape[0], seed=self.seed)).to(torch.float64)
        u = torch.einsum("sg,gcd->scd", first, source)
        v = torch.einsum("sg,gcd->scd", 1.0 - first, source)
        floor = float(turned(u, v).nanmean())
        return None if math.isnan(floor) else floor
