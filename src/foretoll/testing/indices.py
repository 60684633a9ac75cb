"""The laws of an index that plugs in."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from foretoll.indices.scores import SideSample
from foretoll.indices.table import NEEDS, IndexEntry
from foretoll.testing.laws import hold


def check_index(entry: IndexEntry) -> None:
    """Check that an index keeps its contract: `entry.compute(source, target)` on two `SideSample`.

    1. It says what it is called, sees and needs, in words that lists understand.
    2. Its value is a finite float, and the same when it is computed again.
    3. The order of the samples does not matter.
    4. Identical sides give the documented value, and different ones another, where one is documented.
    5. One that needs no labels of the target does not read them.

    Raises:
        ContractError: a law is broken.

    """
    hold(isinstance(entry, IndexEntry), f"{entry!r} is no foretoll.indices.table.IndexEntry")
    name, compute = entry.name, entry.compute
    hold(bool(name and entry.title and entry.source), f"{name!r}: name, title and source are all to be given")
    words = bool(entry.sees) and entry.sees[0].islower() and not entry.sees.endswith(".")
    hold(words, f"{name}: 'sees' is a part of a sentence, in small letters and without a full stop")
    hold(
        set(entry.needs) <= set(NEEDS), f"{name}: 'needs' names something that is none of {', '.join(NEEDS)}"
    )
    if compute is None:
        hold(False, f"{name}: it has no compute(source, target)")
        return
    source, target = _side(0, 60), _side(1, 45, shift=0.7)
    value = compute(source, target)
    hold(type(value) is float and math.isfinite(value), f"{name}: {value!r} is no finite float")
    hold(
        compute(source, target) == value, f"{name}: computed again it has another value; seed what is random"
    )
    order = torch.randperm(45, generator=torch.Generator().manual_seed(5))
    moved = compute(source, _rows(target, order))
    close = math.isclose(moved, value, rel_tol=1e-6, abs_tol=1e-9)
    hold(close, f"{name}: with the samples in another order it is {moved:g} and not {value:g}")
    if entry.identical is not None:
        alike = compute(source, source)
        right = math.isclose(alike, entry.identical, rel_tol=1e-6, abs_tol=1e-9)
        hold(right, f"{name}: of identical sides it is {alike:g}, and {entry.identical:g} is documented")
        differs = abs(value - entry.identical) > 1e-6
        hold(differs, f"{name}: of shifted data it is {value:g}, as of identical ones: it sees nothing")
    if not entry.labels:
        blind = compute(source, replace(target, labels=torch.full_like(target.labels, -1)))
        hold(
            math.isclose(blind, value, rel_tol=1e-9), f"{name}: it reads the target's labels; say labels=True"
        )


def _side(seed: int, n: int, *, classes: int = 4, width: int = 6, shift: float = 0.0) -> SideSample:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    rows = 2 * centres[labels] + torch.randn(n, width, generator=generator, dtype=torch.float64) + shift
    logits = rows @ centres.T
    return SideSample(rows, logits, labels, torch.arange(n))


def _rows(side: SideSample, order: torch.Tensor) -> SideSample:
    return SideSample(side.representations[order], side.logits[order], side.labels[order], side.ids[order])
