"""The house rules: imports go one way, the public names are known, the start is light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import foretoll
from foretoll.options.table import OPTIONS

PACKAGE = Path(foretoll.__file__).parent
# A room imports only from rooms before it. The facade (foretoll/__init__.py) may name all of them.
ROOMS = (
    "version", "errors", "registry", "streams", "printing", "arguments", "interruption", "process", "atomic",
    "units", "smaller_batches", "random_states", "tasks", "records", "sharing", "owned", "reprogram", "data", "models",
    "quality", "representation", "indices", "measure", "training", "options", "exchange", "forecast", "ledger",
    "decide", "testing", "engine", "workflows", "study", "report", "research", "progress", "tracking", "integrations",
    "demo", "commands", "cli",
)  # fmt: skip


@cache
def _nodes(path: Path) -> tuple[ast.AST, ...]:
    """All nodes of a file's code, parsed once for all the rules."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def _rooms_imported(path: Path) -> set[str]:
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "foretoll":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("foretoll.")}
    return found


def _files() -> list[Path]:
    return [p for p in sorted(PACKAGE.rglob("*.py")) if p != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", _files(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert room in ROOMS, f"{room} has no place in the house: add it to ROOMS where it belongs"
    above = set(ROOMS[: ROOMS.index(room) + 1])
    assert _rooms_imported(path) <= above


def _modules_of_room(room: str) -> dict[str, Path]:
    """The modules of a room by name; the front of a (sub)package by the name of its folder."""
    return {
        ".".join(("foretoll", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in sorted((PACKAGE / room).rglob("*.py"))
    }


def _imported_modules(path: Path, modules: set[str]) -> set[str]:
    """Which of these modules a file imports, be it in a function or for its types alone."""
    found = set()
    for node in _nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & modules


@pytest.mark.parametrize("room", [room for room in ROOMS if (PACKAGE / room).is_dir()])
def test_no_room_has_an_import_cycle(room: str) -> None:
    modules = _modules_of_room(room)
    left = {name: _imported_modules(path, set(modules)) for name, path in modules.items()}
    while free := [name for name, needs in left.items() if not needs & set(left)]:
        left = {name: needs for name, needs in left.items() if name not in free}
    assert not left, f"these modules import each other in a ring: {sorted(left)}"


def test_the_everyday_product_does_not_import_the_research_wing() -> None:
    importing = {str(p.relative_to(PACKAGE)) for p in _files() if "research" in _rooms_imported(p)}
    outside = {path for path in importing if not path.startswith("research/")}
    assert outside == {"commands/study_tables.py", "commands/study_scores.py"}


def test_no_torch_in_the_forecast() -> None:
    code = "import sys, foretoll.forecast; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_start_is_light() -> None:
    heavy = {"torch", "sklearn", "sqlalchemy", "codecarbon", "pandas", "jinja2"}
    modules = "foretoll, foretoll.cli, foretoll.options.table"
    code = f"import sys, {modules}; sys.exit(sorted({heavy!r} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MANY = 8
WITH_MANY = 22  # never more: what is given once is held by a Session, what belongs together is one value


def test_functions_with_many_parameters_become_no_more() -> None:
    found = []
    for path in _files():
        for node in _nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
                if sum(argument.arg not in ("self", "cls") for argument in given) >= MANY:
                    found.append(f"{path.relative_to(PACKAGE)}: {node.name}")
    assert len(found) <= WITH_MANY, found


def _words(path: Path) -> set[str]:
    nodes = _nodes(path)
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)}


def test_nothing_outside_its_room_knows_the_name_of_an_option() -> None:
    words_too = {"keep", "head"}  # also what a policy does, and the part of a network
    names = set(OPTIONS.built_in) - words_too
    others = [path for path in _files() if "options" not in path.relative_to(PACKAGE).parts]
    knowing = {str(path.relative_to(PACKAGE)): names & _words(path) for path in others}
    assert {path: found for path, found in knowing.items() if found} == {}


def test_public_names_are_sorted_and_there() -> None:
    assert foretoll.__all__ == sorted(foretoll.__all__)
    for name in foretoll.__all__:
        assert getattr(foretoll, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = foretoll.nothing


def _distribution(name: str) -> str:
    """The distribution that an imported package comes from."""
    return {"PIL": "pillow", "pynvml": "nvidia-ml-py", "sklearn": "scikit-learn"}.get(name, name)


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())["project"]
    extras = {name: needs for name, needs in project["optional-dependencies"].items() if name != "dev"}
    declared = {
        re.split(r"[\[<>=]", need)[0]
        for needs in (project["dependencies"], *extras.values())
        for need in needs
    }
    imported = set()
    for path in _files():
        for node in _nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                imported.add(node.module.split(".")[0])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
    found = {_distribution(name) for name in imported - set(sys.stdlib_module_names) - {"foretoll"}}
    by_url = {"psycopg"}  # SQLAlchemy's driver, named in the ledger's URL
    by_name = {
        "lightning",
        "mlflow",
        "wandb",
        "tensorboard",
    }  # imported where an integration is asked for
    assert found == declared - by_url - by_name


def test_no_metric_library_is_loaded_for_the_indices() -> None:
    code = (
        "import sys, foretoll.indices.survey, foretoll.quality, foretoll.indices.resque, foretoll.indices.arm;"
        "sys.exit(sorted({'torchmetrics', 'transformers', 'torchvision', 'torch._dynamo'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
