"""One registry for all that can be plugged in: options, tasks, indices, meters, data schemes, policies.

A part is taken by its name or as an object that is handed in. Names are those that foretoll brings, and those of entry
points of installed distributions (`[project.entry-points."foretoll.options"]` in a part's own pyproject.toml); a part
is imported when it is first asked for. What is not installed cannot be named, and no file of data or of a
model says what is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Generic, TypeVar

from foretoll.errors import UsageError, one_line, shown, unknown_name

PartT = TypeVar("PartT")


class Registry(Mapping[str, PartT], Generic[PartT]):
    """Parts of one kind by name: a read-only mapping that imports a part when it is first asked for.

    kind: what a part is called in messages ("option"). group: the entry points' group ("foretoll.options").
    built_in: foretoll's own, as "module:attribute" or as objects. made: turns what was found into a part, and raises
    TypeError or UsageError where it is none.
    """

    def __init__(
        self, kind: str, group: str, built_in: Mapping[str, str | PartT], *, made: Callable[[Any], PartT]
    ) -> None:
        self.kind, self.group = kind, group
        self._built_in = dict(built_in)
        self._made = made
        self._parts: dict[str, PartT] = {}
        self._given: dict[str, PartT] = {}  # handed in as objects, in this process

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        yield from sorted({*installed(self.group), *self._given} - set(self._built_in))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._built_in or name in self._given or name in installed(self.group)

    def __getitem__(self, name: str) -> PartT:
        """The part of that name, imported; KeyError where there is none, UsageError where it cannot be imported."""
        if name in self._given:
            return self._given[name]
        if name not in self._parts:
            self._parts[name] = self._loaded(name)
        return self._parts[name]

    def part(self, part: str | PartT) -> PartT:
        """The part of a name, or the object that was handed in; UsageError with the nearest names otherwise.

        An object's own name stands for it from here on in this process, so that records that name it are understood;
        it never stands in the place of a part that foretoll brings.
        """
        if not isinstance(part, str):
            try:
                made = self._made(part)
            except TypeError as error:
                raise UsageError(f"{shown(part)} is no {self.kind}: {error}") from error
            name = getattr(made, "name", None)
            if isinstance(name, str) and name not in self._built_in:
                self._given[name] = made
            return made
        if part not in self:
            raise UsageError(unknown_name(self.kind, part, self))
        return self[part]

    @property
    def built_in(self) -> tuple[str, ...]:
        """The names of what foretoll itself brings."""
        return tuple(self._built_in)

    def brings(self, name: str) -> bool:
        """Whether foretoll itself brings a part of that name."""
        return name in self._built_in

    def from_others(self) -> dict[str, str]:
        """The names that others add, with their distributions; "" where an object was handed in."""
        found = dict.fromkeys(self._given, "") | {
            name: ", ".join(sorted({_owner(point) for point in points}))
            for name, points in installed(self.group).items()
        }
        return {name: found[name] for name in sorted(found) if name not in self._built_in}

    def _loaded(self, name: str) -> PartT:
        if name in self._built_in:  # an entry point never takes the place of what foretoll brings
            own = self._built_in[name]
            if not isinstance(own, str):
                return own
            module, _, attribute = own.partition(":")
            return self._made(getattr(import_module(module), attribute))
        points = installed(self.group)[name]
        if len({point.value for point in points}) > 1:
            owners = " and ".join(sorted(map(_owner, points)))
            raise UsageError(f"the {self.kind} {shown(name, 40)} is in {owners}: uninstall one of them")
        try:
            return self._made(points[0].load())
        except Exception as error:  # another's code: whatever it raises is said as its own
            raise UsageError(
                f"the {self.kind} {shown(name, 40)} of {_owner(points[0])} cannot be used "
                f"({type(error).__name__}: {one_line(str(error), 120)}); update or uninstall that package"
            ) from error


def names_for_help(registry: Registry[Any]) -> str:
    """The names as a list; of other packages only where help is asked for, since finding them takes time."""
    asked = not {"--help", "-h"}.isdisjoint(sys.argv)
    return ", ".join(name for name in (registry if asked else registry.built_in))


def instance_of(kind: type[PartT]) -> Callable[[Any], PartT]:
    """What turns a class of this kind, or an object of it, into the object; for `Registry(made=…)`."""

    def made(found: Any) -> PartT:
        part = found() if isinstance(found, type) else found
        if not isinstance(part, kind):
            raise TypeError(f"it is a {type(part).__name__}, not a {kind.__module__}.{kind.__name__}")
        return part

    return made


def installed(group: str) -> dict[str, list[EntryPoint]]:
    """The entry points of a group by name, of distributions in the folders that Python imports from.

    The current folder is left out: what comes with a data set or a model, and lies where the work is done, plugs
    nothing in.
    """
    return _installed(group, tuple(sys.path))


@cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, list[EntryPoint]]:
    try:
        here = Path.cwd()
    except OSError:  # it was taken away
        here = None
    folders = [folder for folder in path if folder and Path(folder) != here]
    found: dict[str, list[EntryPoint]] = {}
    for distribution in distributions(path=folders):
        for point in distribution.entry_points:
            if point.group == group:
                found.setdefault(point.name, []).append(point)
    return found


def _owner(point: EntryPoint) -> str:
    distribution = point.dist
    return shown(distribution.name if distribution is not None else point.value, 40)
