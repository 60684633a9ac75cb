"""The wheel: everything of the package is in it, and nothing else; `make wheel-check` installs and runs it."""

from __future__ import annotations

import importlib.util
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("foretoll_wheel_check", ROOT / "release" / "wheel.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "release"))
        spec.loader.exec_module(module)
        yield module


def test_the_wheel_is_whole(script: ModuleType, tmp_path: Path) -> None:
    try:
        wheel = script.build(tmp_path, offline=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the wheel cannot be built without a network: hatchling is not in uv's cache")
    assert script.faults(wheel) == []
    assert not script.stale(wheel), "CONTRIBUTING.md is out of date: run python release/wheel.py --contents"
    bad = tmp_path / "bad.whl"
    with zipfile.ZipFile(wheel) as whole, zipfile.ZipFile(bad, "w") as other:
        for name in whole.namelist():
            if name not in ("foretoll/py.typed", "foretoll/forecast/lead.json"):
                other.writestr(name, whole.read(name))
        other.writestr("tests/conftest.py", "")
    found = script.faults(bad)
    assert "tests/conftest.py does not belong there" in found
    assert "foretoll/forecast/lead.json is missing" in found
    assert any(text.startswith("there is no py.typed") for text in found)
