"""Nodes that do not see what this machine sees are named before anything is begun."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from foretoll.engine import Engine, InProcess, Result, Shared, check_nodes
from foretoll.engine.agreement import differences, fingerprint, look_here
from foretoll.errors import ForetollError


class Nodes(Engine):
    """Two nodes that are processes of this machine; the second sees another folder under the same path."""

    has_nodes = True

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self.folder, self.elsewhere = folder, elsewhere

    def _results(self, job: Any, tasks: Iterator[Any]) -> Generator[Result[Any, Any], None, None]:
        yield from InProcess()._results(job, tasks)

    def on_each_node(self, function: Callable[[Any], Any], task: Any) -> Iterator[tuple[str, Any]]:
        yield "one (10.0.0.1)", function(task)
        kept = self.folder.rename(self.folder.with_name("kept"))
        shutil.copytree(self.elsewhere, self.folder)
        try:
            yield "two (10.0.0.2)", function(task)
        finally:
            shutil.rmtree(self.folder)
            kept.rename(self.folder)


@pytest.fixture
def nodes(tmp_path: Path) -> Nodes:
    for name in ("study", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.npz").write_bytes(b"0123" * 1000)
    return Nodes(tmp_path / "study", tmp_path / "elsewhere")


def test_a_folder_that_only_looks_shared_is_named(nodes: Nodes) -> None:
    with pytest.raises(ForetollError, match=r"^node two \(10.0.0.2\): the folder .*study' is not there"):
        check_nodes(nodes, Shared((nodes.folder,)))
    assert [path.name for path in nodes.folder.iterdir()] == ["data.npz"], "the mark is taken away"


def test_files_are_told_by_their_content(nodes: Nodes) -> None:
    data = nodes.folder / "data.npz"
    check_nodes(nodes, Shared(files=(data,)))
    (nodes.elsewhere / "data.npz").write_bytes(b"0124" + b"0123" * 999)
    with pytest.raises(ForetollError, match=r"data.npz' has other content there: nothing was begun; mount"):
        check_nodes(nodes, Shared(files=(data,)))
    (nodes.elsewhere / "data.npz").unlink()
    with pytest.raises(ForetollError, match=r"data.npz' is not there"):
        check_nodes(nodes, Shared(files=(data,)))


def test_a_folder_of_data_is_told_by_names_and_sizes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12")
    before = fingerprint(tmp_path)
    (tmp_path / "a").write_bytes(b"123")
    assert fingerprint(tmp_path) != before and fingerprint(tmp_path / "nothing") == "absent"


def test_versions_are_compared() -> None:
    here = look_here({})
    assert {"Python", "torch", "foretoll"} <= here.versions.keys() and differences(here, look_here({})) == []
    other = type(here)("b", {**here.versions, "torch": "1.0"}, {})
    (said,) = differences(here, other)
    assert said == f"it has torch 1.0, this machine {here.versions['torch']}"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_cannot_be_written_to_is_named(nodes: Nodes) -> None:
    nodes.elsewhere = nodes.folder
    nodes.folder.chmod(0o555)
    with pytest.raises(ForetollError, match="cannot be written to"):
        check_nodes(nodes, Shared((nodes.folder,)))


def test_engines_of_one_machine_are_not_asked(tmp_path: Path) -> None:
    check_nodes(InProcess(), Shared((tmp_path / "nowhere",)))
