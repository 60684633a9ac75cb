"""The pilot that went on: how the interval of epochs shrank with its steps, and what they cost."""

from __future__ import annotations

from foretoll.records import Estimate, PilotRecord, PilotStage, SelfCost
from foretoll.report.document import Column, Row, Table
from foretoll.report.words import (
    Limit,
    cost_text,
    interval_text,
    median_text,
    metric_name,
    percent,
    quality_text,
)

MOST_ROWS = 5  # beside the first: the last ones; all of them are in estimate.json


def pilot_table(estimate: Estimate) -> Table | None:
    """The forecast after each stage of the pilot; None where it did not go on."""
    pilot = estimate.pilot
    if pilot is None or len(pilot.stages) < 2:
        return None
    first, *later = pilot.stages
    columns = [
        Column("steps"),
        Column("spent", number=True),
        Column(f"validation {metric_name(estimate.settings.metric)}"),
        Column("epochs"),
        Column("probability"),
    ]
    rows = [_row(estimate, stage) for stage in (first, *later[-MOST_ROWS:])]
    note = (
        f"Median and {percent(first.forecast_epochs.level)} interval of the epochs in all, after so many of the run's "
        f"own steps; spent: of the energy that it was forecast to take. The pilot ended there: {pilot.ended}."
    )
    return Table(columns, rows, "pilot", note)


def _row(estimate: Estimate, stage: PilotStage) -> Row:
    epochs, metric = stage.forecast_epochs, estimate.settings.metric
    limit = Limit.of(epochs, estimate.settings.max_epochs)
    interval = interval_text("epochs", epochs, limit=limit)
    return Row(
        [
            f"{stage.step:,}",
            percent(stage.share),
            quality_text(metric, stage.quality),
            f"{median_text('epochs', epochs, limit=limit)} ({interval})",
            percent(stage.reach_probability),
        ]
    )


def pilot_cost(pilot: PilotRecord, own: SelfCost) -> str:
    """What the further steps cost, or why there were none."""
    if not pilot.steps:
        return f"the pilot took no further steps: {pilot.ended}"
    text = f"the {pilot.steps:,} further steps of the pilot took {cost_text('duration_s', own.pilot_duration_s)} more"
    if own.pilot_energy_kwh is not None:
        text += f" and {cost_text('energy_kwh', own.pilot_energy_kwh)}"
    if pilot.kept is not None:
        text += f", which retrain --from-pilot {pilot.kept} does not spend again"
    return text
