"""The line on what an update is worth: in words, on every medium, and within 80 columns."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from foretoll.records import Estimate, Interval, Payback, TrainingSettings
from foretoll.report import document_of, estimate_table
from foretoll.report.html import page
from foretoll.report.payback import number_text, payback_line
from foretoll.report.terminal import as_text

GAIN = Interval(median=0.05, low=-0.01, high=0.12)
SOME = Payback(
    worth="0.2 J", cost="energy_kwh", amount=0.2 / 3.6e6, before=0.87, gain=GAIN,
    answers=Interval(median=1234.2, low=401.0, high=None),
)  # fmt: skip


Say = Callable[..., tuple[str, ...]]


@pytest.fixture
def said(examples: ModuleType) -> Say:
    """The sentences of an estimate with this payback."""
    return lambda payback, **changes: payback_line(examples.estimate(payback=payback, **changes)).sentences


def with_answers(
    low: float | None, median: float | None, high: float | None, gain: Interval = GAIN
) -> Payback:
    return SOME.model_copy(update={"answers": Interval(median=median, low=low, high=high), "gain": gain})


def test_what_is_said(said: Say) -> None:
    at = ", at 0.2 J for one more right answer"
    assert said(SOME) == (f"after some 1,200 answers served (400 … never){at}",)
    sure = with_answers(0.2, 0.9, 3.0)
    assert said(sure) == (f"after some 1 answer served (1 … 3){at}",)
    unlikely = with_answers(400.0, None, None)
    assert said(unlikely) == (
        f"probably never: no better than the accuracy 0.87 before the update is expected (400 … never){at}",
    )
    assert said(with_answers(None, None, None)) == (
        f"never: no better than the accuracy 0.87 before the update is expected{at}",
    )
    won = Interval(median=0.1, low=0.1, high=0.1)
    assert said(with_answers(5.0, 9.0, None, won)) == (f"after some 9 answers served (5 … no upper end){at}",)
    why = Payback(worth="5 g", cost="emissions_kg", amount=0.005, why_not="its emissions are not known")
    assert said(why) == ("cannot be said: its emissions are not known",)
    assert said(None) == ()


@pytest.mark.parametrize(
    ("answers", "text"),
    [(0.0, "0"), (0.3, "1"), (1.0, "1"), (996.2, "1,000"), (1.26e6, "1,300,000"), (3e14, "3.0e+14")],
)  # fmt: skip
def test_two_digits_of_whole_answers(answers: float, text: str) -> None:
    assert number_text(answers) == text


def test_of_an_error_the_unit_is_said(said: Say, examples: ModuleType) -> None:
    settings = TrainingSettings(until=12.0, metric="rmse")
    card = examples.model_card().model_copy(update={"task": "regression"})
    assert said(SOME, settings=settings, model=card)[0].endswith("at 0.2 J for an answer with 1 RMSE less")


def test_every_medium_says_it_and_80_columns_hold_it(examples: ModuleType) -> None:
    estimate = examples.estimate(payback=SOME)
    shown = as_text(estimate_table(estimate), width=80)
    assert max(map(len, shown.splitlines())) <= 80
    assert "Worth it" in shown and "after some 1,200 answers served (400 … never)" in shown
    text = page(document_of(estimate=estimate)).replace("\N{NO-BREAK SPACE}", " ")
    assert "Worth it" in text and "1,200 answers served" in text
    assert "Worth it" not in as_text(estimate_table(examples.estimate()), width=80)


def test_it_is_kept_and_an_estimate_without_it_is_read(examples: ModuleType) -> None:
    estimate = examples.estimate(payback=SOME)
    assert Estimate.model_validate_json(estimate.model_dump_json(by_alias=True)) == estimate
    old = estimate.model_dump(mode="json", by_alias=True)
    del old["payback"]
    assert Estimate.model_validate(old).payback is None
