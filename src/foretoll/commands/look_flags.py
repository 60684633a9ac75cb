"""The flags by which a life says how much of what is served it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from foretoll.commands.bundles import Bundle
from foretoll.commands.continual_flags import share_of
from foretoll.commands.flags import measuring_flag
from foretoll.errors import UsageError
from foretoll.records import Looking


@dataclass(frozen=True)
class LookFlags(Bundle):
    """How many samples are looked at, and what watching may take."""

    look: Annotated[
        int,
        measuring_flag(
            "--look", min=0, help_="samples of a batch that the model is run on at the most; 0: all of them"
        ),
    ] = 1000
    watch_share: Annotated[
        str,
        measuring_flag(
            "--watch-share",
            help_="of what updates take, what looks, labels and estimates may take: fewer samples are looked at, 200 "
            "at the least; 0%: any amount",
        ),
    ] = "5%"
    skip_looks: Annotated[
        bool,
        measuring_flag(
            "--skip-looks",
            help_="also leave batches out, all but one in --window, where 200 samples are too much",
        ),
    ] = False

    def read(self) -> Looking:
        """All three as one; UsageError where one is none."""
        share = share_of(self.watch_share, "--watch-share", "what updates take", "5%")
        if self.skip_looks and not share:
            raise UsageError(
                "without a share no batch is left out: leave --skip-looks out, or --watch-share 0%"
            )
        return Looking(most=self.look, share=share, skip=self.skip_looks)
