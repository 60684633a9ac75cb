"""The table of all shifts. A new shift is one function and one row."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from foretoll.data.shifts import blur, codec, geometry, noise, tone
from foretoll.data.shifts.context import Context
from foretoll.errors import UsageError, unknown_name

ShiftFunction = Callable[[Any, float, Context], npt.NDArray[Any]]

IMAGE = ("image",)
WITH_SERIES = ("image", "series")
ANY = ("image", "vector", "series")


@dataclass(frozen=True)
class ShiftSpec:
    """One kind of shift. Levels run from `low` to `high`, both included.

    default_levels: four levels, mildest first, for images; other_levels the same for vectors and series
    where those have another unit. identity: the level that changes nothing, None where there is none.
    random: whether a sample's result depends on the seed. For released ones only: `historic`.
    """

    name: str
    function: ShiftFunction
    unit: str
    meaning: str
    low: float
    high: float
    identity: float | None
    default_levels: tuple[float, float, float, float]
    kinds: tuple[str, ...]
    other_levels: tuple[float, float, float, float] | None = None
    random: bool = False
    historic: bool = False

    def levels_for(self, kind: str) -> tuple[float, float, float, float]:
        """The four default levels for this kind of data, mildest first."""
        return self.default_levels if kind == "image" or self.other_levels is None else self.other_levels


_ROWS = (
    ShiftSpec(
        "gaussian_noise", noise.gaussian_noise,
        "standard deviation; share of the full range (vectors, series: of the feature's deviation)",
        "adds normal noise to every value", 0.0, 10.0, 0.0,
        (0.05, 0.1, 0.2, 0.35), ANY, (0.25, 0.5, 1.0, 2.0), random=True,
    ),
    ShiftSpec(
        "gaussian_noise_released", noise.gaussian_noise_released,
        "standard deviation; share of the full range",
        "normal noise written to 8 bit without clamping, so that it wraps around, as the released research "
        "code does; for reproduction only",
        0.0, 10.0, 0.0, (0.05, 0.1, 0.2, 0.35), IMAGE, random=True, historic=True,
    ),
    ShiftSpec(
        "salt_and_pepper", noise.salt_and_pepper, "share of the pixels (vectors, series: of the values)",
        "sets pixels to black or white, values to the feature's lowest or highest", 0.0, 1.0, 0.0,
        (0.03, 0.08, 0.15, 0.3), ANY, random=True,
    ),
    ShiftSpec(
        "shot_noise", noise.shot_noise, "standard deviation at full white; share of the full range",
        "photon noise: Poisson counts, stronger where it is dark relative to the light", 0.0, 10.0, 0.0,
        (0.08, 0.15, 0.3, 0.5), IMAGE, random=True,
    ),
    ShiftSpec(
        "impulse_noise", noise.impulse_noise, "share of the values, each channel apart",
        "replaces values by random ones", 0.0, 1.0, 0.0, (0.03, 0.08, 0.15, 0.3), ANY, random=True,
    ),
    ShiftSpec(
        "gaussian_blur", blur.gaussian_blur, "standard deviation in pixels (series: in time steps)",
        "blurs with a Gaussian", 0.0, 100.0, 0.0, (0.5, 0.8, 1.2, 1.7), WITH_SERIES, (1.0, 2.0, 4.0, 8.0),
    ),
    ShiftSpec(
        "defocus_blur", blur.defocus_blur, "radius in pixels", "blurs like a lens out of focus",
        0.0, 20.0, 0.0, (0.8, 1.2, 1.8, 2.6), IMAGE,
    ),
    ShiftSpec(
        "motion_blur", blur.motion_blur, "reach in pixels, to either side",
        "blurs along a line whose direction is drawn for each image", 0.0, 20.0, 0.0,
        (0.7, 1.3, 2.0, 3.0), IMAGE, random=True,
    ),
    ShiftSpec(
        "contrast", tone.contrast, "factor on the distance from the mean", "scales the contrast; 1 is unchanged",
        0.0, 10.0, 1.0, (0.6, 0.4, 0.25, 0.12), ANY,
    ),
    ShiftSpec(
        "brightness", tone.brightness,
        "added value; share of the full range (vectors, series: of the feature's deviation)",
        "adds a constant, negative to darken", -10.0, 10.0, 0.0, (0.15, 0.3, 0.45, 0.6), ANY,
        (0.5, 1.0, 1.5, 2.0),
    ),
    ShiftSpec(
        "rotation", geometry.rotation, "degrees, counter-clockwise", "turns about the centre, corners black",
        -360.0, 360.0, 0.0, (10.0, 20.0, 35.0, 60.0), IMAGE,
    ),
    ShiftSpec(
        "translation", geometry.translation, "share of each side (series: of the length)",
        "moves to the right and downwards (series: later), zero filled", -1.0, 1.0, 0.0,
        (0.04, 0.08, 0.13, 0.2), WITH_SERIES,
    ),
    ShiftSpec(
        "occlusion", geometry.occlusion, "share of the area (series: of the length; vectors: of the columns)",
        "hides a grey square at a random place (series: a stretch; vectors: random columns, by their mean)",
        0.0, 1.0, 0.0, (0.06, 0.12, 0.25, 0.4), ANY, (0.1, 0.2, 0.35, 0.5), random=True,
    ),
    ShiftSpec(
        "inversion", tone.inversion, "share of the negative", "blends with the negative; 1 is fully inverted",
        0.0, 1.0, 0.0, (0.3, 0.6, 0.8, 1.0), ANY,
    ),
    ShiftSpec(
        "pixelate", codec.pixelate, "factor by which each side (series: the length) is reduced",
        "lowers the resolution", 1.0, 1000.0, 1.0, (1.5, 2.0, 3.0, 4.0), WITH_SERIES, (2.0, 4.0, 8.0, 16.0),
    ),
    ShiftSpec(
        "jpeg", codec.jpeg, "quality, 1 to 95", "compresses as JPEG; lower is stronger", 1.0, 95.0, None,
        (50.0, 25.0, 12.0, 5.0), IMAGE,
    ),
    ShiftSpec(
        "frost", codec.frost, "opacity", "lays computed ice over the image", 0.0, 1.0, 0.0,
        (0.25, 0.45, 0.65, 0.85), IMAGE, random=True,
    ),
)  # fmt: skip

SHIFTS: dict[str, ShiftSpec] = {row.name: row for row in _ROWS}


def shifts_for(kind: str) -> tuple[ShiftSpec, ...]:
    """The shifts that make sense for this kind of data, those for reproduction only left out."""
    return tuple(spec for spec in SHIFTS.values() if kind in spec.kinds and not spec.historic)


def check_level(name: str, level: float) -> None:
    """Refuse an unknown shift or a level outside its range."""
    if name not in SHIFTS:
        raise UsageError(unknown_name("shift", name, SHIFTS))
    spec = SHIFTS[name]
    if not (math.isfinite(level) and spec.low <= level <= spec.high):
        raise UsageError(
            f"level {level:g} of shift {name} is outside {spec.low:g} … {spec.high:g} ({spec.unit})"
        )


def check_kind(name: str, kind: str) -> None:
    """Refuse a shift that makes no sense for this kind of data."""
    if kind not in SHIFTS[name].kinds:
        raise UsageError(
            f"shift {name} is for {' and '.join(SHIFTS[name].kinds)} data and these are {kind} data: "
            f"use {', '.join(spec.name for spec in shifts_for(kind)) or 'natural shifts (where=…, rows=…)'}"
        )
