"""The words of a life's metric: qualities, their differences, and what is counted."""

from __future__ import annotations

from foretoll.records import ServedMetric
from foretoll.report.words import quality_text


def value_text(served: ServedMetric, value: float) -> str:
    """A quality that was served."""
    return f"{value:.3f}" if served.metric.share else quality_text(served.metric.name, value)


def difference_unit(served: ServedMetric) -> str:
    """In what differences are: points of a share, else the metric's own unit."""
    return "points" if served.metric.share else served.metric.title


def difference(served: ServedMetric, value: float) -> float:
    """A lead, or another difference, in that."""
    return 100 * value if served.metric.share else value


def difference_text(served: ServedMetric, value: float, error: float | None = None) -> str:
    """The same with its sign, and its standard error where there is one."""
    if served.metric.share:
        return f"{100 * value:+.1f}" + ("" if error is None else f" ± {100 * error:.1f}")
    return f"{value:+.3g}" + ("" if error is None else f" ± {error:.2g}")


def quality_title(served: ServedMetric) -> str:
    """The head of a column of qualities."""
    return "quality" if served.metric.share else served.metric.title


def floor_title(served: ServedMetric) -> str:
    """What the floor of a life is."""
    return "Least quality" if served.scale.higher_is_better else f"Largest {served.metric.title}"


def worth_title(served: ServedMetric) -> str:
    """What the worth of a life is of."""
    return (
        "Worth of a right answer" if served.metric.share else f"Worth of 1 {served.metric.title} on a sample"
    )


def points_are(served: ServedMetric) -> str:
    """What a point of a replay is."""
    if served.metric.share:
        return "shares of answers × 100 a batch"
    trivial, best = (value_text(served, value) for value in (served.scale.trivial, served.scale.best))
    return f"hundredths of the way from {served.metric.title} {trivial} (always the same answer) to {best}"
