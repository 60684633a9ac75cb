"""One recommendation out of all candidates: the cheapest that serves, with its reason and what would change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from foretoll.decide.price import kind_of_price, price, price_text, undominated
from foretoll.options.spelling import in_words
from foretoll.records import SHARES, Candidate, QualityScale, Recommendation
from foretoll.units import human_level, human_share

CONFIDENCE = 0.8  # probability of reaching the target below which a candidate is not relied on
LIKELIER_THAN_NOT = 0.5
WORTH_A_WORD = 0.2  # a cheaper candidate that reaches the target with less than this is no alternative
NEAR = 0.75  # of the target: a candidate that is expected to reach less is no alternative either
EQUAL = 1.05  # costs within this factor count as equal: the likelier one is taken


def recommend(
    candidates: Sequence[Candidate],
    *,
    until: float,
    confidence: float = CONFIDENCE,
    scale: QualityScale | None = None,
) -> Recommendation:
    """The cheapest candidate that keeps to the budget and reaches the target with probability `confidence`.

    Cheapest means least energy (with serving, where that was asked for), or least time where no energy is known; of
    prices within 5 % the likelier one, and where `keep` of a model serves, none of its other options.
    Where no candidate is as likely to reach the target, the likeliest one is taken if it is likelier than not;
    otherwise none. The decision looks at forecasts alone, also where runs are there.
    """
    return _Choice(candidates, until, confidence, scale or SHARES).recommendation()


@dataclass(frozen=True)
class _Choice:
    """The candidates by position, and what they are judged by."""

    candidates: Sequence[Candidate]
    until: float
    confidence: float
    scale: QualityScale = SHARES

    @cached_property
    def kind(self) -> str:
        return kind_of_price(self.candidates)

    @property
    def wanted(self) -> str:
        """The target as a text: 0.90, or 30,000 or less."""
        text = human_level(self.until)
        return text if self.scale.higher_is_better else f"{text} or less"

    def recommendation(self) -> Recommendation:
        affordable = [i for i in self.known() if not self.candidates[i].over_budget]
        serving = [i for i in affordable if self.reach(i) >= self.confidence]
        likeliest = max(affordable, key=lambda i: (self.reach(i), -self.price(i)), default=None)
        chosen: int | None
        if serving:
            chosen = self.cheapest(serving)
            reason = (
                f"{self.name(chosen)} is predicted to reach {self.wanted} with probability "
                f"{self.chance(chosen)} and is the cheapest of those with at least "
                f"{human_share(self.confidence)}: {self.cost(chosen)}"
            )
        elif likeliest is not None and self.reach(likeliest) > LIKELIER_THAN_NOT:
            chosen = likeliest
            reason = (
                f"{self.name(chosen)} is the likeliest to reach {self.wanted}, with probability "
                f"{self.chance(chosen)}, at {self.cost(chosen)}; nothing reaches it with "
                f"{human_share(self.confidence)}"
            )
        else:
            chosen, reason = None, self.why_nothing(likeliest)
        return Recommendation(
            candidate=chosen, reason=reason, would_change=self.changes(chosen), confidence=self.confidence
        )

    def known(self) -> list[int]:
        """Candidates that can be used, with a price and a chance to reach the target."""
        return [
            i
            for i, candidate in enumerate(self.candidates)
            if not candidate.why_not
            and candidate.reach_probability is not None
            and price(candidate, self.kind) is not None
        ]

    def cheapest(self, serving: Sequence[int]) -> int:
        left = undominated(self.candidates, serving)
        least = min(self.price(i) for i in left)
        equal = [i for i in left if self.price(i) <= EQUAL * least]
        return max(equal, key=lambda i: (self.reach(i), -self.price(i)))

    def why_nothing(self, likeliest: int | None) -> str:
        if likeliest is not None:
            return (
                f"no candidate is likely to reach {self.wanted}; the likeliest, {self.name(likeliest)}, does so "
                f"with probability {self.chance(likeliest)}"
            )
        if any(candidate.over_budget for candidate in self.candidates):
            return "no candidate keeps to the budget"
        if all(candidate.why_not for candidate in self.candidates):
            return "none of these options can be used here: name others with --option"
        return "no candidate's cost and chance are known: add runs with foretoll retrain, or with --measure"

    def changes(self, chosen: int | None) -> tuple[str, ...]:
        """Up to three sentences: a cheaper one that is too unsure, a lower target, a larger budget."""
        said = []
        limit = self.price(chosen) if chosen is not None else float("inf")
        others = [i for i in self.known() if i != chosen]
        cheaper = [i for i in others if self.price(i) < limit / EQUAL and not self.candidates[i].over_budget]
        unsure = [i for i in cheaper if WORTH_A_WORD <= self.reach(i) < self.confidence]
        if unsure:
            best = max(unsure, key=self.reach)
            said.append(
                f"{self.name(best)} would cost {self.cost(best)}, but reaches the target with a probability of only "
                f"{self.chance(best)}"
            )
        short = {
            i: quality for i in cheaper if i not in unsure and self.falls_short(quality := self.quality(i))
        }
        if short:
            best = max(short, key=lambda i: self.scale.progress(short[i]))
            way = "below" if self.scale.higher_is_better else "above"
            said.append(
                f"for a target {way} {short[best]:.2f}, the quality that it is expected to reach, {self.name(best)} "
                f"would be enough, at {self.cost(best)}"
            )
        shut_out = [i for i in others if self.candidates[i].over_budget and self.reach(i) >= self.confidence]
        if shut_out and (chosen is None or self.reach(chosen) < self.confidence):
            best = self.cheapest(shut_out)
            said.append(f"with a larger budget, {self.name(best)}: {self.candidates[best].over_budget}")
        return tuple(said)

    def falls_short(self, quality: float) -> bool:
        """Whether a quality is near the target and worse than it."""
        aim = self.scale.progress(self.until)
        return NEAR * aim <= self.scale.progress(quality) < aim

    def name(self, i: int) -> str:
        """The option, and the model where there are several."""
        candidate = self.candidates[i]
        several = len({c.model for c in self.candidates}) > 1
        option = in_words(candidate.option)
        return f"{option} of {candidate.model}" if several else option

    def cost(self, i: int) -> str:
        return price_text(price(self.candidates[i], self.kind), self.kind)

    def price(self, i: int) -> float:
        value = price(self.candidates[i], self.kind)
        return float("inf") if value is None else value

    def reach(self, i: int) -> float:
        return self.candidates[i].reach_probability or 0.0

    def chance(self, i: int) -> str:
        """The probability in words, distinct from the one that is asked for."""
        return human_share(self.reach(i), apart_from=self.confidence)

    def quality(self, i: int) -> float:
        expected = self.candidates[i].quality
        return float("inf") if expected is None or expected.median is None else expected.median
