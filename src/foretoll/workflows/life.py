"""The life of a model: whether an update is due, and making it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy.typing as npt

from foretoll.decide.looking import estimate_too_dear
from foretoll.decide.offers import bounded_offers, known_offers, rough_offers, settled_offers
from foretoll.decide.policies import Policy, get_policy
from foretoll.random_states import keeps_random_states
from foretoll.records import Decision, LifeEvent, Offer, Toll
from foretoll.workflows.context import Data
from foretoll.workflows.life_update import carry_out_update, check_code, estimate_offers, recover
from foretoll.workflows.life_watch import WatchedModel, aware

if TYPE_CHECKING:
    from foretoll.records import Run


ROUGH = "no estimate was made: by what looks took, an update costs less than one"
TOLD = "no estimate was made: it would take more than watching may, and earlier updates say what one takes"
SETTLED = "no estimate was made: whatever an update costs, up to what looks say, the decision is the same"
FOR_NOW = (SETTLED, TOLD)  # of offers that serve one decision


class Life(WatchedModel):
    """The life of a deployed model: `watch` what it serves, `label` it as labels come, `carry_out` what is decided.

    Made by `Life.start` and `Life.open`. All that a decision needs is read from the ledger's database and the life's
    folder each time: a process that was killed loses nothing, and two of them see the same.
    """

    def watch(
        self,
        batch: Data,
        *,
        at: datetime | None = None,
        representations: npt.ArrayLike | None = None,
        outputs: npt.ArrayLike | None = None,
    ) -> Decision:
        """Look at a batch that was served (`look`), and decide."""
        with self.book.held():
            self.look(batch, at=at, representations=representations, outputs=outputs)
            return self.decide(at=at)

    @keeps_random_states
    def decide(self, *, at: datetime | None = None) -> Decision:
        """The policy's decision on all that is known now; recorded.

        An estimate is made only where an update would be worth making if it were free, and only for options that no
        update of this life was made by yet: six estimates cost as much as fifty updates of a small model. Where an
        update takes less than an estimate, as far as looks tell, or its outcome could not change the decision, none is
        made (`rough_offers` and `settled_offers` of `foretoll.decide.offers`); nor is one where an update was made by
        one option, and the estimate of the others would take more than watching may.
        """
        with self.book.held():
            decision = self._decided(at)
            key = f"{decision.after}-{secrets.token_hex(3)}"
            self.append("decision", key, at=aware(at), decision=decision)
        return decision

    def _decided(self, at: datetime | None) -> Decision:
        events = self.events()
        policy = get_policy(self.card.policy, self.card.served)
        free = tuple(Offer(option=option, cost=0.0, cost_high=0.0) for option in self.card.options)
        decision = policy.decide(self.view(events, free))
        if decision.action == "update":
            check_code(self, self.card.options)
            offers = self._offers(events, policy)
            decision = policy.decide(self.view(events, offers))
            if self.patience is not None:
                chosen = next((offer for offer in offers if offer.option == decision.option), None)
                decision = self.patience.applied(decision, chosen, self.card, events, aware(at))
        return decision

    def _offers(self, events: Sequence[LifeEvent], policy: Policy) -> tuple[Offer, ...]:
        """What updates would cost: what earlier ones of this life took, and else one estimate of all options."""
        known = known_offers(self.card, [event for event in events if event.note not in FOR_NOW])
        if not {offer.option for offer in known} < set(self.card.options) or _estimated(events):
            return known
        rough, note = rough_offers(self.card, events), ROUGH
        if not rough:
            rough = settled_offers(self.card, events, lambda offers: policy.decide(self.view(events, offers)))
            note = SETTLED
        if not rough and known and estimate_too_dear(self.card, events):
            rough, note = bounded_offers(self.card, events), TOLD
        spent: Toll | None = None
        if not rough:
            self.book.let_go()  # an estimate may take minutes, and fork
            rough, spent, note = estimate_offers(self, events)
        self.append(
            "offers", secrets.token_hex(6), at=datetime.now(UTC), offers=rough, spent=spent, note=note
        )
        return known_offers(self.card, self.events())

    @keeps_random_states
    def carry_out(self, decision: Decision, *, data: Sequence[Data] = ()) -> Run:
        """Carry out a decision to update: train, compare with the served model, and serve the new one if it is better.

        See `foretoll.workflows.life_update.carry_out_update`.
        """
        return carry_out_update(self, decision, data)

    def recover(self) -> None:
        """Bring an update to its end whose process was killed after its model was judged."""
        recover(self)


def _estimated(events: Sequence[LifeEvent]) -> bool:
    return any(event.kind == "offers" and event.note not in FOR_NOW for event in events)
