"""The flags by which an update that is due may wait for a grid that emits less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from foretoll.commands.bundles import Bundle
from foretoll.commands.flags import MeasuringFlags, measuring_flag
from foretoll.decide.budget import parse_patience
from foretoll.errors import UsageError

if TYPE_CHECKING:
    from foretoll.workflows.start_time import Patience


@dataclass(frozen=True)
class WaitingFlags(Bundle):
    """Whether an update may wait for a grid that emits less."""

    intensity_series: Annotated[
        Path | None,
        measuring_flag(
            "--intensity-series", help_="CSV of what the grid will emit: timestamp, gCO2e_per_kWh"
        ),
    ] = None
    patience: Annotated[
        str | None,
        measuring_flag("--patience", help_="how long an update may wait for a greener hour: 24h, 90min"),
    ] = None

    def check(self) -> None:
        """UsageError where one is given without the other, or the time is none."""
        if (self.intensity_series is None) != (self.patience is None):
            raise UsageError(
                "--patience and --intensity-series belong together: give how long an update may wait, and a "
                "file of what the grid will emit"
            )
        if self.patience is not None:
            parse_patience(self.patience)

    def read(self, measuring: MeasuringFlags) -> Patience | None:
        """Both as one; None where they were not given."""
        if self.intensity_series is None or self.patience is None:
            return None
        from foretoll.workflows.start_time import Patience

        return Patience.read(self.intensity_series, self.patience, pue=measuring.accounting().grid.pue)
