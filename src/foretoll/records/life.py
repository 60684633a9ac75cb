"""What the life of a model is written down as: looks at batches, decisions, and what they rest on."""

from __future__ import annotations

from typing import Literal

from foretoll.records.base import NonNegative, Record, Share


class Decision(Record):
    """What a policy says at one time: keep the served model, or update it by an option.

    `figures` are what it rests on, in the unit of the worth where they are costs; `would_change`: what would
    turn it.
    """

    policy: str
    action: Literal["keep", "update"]
    option: str | None = None  # of an update
    reason: str
    would_change: str = ""
    figures: dict[str, float | None] = {}
    after: int  # the number of the last batch that it knew; −1: none


class ServedBatch(Record):
    """One batch that was served, as far as it is known: without labels there is no quality and no lead.

    lead: quality of the shadow minus quality of the served model (`foretoll.indices.shadow`), with its standard error.
    ks, psi: how far the batch's outputs are from those of the reference, by two tests of drift.
    """

    name: str  # a digest of the batch
    number: int  # its place in the life, from 0
    samples: int
    labelled: int = 0
    quality: float | None = None
    lead: float | None = None
    lead_error: NonNegative | None = None
    confidence: Share | None = None
    ks: NonNegative | None = None
    psi: NonNegative | None = None


class Offer(Record):
    """An update that could be made now: its forecast cost in the unit of the worth, and what it would win.

    share: how much of the lead it is expected to win; a forecast's interval has its upper end in `cost_high`.
    """

    option: str
    cost: NonNegative
    cost_high: NonNegative
    share: Share = 1.0
