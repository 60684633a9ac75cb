"""The command line, called in this process: quick, and with everything that `main` does."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from foretoll import cli


@dataclass(frozen=True)
class Called:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON value on the standard output."""
        return json.loads(self.out)


Call = Callable[..., Called]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Call `foretoll` with these words in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORETOLL_REGION", raising=False)
    monkeypatch.setenv("COLUMNS", "100")

    def run(command: str, **values: object) -> Called:
        words = [word.format(**values) for word in shlex.split(command)]
        monkeypatch.setattr("sys.argv", ["foretoll", *words])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        caught = capfd.readouterr()
        return Called(int(ended.value.code or 0), caught.out, caught.err)

    return run
