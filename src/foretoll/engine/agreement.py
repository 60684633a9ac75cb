"""Before anything is spent: whether the nodes of a cluster see what this machine sees, in the same versions.

One task a node looks at what is asked for: that takes no longer than reading two megabytes of each file, and the names
in each folder. Storage that only looks shared (a folder of the same path on each node) is found out by a mark that this
machine has just written there.
"""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path

from foretoll.engine.base import Engine
from foretoll.errors import ForetollError, shown
from foretoll.version import __version__

Look = Callable[[], str]
LONGEST = 260  # characters of what is said of the nodes
_PACKAGES = ("torch", "numpy")
_END = 1_000_000  # bytes at each end of a file
_MOST_ENTRIES = 10_000
_ABSENT, _CLOSED = "absent", "read-only"


@dataclass(frozen=True)
class NodeFacts:
    """What a node has. versions: by the package's name; seen: a digest of what was asked for, by its name."""

    node: str
    versions: Mapping[str, str]
    seen: Mapping[str, str]


@dataclass(frozen=True)
class Shared:
    """What all nodes must see alike. folders: that are written to; files: what is read, a file or a folder."""

    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()

    @contextmanager
    def marked(self) -> Iterator[Mapping[str, Look]]:
        """What a node is to look at; for as long as the block runs the folders hold a mark."""
        with ExitStack() as stack:
            looks: dict[str, Look] = {}
            for folder in self.folders:
                mark = folder / f".foretoll-{secrets.token_hex(8)}"
                mark.touch()
                stack.callback(mark.unlink, missing_ok=True)
                looks[f"the folder {shown(folder, 80)}"] = partial(_look_for, mark)
            for file in self.files:
                looks[shown(file, 80)] = partial(fingerprint, file)
            yield looks


def check_nodes(engine: Engine, shared: Shared) -> None:
    """Have every node of an engine look, and refuse those that do not agree with this machine.

    Raises:
        ForetollError: a node has other versions, or does not see the same; the sentence names it, and the way out.

    """
    if not engine.has_nodes:
        return
    with shared.marked() as looks:
        here = look_here(looks)
        said = []
        for node, facts in engine.on_each_node(look_here, looks):
            wrong = facts if isinstance(facts, str) else "; ".join(differences(here, facts))
            if wrong:
                said.append(f"node {node}: {wrong}")
    if said:
        first = said[0] if len(said[0]) <= LONGEST else said[0][: LONGEST - 1] + "…"
        others = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise ForetollError(
            f"{first}{others}: nothing was begun; mount the same folders and install the same versions on all nodes"
        )


def look_here(looks: Mapping[str, Look]) -> NodeFacts:
    """What this process has; a worker calls it too."""
    versions = {"Python": platform.python_version(), "foretoll": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = _ABSENT
    return NodeFacts(socket.gethostname(), versions, {name: look() for name, look in looks.items()})


def differences(here: NodeFacts, there: NodeFacts) -> list[str]:
    """Part sentences on what another node has otherwise."""
    found = [
        f"it has {name} {there.versions.get(name, _ABSENT)}, this machine {value}"
        for name, value in here.versions.items()
        if there.versions.get(name) != value
    ]
    for name, value in here.seen.items():
        other = there.seen.get(name, _ABSENT)
        if other != value:
            why = {
                _ABSENT: "is not there, or is another one of that name",
                _CLOSED: "cannot be written to",
            }.get(other, "has other content there")
            found.append(f"{name} {why}")
    return found


def fingerprint(path: Path) -> str:
    """A digest of a file's size and its two ends, or of the names and sizes in a folder; `absent` without either."""
    try:
        if path.is_dir():
            entries = islice(sorted(path.rglob("*")), _MOST_ENTRIES)
            text = "\n".join(
                f"{e.relative_to(path)} {e.stat().st_size if e.is_file() else ''}" for e in entries
            )
            return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
        size = path.stat().st_size
        with path.open("rb") as file:
            ends = file.read(_END)
            file.seek(max(size - _END, 0))
            ends += file.read(_END)
        return hashlib.sha256(size.to_bytes(8, "big") + ends).hexdigest()
    except OSError:
        return _ABSENT


def _look_for(mark: Path) -> str:
    if not mark.exists():
        return _ABSENT
    return "shared" if os.access(mark.parent, os.W_OK) else _CLOSED
