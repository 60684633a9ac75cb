"""What a forecast rests on, in words: on runs, on too few of them, or on what was seen here."""

from __future__ import annotations

from pathlib import Path

from examples import estimate, nothing_known

import foretoll
from foretoll import Accounting, TrainingSettings
from foretoll.records import Coverage, Estimate
from foretoll.report.reasons import rests_on


def test_a_forecast_from_runs_says_how_often_its_intervals_held() -> None:
    first, second = rests_on(estimate()).sentences
    assert "runs" in first and second.startswith("such 90 % intervals held for 91 % of 412 runs")


def test_too_few_runs_are_counted() -> None:
    few = estimate(coverage=Coverage(level=0.9, empirical=None, runs=7, method="too few runs"))
    assert rests_on(few).sentences[1] == "too few runs (7) to check how often such 90 % intervals hold"
    assert rests_on(nothing_known()).sentences[0] == "no run"


def test_what_was_seen_does_not_speak_of_runs(tmp_path: Path) -> None:
    """A target that the model meets already, and an option that takes no step."""
    said = []
    for option, until in (("finetune", 0.05), ("keep", 0.95)):
        found: Estimate = foretoll.estimate(
            "foretoll:mlp?width=4",
            "digits?limit=200",
            "digits?limit=200&shift=contrast:0.5",
            option=option,
            until=until,
            samples=60,
            settings=TrainingSettings(max_epochs=0.5),
            accounting=Accounting(energy="none", region="DE"),
            device="cpu",
        )
        said.append(rests_on(found).sentences)
    assert said[0] == (
        "what was seen here, not on past runs: the first evaluation already meets the target, which ends the run",
    )
    assert said[1] == (
        "what was seen here, not on past runs: one pass over the data; the interval is that of the sample",
    )
