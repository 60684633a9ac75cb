"""Policies that need no labels: drift of the outputs, and the model's own confidence.

Drift is a poor trigger (docs/life.md): a batch may move far and be served as well as ever, or not move and be served
badly. They stand here because people use them, and so that a table shows how they do.
"""

from __future__ import annotations

from foretoll.decide.policies.base import Choice, Policy, Verdict, View


class Ks(Policy):
    """Update when the largest two-sample Kolmogorov-Smirnov statistic of the outputs exceeds a level."""

    name = "ks"
    title = "update when a Kolmogorov-Smirnov test of the outputs finds drift"
    needs = ("drift",)

    def __init__(self, level: float = 0.2) -> None:
        self.level = level

    def _due(self, view: View, choice: Choice) -> Verdict:
        return _above(view.since[-1].ks, self.level, "Kolmogorov-Smirnov statistic")

    def __str__(self) -> str:
        return f"{self.name}:{self.level:g}"


class Psi(Policy):
    """Update when the population stability index of the outputs exceeds a level; 0.2 is the usual rule of thumb."""

    name = "psi"
    title = "update when the population stability index of the outputs finds drift"
    needs = ("drift",)

    def __init__(self, level: float = 0.2) -> None:
        self.level = level

    def _due(self, view: View, choice: Choice) -> Verdict:
        return _above(view.since[-1].psi, self.level, "population stability index")

    def __str__(self) -> str:
        return f"{self.name}:{self.level:g}"


class Confidence(Policy):
    """Update when the mean confidence has fallen by so much under that of the first batch since the last update."""

    name = "confidence"
    title = "update when the model's mean confidence has fallen"
    needs = ("confidence",)

    def __init__(self, drop: float = 0.05) -> None:
        self.drop = drop

    def _due(self, view: View, choice: Choice) -> Verdict:
        first, last = view.since[0].confidence, view.since[-1].confidence
        if first is None or last is None:
            return Verdict(False, "the confidence of the model is not known")
        fell = first - last
        if fell >= self.drop:
            return Verdict(True, f"the mean confidence has fallen by {fell:.3g}", "", {"drop": fell})
        return Verdict(
            False,
            f"the mean confidence has fallen by {max(fell, 0.0):.3g}, less than {self.drop:g}",
            "",
            {"drop": fell},
        )

    def __str__(self) -> str:
        return f"{self.name}:{self.drop:g}"


def _above(value: float | None, level: float, what: str) -> Verdict:
    if value is None:
        return Verdict(False, f"the {what} is not known")
    if value > level:
        return Verdict(True, f"the {what} is {value:.3g}, above {level:g}", "", {"drift": value})
    return Verdict(False, f"the {what} is {value:.3g}, at most {level:g}", "", {"drift": value})
