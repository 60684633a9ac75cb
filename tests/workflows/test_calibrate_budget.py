"""What `--calibrate` may be given: every usual way to write a number of runs or a time; the rest says what is."""

from __future__ import annotations

import pytest

from foretoll.decide import Limit
from foretoll.decide.spending import Budget
from foretoll.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("1m", 60),
        ("1min", 60),
        ("2 minutes", 120),
        ("5MIN", 300),
        ("1h", 3600),
        ("0.5 hours", 1800),
    ],
)
def test_a_time_in_every_usual_unit(text: str, seconds: float) -> None:
    assert Budget.parse(text) == Budget(duration_s=seconds)


@pytest.mark.parametrize("text", ["6", "6runs", " 6 runs "])
def test_a_number_of_runs(text: str) -> None:
    assert Budget.parse(text) == Budget(runs=6)
    assert Budget.parse("1 run") == Budget(runs=1)


@pytest.mark.parametrize(
    "text", ["", "m", "0", "0m", "-1", "1.5runs", "1 month", "1d", "1e9", "nan", "9" * 400, "1\nm\x1b"]
)
def test_what_is_no_budget_says_what_is(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"--calibrate .* is no budget: say a number of runs \(6runs\) or a time"
    ) as told:
        Budget.parse(text)
    message = str(told.value)
    assert len(message) <= 300
    assert message.isprintable()


def test_a_budget_of_a_comparison_reads_minutes_alike() -> None:
    assert Limit.parse("20m") == Limit.parse("20min")
