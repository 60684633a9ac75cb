"""Whether an update is worth it, in one sentence: after how many served answers it has paid for itself."""

from __future__ import annotations

import math

from foretoll.records import Estimate, Payback
from foretoll.report.document import Line
from foretoll.report.words import metric_name, quality_text
from foretoll.tasks import known_metric

TITLE = "Worth it"
MOST_WRITTEN = 1e12  # from here on as a power of ten


def payback_line(estimate: Estimate) -> Line:
    """The line of the answer; without a sentence where nobody said what an answer is worth."""
    found = estimate.payback
    if found is None:
        return Line(TITLE, ())
    if found.answers is None or found.gain is None:
        return Line(TITLE, (f"cannot be said: {found.why_not}",))
    metric = known_metric(estimate.settings.metric, estimate.model.task)
    one = "one more right answer"
    if metric is not None and not metric.share:
        one = f"an answer with 1 {metric.title} less"
    return Line(TITLE, (f"{_after(found, estimate.settings.metric)}, at {found.worth} for {one}",))


def _after(found: Payback, metric: str) -> str:
    answers = found.answers
    assert answers is not None  # noqa: S101  (asked before)
    fewest, median, most = (answers.low, answers.median, answers.high)
    if median is not None:
        unending = "never" if found.gain is None or (found.gain.low or 0.0) <= 0 else "no upper end"
        ends = f"{number_text(fewest or 0.0)} … {unending if most is None else number_text(most)}"
        return f"after some {number_text(median)} answer{'' if median <= 1 else 's'} served ({ends})"
    before = f"{metric_name(metric)} {quality_text(metric, found.before, digits=2)}"
    if fewest is None:
        return f"never: no better than the {before} before the update is expected"
    return (
        f"probably never: no better than the {before} before the update is expected "
        f"({number_text(fewest)} … never)"
    )


def number_text(answers: float) -> str:
    """A number of answers with two digits, a part of one as a whole one."""
    if answers >= MOST_WRITTEN:
        return f"{answers:.1e}"
    return f"{float(f'{math.ceil(answers):.2g}'):,.0f}"
