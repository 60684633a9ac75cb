"""Records show themselves: the same table on a terminal and in a notebook."""

from __future__ import annotations

from io import StringIO
from types import ModuleType

from rich.console import Console

import foretoll


def _shown(record: object) -> str:
    console = Console(file=StringIO(), width=110)
    console.print(record)
    return console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO


def test_an_estimate_and_a_run_print_as_tables(examples: ModuleType) -> None:
    assert foretoll.Estimate is not None  # the facade loads the report
    estimate = examples.estimate()
    assert "90 % interval" in _shown(estimate)
    assert "recoverability gap" in _shown(estimate)
    assert "epochs" in _shown(examples.run())


def test_a_notebook_gets_html_and_text(examples: ModuleType) -> None:
    bundle = examples.estimate()._repr_mimebundle_([], [])
    assert "90 % interval" in bundle["text/plain"]
    assert "<pre" in bundle["text/html"]
