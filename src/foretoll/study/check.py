"""Everything that is wrong with a study file, found in one go: whatever else is wrong, each part is looked at."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from foretoll.data import SHIFTS
from foretoll.data.schemes import SCHEMES
from foretoll.data.shifts import check_level
from foretoll.data.uri import parse_uri
from foretoll.errors import UsageError, shown, unknown_name
from foretoll.models.architectures import ARCHITECTURES
from foretoll.models.named import parse_spec
from foretoll.options import OPTIONS
from foretoll.records.settings import MOST_EPOCHS
from foretoll.tasks import check_metric

MOST_SEEDS = 2**32 - 1
MOST_CELLS = 1_000_000
MOST_SHARE = 1.2  # of the quality on the source: a target may lie above it
Mistake = tuple[str, str]  # where it stands in the file, and what is wrong


class StudyMistakesError(UsageError):
    """A study cannot be carried out as it was asked for; `mistakes` are all the reasons, a sentence each."""

    def __init__(self, what: str, mistakes: Sequence[str]) -> None:
        super().__init__(f"{what}: {'; '.join(mistakes)}")
        self.what, self.mistakes = what, tuple(mistakes)


def mistakes_of(data: Mapping[str, Any], kind: type[BaseModel]) -> list[str]:
    """All mistakes of a file's content: what does not fit the fields of `kind`, and what no field can say."""
    found: list[Mistake] = []
    try:
        kind.model_validate(data)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            # what concerns the whole, and the levels of shifts, is said below
            if problem["loc"] and not (problem["loc"][0] == "shifts" and len(problem["loc"]) > 1):
                place = ".".join(str(part) for part in problem["loc"])
                found.append((place, _field_mistake(problem, kind)))
    told = {place for place, _ in found}
    found += [m for m in content_mistakes(data) if not any(m[0].startswith(place) for place in told)]
    return [f"{_name(place)}: {text}" if place else text for place, text in dict.fromkeys(found)]


def content_mistakes(data: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is wrong with names, levels, seeds, shares, networks and data; parts of a wrong type are passed over."""
    models = _table(data, "models")
    if isinstance(data.get("models"), dict) and not models:
        yield "models", "there is none: name at least one, such as small = 'foretoll:mlp'"
    for name, spec in models.items():
        yield from _caught(f"models.{name}", spec, _check_network)
    yield from _unknown("weights", list(_table(data, "weights")), "model", models)
    sources = _tables(data, "sources")
    if isinstance(data.get("sources"), list | tuple) and not sources:
        yield "sources", "there is none: give at least one [[sources]]"
    names = [str(source.get("name")) for _, source in sources]
    for name in dict.fromkeys(n for n in names if names.count(n) > 1):
        yield "sources", f"two are named {shown(name)}: give each a name of its own"
    tasks = _tables(data, "tasks")
    for place, source in sources:
        for key in ("source", "target"):
            yield from _caught(f"{place}.{key}", source.get(key), parse_uri)
        yield from _unknown(f"{place}.models", source.get("models"), "model", models)
        if isinstance(source.get("limit"), int) and source["limit"] < 1:
            yield f"{place}.limit", f"{source['limit']} is no number of samples: give 1 or more"
        if data.get("shifts") and not source.get("target") and not tasks:
            yield place, f"source {shown(source.get('name'))} has no target data to shift: give target="
    for place, task in tasks:
        yield from _unknown(f"{place}.source", [task.get("source")], "source", names)
        yield from _unknown(f"{place}.models", task.get("models"), "model", models)
        if isinstance(task.get("target"), str) and task["target"] not in names:
            yield from _caught(f"{place}.target", task["target"], partial(_check_task_target, names=names))
    yield from _shift_mistakes(_table(data, "shifts"))
    yield from _setting_mistakes(data)
    design = _table(data, "design")
    yield from _design_mistakes(design)
    unsuited = _table(design, "unsuited")
    yield from _unknown("design.unsuited", list(unsuited), "model", models)
    for name, options in unsuited.items():
        yield from _unknown(f"design.unsuited.{name}", options, "option", OPTIONS)


def _shift_mistakes(shifts: Mapping[str, Any]) -> Iterator[Mistake]:
    for kind, levels in shifts.items():
        if kind not in SHIFTS:
            yield f"shifts.{kind}", _nearest("shift", kind, SHIFTS)
            continue
        if not isinstance(levels, list | tuple):
            if levels != "default":
                yield (
                    f"shifts.{kind}",
                    f"{shown(levels, 40)} is no list of levels: write [0.5, 0.3], or 'default'",
                )
            continue
        if not levels:
            yield f"shifts.{kind}", "it has no level: give some, or 'default'"
        for level in levels:
            if isinstance(level, int | float) and not isinstance(level, bool):
                yield from _caught(f"shifts.{kind}", float(level), partial(check_level, kind))
            else:
                yield f"shifts.{kind}", f"{shown(level, 40)} is no level: give numbers"
        yield from _twice(f"shifts.{kind}", levels)


def _setting_mistakes(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for part in ("settings", "source_training"):
        given = _table(data, part)
        yield from _caught(f"{part}.metric", given.get("metric"), check_metric)
        for epochs in _numbers([given.get("max_epochs")]):
            if epochs > MOST_EPOCHS:
                yield (
                    f"{part}.max_epochs",
                    f"{epochs:g} is more than {MOST_EPOCHS:,}: give a budget that can be spent",
                )
    yield from _vary_mistakes(_table(data, "vary"))
    for place, task in _tables(data, "tasks"):
        for value in _numbers(task.get("until")):
            if not 0 < value < 1:
                yield f"{place}.until", f"{value:g} is no progress: it lies between 0 and 1"


def _vary_mistakes(vary: Mapping[str, Any]) -> Iterator[Mistake]:
    for key, least in (("batch_size", 1), ("train_samples", 2), ("held_out", 1)):
        for value in _numbers(vary.get(key)):
            if value < least:
                yield f"vary.{key}", f"{value:g} is too few: give {least} or more"
    for value in _numbers(vary.get("lr")):
        if not (math.isfinite(value) and value > 0):
            yield "vary.lr", f"{value:g} is no learning rate: give one above 0"
    for value in _numbers(vary.get("until_share")):
        if not 0 < value <= MOST_SHARE:
            yield "vary.until_share", f"{value:g} is no share: it lies above 0 and at most at {MOST_SHARE:g}"
    if isinstance(vary.get("until_share"), list | tuple) and not vary["until_share"]:
        yield "vary.until_share", "it is empty: give at least one share, such as 0.95"


def _design_mistakes(design: Mapping[str, Any]) -> Iterator[Mistake]:
    yield from _unknown("design.options", design.get("options"), "option", OPTIONS)
    for key in ("options", "seeds"):
        values = design.get(key)
        if isinstance(values, list | tuple):
            if not values:
                yield f"design.{key}", "it is empty: give at least one"
            yield from _twice(f"design.{key}", values)
    for seed in _numbers(design.get("seeds")):
        if not 0 <= seed <= MOST_SEEDS:
            yield "design.seeds", f"{seed:g} is no seed: give 0 to {MOST_SEEDS}"


def _check_network(spec: str) -> None:
    """Whether a network's name can be read, and is known where foretoll builds it. Nothing is imported or built."""
    found = parse_spec(spec)
    if found.scheme != "foretoll":
        return
    if found.name not in ARCHITECTURES:
        raise UsageError(_nearest("architecture", found.name, ARCHITECTURES))
    valid = ARCHITECTURES[found.name].defaults
    for option in found.build_options:
        if option not in valid:
            raise UsageError(_nearest(f"option of {found.name}", option, valid))


def _check_task_target(uri: str, names: Sequence[str]) -> None:
    if uri.partition(":")[0].partition("?")[0] not in SCHEMES:
        raise UsageError(f"{_nearest('source', uri, names)}; or give a data URI")
    parse_uri(uri)


def _field_mistake(problem: Any, kind: type[BaseModel]) -> str:
    """Pydantic's finding as part of a sentence; of an unknown key the nearest ones."""
    if problem["type"] == "extra_forbidden":
        valid = _keys_at(kind, problem["loc"][:-1])
        return _nearest("key", str(problem["loc"][-1]), valid) if valid else "unknown key"
    text = problem["msg"].removeprefix("Value error, ")
    text = f"{text[:1].lower()}{text[1:]}"
    if problem["type"] == "missing":
        return "it is missing"
    value = problem.get("input")
    return text if isinstance(value, dict | list) else f"{shown(value, 40)}: {text}"


def _keys_at(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The keys that a table of the file may have."""
    here: Any = kind
    for part in place:
        if isinstance(part, int):
            continue
        field = next((f for n, f in here.model_fields.items() if part in (n, f.alias)), None)
        here = None if field is None else _model_in(field.annotation)
        if here is None:
            return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The record that an annotation such as `tuple[SourceSpec, ...]` holds."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (tuple, typing.Union, types.UnionType):
        return next(filter(None, map(_model_in, typing.get_args(annotation))), None)
    return None


def _nearest(kind: str, name: str, valid: Iterable[str]) -> str:
    """That a name is unknown, with the nearest one alone: there may be many such sentences."""
    known = list(valid)
    near = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.5)
    return (
        f"unknown {kind} {shown(name, 40)}: did you mean {near[0]!r}?"
        if near
        else unknown_name(kind, name, known)
    )


def _caught(place: str, value: Any, check: Callable[[Any], Any]) -> Iterator[Mistake]:
    if not isinstance(value, str | float):
        return
    try:
        check(value)
    except UsageError as error:
        yield place, str(error)


def _unknown(place: str, names: Any, kind: str, valid: Iterable[str]) -> Iterator[Mistake]:
    known = list(valid)
    for name in names if isinstance(names, list | tuple) else ():
        if isinstance(name, str) and name not in known:
            yield place, _nearest(kind, name, known)


def _twice(place: str, values: Sequence[Any]) -> Iterator[Mistake]:
    texts = [str(value) for value in values]
    for value in dict.fromkeys(text for text in texts if texts.count(text) > 1) if len(texts) < 1000 else ():
        yield place, f"{shown(value, 40)} stands there twice"


def _numbers(values: Any) -> list[float]:
    given = values if isinstance(values, list | tuple) else ()
    return [value for value in given if isinstance(value, int | float) and not isinstance(value, bool)]


def _table(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = data.get(key)
    return found if isinstance(found, dict) else {}


def _tables(data: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = data.get(key)
    rows = found if isinstance(found, list | tuple) else ()
    return [(f"{key}.{i}", row) for i, row in enumerate(rows) if isinstance(row, dict)]


def _name(place: str) -> str:
    return shown(place, 80)[1:-1]
