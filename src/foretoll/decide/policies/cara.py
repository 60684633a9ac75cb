"""CARA, cumulative: update when the loss that piled up since the last update exceeds a multiple of its cost."""

from __future__ import annotations

from foretoll.decide.policies.base import Choice, Policy, Verdict, View

# Mahadevan and Mathioudakis, "Cost-aware retraining for machine learning", Knowledge-Based Systems 293 (2024),
# arXiv 2310.04216, the variant with a cumulative threshold. How this one differs:
# 1. The staleness cost of a batch is the served model's loss on its labelled samples; the paper weighs samples by
#    their likeness to the queries, and here the batch *is* what was asked.
# 2. The threshold is a multiple of the update's forecast cost; the paper tunes it on a first part of the stream, which
#    is what a table does that sets `cara:x` from other lives.


class Cara(Policy):
    """Update when (wrong answers since the last update) × worth ≥ threshold × cost of the update."""

    name = "cara"
    title = "CARA with a cumulative threshold (Mahadevan and Mathioudakis 2024)"
    needs = ("labels",)

    def __init__(self, threshold: float = 1.0) -> None:
        self.threshold = threshold

    def _due(self, view: View, choice: Choice) -> Verdict:
        if view.worth is None:
            return Verdict(False, "CARA weighs a worth against a cost: give a worth in place of a floor")
        served = view.served
        wrong = sum(served.loss(b.quality) * b.labelled for b in view.labelled if b.quality is not None)
        lost = f"{wrong:.0f} wrong answers" if served.metric.share else f"errors of {served.amount(wrong)}"
        loss, cost = wrong * view.worth, choice.offer.cost
        figures: dict[str, float | None] = {"staleness": loss}
        if wrong > 0 and loss >= self.threshold * cost:
            return Verdict(True, f"{lost} since the last update outweigh its cost", "", figures)
        return Verdict(False, f"{lost} since the last update do not outweigh its cost", "", figures)

    def __str__(self) -> str:
        return f"{self.name}:{self.threshold:g}"
