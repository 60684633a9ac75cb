"""The flags by which updates of a life go on from what was learned before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from foretoll.commands.bundles import Bundle
from foretoll.commands.flags import measuring_flag
from foretoll.errors import UsageError, shown
from foretoll.records import Continual


@dataclass(frozen=True)
class ContinualFlags(Bundle):
    """From which model updates go on, and what they rehearse."""

    update_from: Annotated[
        str,
        measuring_flag(
            "--update-from", help_="the model that an update trains: last (the one served), or first"
        ),
    ] = "last"
    rehearse: Annotated[
        str,
        measuring_flag("--rehearse", help_="share of an update's samples that are of earlier batches: 20%"),
    ] = "0%"
    remember: Annotated[
        int,
        measuring_flag(
            "--remember",
            min=0,
            max=100_000,
            help_="labelled samples that the life keeps, to rehearse and to measure what updates forget; 0: none",
        ),
    ] = 500

    def read(self) -> Continual:
        """All three as one; UsageError where one is none."""
        if self.update_from not in ("last", "first"):
            raise UsageError(
                f"--update-from {shown(self.update_from, 40)} is no model of a life: say last or first"
            )
        share = share_of(self.rehearse, "--rehearse", "an update's samples", "20%")
        if share and not self.remember:
            raise UsageError("what is not kept cannot be rehearsed: leave --remember 0 out, or --rehearse")
        return Continual(
            update_from="first" if self.update_from == "first" else "last",
            rehearse=share,
            remember=self.remember,
        )


def share_of(text: str, flag: str, whole: str, such_as: str) -> float:
    """`20%` or `0.2` as 0.2; UsageError where a flag's value is no share of a whole, at most 90 %."""
    number = text.strip()
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.9:
        raise UsageError(
            f"{flag} {shown(text, 40)} is no share of {whole}: give 0% to 90%, such as {such_as}"
        )
    return share
