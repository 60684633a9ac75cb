"""The programs and mappings by name, and how a description becomes one again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foretoll.errors import UsageError, unknown_name
from foretoll.reprogram.base import InputProgram, OutputMapping
from foretoll.reprogram.image_programs import Full, LowRank, Pad, TrainableResize
from foretoll.reprogram.mappings import Bayesian, BayesianTopK, Frequent, Identity, Iterative, Linear, Random
from foretoll.reprogram.sample_mask import SampleMask
from foretoll.reprogram.signal_programs import Additive, Series1D
from foretoll.reprogram.token_map import TokenMap

PROGRAMS: dict[str, type[InputProgram]] = {
    kind.name: kind
    for kind in (Pad, Full, LowRank, SampleMask, TrainableResize, Series1D, Additive, TokenMap)
}
MAPPINGS: dict[str, type[OutputMapping]] = {
    kind.name: kind for kind in (Identity, Random, Frequent, Iterative, Bayesian, BayesianTopK, Linear)
}


def make_program(name: str, **options: Any) -> InputProgram:
    """The input program of that name; UsageError for an unknown name or options that it does not take."""
    return _make("program", name, PROGRAMS, (), options)  # type: ignore[no-any-return]  # a class of that table


def make_mapping(name: str, source_classes: int, num_classes: int, **options: Any) -> OutputMapping:
    """The output mapping of that name; UsageError for an unknown name or options that it does not take."""
    return _make("mapping", name, MAPPINGS, (source_classes, num_classes), options)  # type: ignore[no-any-return]


def _make(
    what: str, name: str, table: Mapping[str, Any], given: tuple[int, ...], options: dict[str, Any]
) -> Any:
    if name not in table:
        raise UsageError(unknown_name(what, name, table))
    try:
        return table[name](*given, **options)
    except TypeError as error:
        raise UsageError(
            f"the {what} {name!r} cannot be made of {', '.join(options) or 'no options'}: {error}"
        ) from error
