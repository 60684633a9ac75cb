"""The pilots of several candidates share what may be spent, by successive halving.

In each round every candidate's pilot goes on to its next look, the cheapest first. Then, of the dearer half, those are
dropped that are clearly dearer: their interval does not reach down to the median of the cheapest, which has to be
likelier than not to reach the target. The others go on from where they rest. After Jamieson and Talwalkar (2016),
"Non-stochastic best arm identification and hyperparameter optimization", with three deviations: 1. a round is one look
for each, not a budget; 2. a half is dropped only as far as its intervals allow; 3. the sum is bounded by a share of
what the cheapest candidate is forecast to take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foretoll.decide.choose import LIKELIER_THAN_NOT
from foretoll.decide.halving import clearly_dearer
from foretoll.options.part import TrainingState
from foretoll.workflows.anytime import GrowingPilot, Grown

DEAR = "the next look at it would bring all pilots above {share:g}% of what the cheapest candidate is forecast to take"
DROPPED = "clearly dearer than {best}"
ALONE = "no other candidate was left"


class Contender:
    """A candidate in the rounds: what it is called, its pilot, and what went wrong with it."""

    def __init__(self, name: str, pilot: GrowingPilot) -> None:
        self.name, self.pilot = name, pilot
        self.stages = pilot.begin(by_looks=True)
        self.warning: str | None = None

    @property
    def told(self) -> Grown:
        """What its pilot has shown."""
        if self.stages is None:
            return self.pilot.unbegun()
        return self.pilot.told(self.stages, self.warning)

    @property
    def state(self) -> TrainingState | None:
        """Where its run can go on from; None: from its beginning."""
        return None if self.stages is None else self.stages.state


def share_out(
    contenders: Sequence[Contender],
    share: float,
    *,
    cheapest: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Let the pilots go on until the share is spent, or one alone is left; each then tells what it saw.

    `share`: of what the cheapest candidate that is likelier than not to reach the target is forecast to take (in kWh,
    or in s where no energy is known). `cheapest`: that of the candidates that have no pilot; None: there is none.
    """
    every = [(one, one.stages) for one in contenders if one.stages is not None]
    left, rounds = every, 0
    while len(left) > 1 and any(not stages.ended for _, stages in left):
        rounds += 1
        for one, stages in sorted(left, key=lambda row: row[1].median):
            if stages.ended:
                continue
            likely = [s.median for _, s in every if (s.made.reach_probability or 0.0) > LIKELIER_THAN_NOT]
            known = [*likely, *([] if cheapest is None else [cheapest])]
            whole = min(known) if known else min(s.median for _, s in every)
            if sum(s.spent for _, s in every) + stages.price > share * whole:
                stages.ended = DEAR.format(share=100 * share)
                continue
            say(f"round {rounds}: go on with the pilot of {one.name}")
            stages.go_on()
            one.warning = one.pilot.train(stages)
        best, stages_of_best = min(left, key=lambda row: row[1].median)
        likely_best = (stages_of_best.made.reach_probability or 0.0) > LIKELIER_THAN_NOT
        dropped = clearly_dearer([stages.cost_interval for _, stages in left]) if likely_best else []
        for position in dropped:
            left[position][1].ended = left[position][1].ended or DROPPED.format(best=best.name)
        left = [row for position, row in enumerate(left) if position not in dropped]
    for _, stages in left:
        stages.ended = stages.ended or ALONE
