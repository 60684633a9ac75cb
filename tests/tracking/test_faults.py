"""A fault at every call out of a training leaves it as it is, and the page of such faults is that of the code."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch

from foretoll.records import Outcome
from integrations.trainings import TRAININGS

from . import faults
from .faults import FAULTS, PAGE, RETRAINING, TRACKING, Case, Seen

KINDS = {
    "track": (faults.tracked, faults.points(TRACKING), 50),
    "retrain": (faults.retrained, faults.retraining_points(), 25),
}


def check_law(case: Case, found: Seen, fault: str) -> None:
    """The same weights, bit for bit, the same random states, and a line; what is recorded was ended."""
    what = f"{fault} in {case.point}"
    assert len(found.weights) == len(case.whole.weights) and all(
        map(torch.equal, found.weights, case.whole.weights)
    ), what
    assert found.states == case.whole.states, what
    assert 1 <= len(found.said) <= 3 and all(
        len(line) <= 300 for line in found.said if "ledger import" not in line
    ), (
        what,
        found.said,
    )
    assert not found.runs or {run.outcome for run in found.runs} != {Outcome.RUNNING}, what


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_at_every_call_changes_nothing_and_is_one_line(kind: str) -> None:
    training, places, least = KINDS[kind]
    cases = faults.cases(training, places)
    assert len(cases) >= least, "the calls are read off the code"
    others = [name for name in FAULTS if name != "bug"]
    page = PAGE.read_text(encoding="utf-8")
    for number, case in enumerate(cases):
        found = faults.with_fault(case.training, case.point, "bug")
        check_law(case, found, "bug")
        assert faults.row(case, found) in page.splitlines(), (
            "python -m tests.tracking.faults writes the page anew"
        )
        if number % 5 == 0:
            fault = others[number // 5 % len(others)]
            check_law(case, faults.with_fault(case.training, case.point, fault), fault)
    table = page.split("\n## ")[1 + list(KINDS).index(kind)]
    assert table.count("\n| `") == len(cases), "no row of a call that is no more"


@pytest.mark.parametrize("library", TRAININGS)
def test_a_fault_within_a_callback_changes_nothing(library: str) -> None:
    pytest.importorskip(TRAININGS[library][0])
    number = list(TRAININGS).index(library)
    own = faults.callback_points(library)
    cases = faults.callback_cases(library, own + faults.points(TRACKING))
    table = PAGE.read_text(encoding="utf-8").split("\n## ")[3].splitlines()
    mine = [case for case in cases if case.point in own]
    assert len(mine) >= 2 and len(cases) >= 40, "the calls are read off the code"
    for case in mine:
        found = faults.with_fault(case.training, case.point, "bug")
        check_law(case, found, "bug")
        assert f"| {library} {faults.row(case, found)}" in table, (
            "python -m tests.tracking.faults writes the page anew"
        )
    assert sum(line.startswith(f"| {library} |") for line in table) == len(mine)
    theirs = [case for case in cases if case.point not in own][number :: 5 * len(TRAININGS)]
    for case, fault in zip(theirs, itertools.cycle(FAULTS)):
        check_law(case, faults.with_fault(case.training, case.point, fault), fault)


def test_a_new_call_is_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import foretoll.tracking.run

    def brand_new() -> None: ...

    brand_new.__module__ = "foretoll.tracking.elsewhere"
    monkeypatch.setattr(foretoll.tracking.run, "brand_new", brand_new, raising=False)
    assert "brand_new" in map(str, faults.points(TRACKING))
    assert "brand_new" not in map(str, faults.points(RETRAINING))


@pytest.mark.parametrize("training", [faults.tracked, faults.retrained], ids=["track", "retrain"])
def test_strict_makes_faults_errors(
    training: Callable[[], list[torch.Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETOLL_STRICT", "1")
    (begin,) = (point for point in faults.points(TRACKING) if str(point) == "Ledger.begin")
    with pytest.raises(KeyError, match="surprise"):
        faults.with_fault(training, begin, "bug")
