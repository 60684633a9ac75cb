"""The examples of the documentation run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reprogramming.md"


def test_the_examples_of_the_page_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)  # our own page
    assert float(names["after"]) > float(names["before"]) + 0.05  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert re.search(r"accuracy 0\.\d\d before, 0\.\d\d after", said)
    assert names["result"].queries <= 50_000 and "samples sent" in said  # type: ignore[attr-defined]
