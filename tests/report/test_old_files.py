"""Files that earlier versions wrote are read, and what they say is shown; docs/formats.md promises it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foretoll.records import Comparison, Estimate, PresentedRecord, Run
from foretoll.report import document_of
from foretoll.report.html import page
from foretoll.report.jsonfile import json_text, read_comparison, read_estimate

OLD = sorted(Path(__file__).with_name("old").rglob("*.json"))
KINDS = {"estimate": Estimate, "run": Run, "comparison": Comparison}


def read(path: Path) -> PresentedRecord:
    """As the commands read it."""
    if path.stem == "estimate":
        return read_estimate(path)
    return read_comparison(path) if path.stem == "comparison" else Run.model_validate_json(path.read_text())


def holds(new: object, old: object, where: str = "") -> None:
    """That whatever stood in the old file stands in the new one, under the same name."""
    if isinstance(old, dict):
        assert isinstance(new, dict), where
        for name, value in old.items():
            assert name in new, f"{where}.{name} is gone"
            holds(new[name], value, f"{where}.{name}")
    elif isinstance(old, list):
        assert isinstance(new, list) and len(new) == len(old), where
        for i, (a, b) in enumerate(zip(new, old, strict=True)):
            holds(a, b, f"{where}[{i}]")
    else:
        assert new == old or (new == pytest.approx(old) if isinstance(old, float) else False), where


@pytest.mark.parametrize("path", OLD, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_an_old_file_is_read_and_nothing_of_it_is_lost(path: Path) -> None:
    record = read(path)
    holds(json.loads(json_text(record)), json.loads(path.read_text()))
    shown = page(document_of(**{path.stem: record}))  # type: ignore[arg-type]  # by its kind
    assert "<h1>" in shown


def test_a_file_of_each_kind_is_kept() -> None:
    assert {path.stem for path in OLD if path.parent.name == "0.1.0"} == set(KINDS)
    assert {path.stem for path in OLD if path.parent.name == "before"} == {"estimate", "run"}


def test_a_field_that_goes_away_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match=r"\.toll\.epochs is gone"):
        holds({"toll": {}}, {"toll": {"epochs": 1.0}})
