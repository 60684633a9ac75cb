"""Energy, emissions and duration from steps: composed, so that a forecast moves when only the probe is repeated."""

from __future__ import annotations

from foretoll.forecast.step_costs import StepCosts
from foretoll.records import Forecast, GridIntensity, Interval, StepProbe
from foretoll.records.evaluations import EvaluationSchedule
from foretoll.units import emissions_kg


def compose_costs(
    epochs: Interval,
    *,
    schedule: EvaluationSchedule,
    probe: StepProbe | None,
    grid: GridIntensity | None,
    learned: Forecast | None = None,
) -> Forecast:
    """Add duration (s), energy (kWh) and emissions (kg CO2e) to a forecast of epochs.

    The ends of the interval are those of the epochs and of the time of a step (`StepCosts`), put together as
    independent deviations on a log scale: the energy is what the same meter will read. How far
    a modelled figure may be from the truth is a factor of its own (`EnergyBasis.relative_low`), which no run of the
    ledger can tell. What the probe did not measure stays None.
    """
    learned = learned or Forecast()
    duration = energy_kwh = emissions = None
    if probe is not None and epochs.median is not None:
        duration = _composed(StepCosts.of_seconds(probe, schedule), epochs, epochs.median)
        joules = StepCosts.of_energy(probe, schedule)
        energy_kwh = None if joules is None else _composed(joules, epochs, epochs.median)
        if energy_kwh is not None and grid is not None:
            emissions = Interval(
                median=_emissions(energy_kwh.median, grid),
                low=_emissions(energy_kwh.low, grid),
                high=_emissions(energy_kwh.high, grid),
                level=epochs.level,
            )
    return learned.model_copy(
        update={
            "epochs": epochs,
            "duration_s": duration,
            "energy_kwh": energy_kwh,
            "emissions_kg": emissions,
        }
    )


def _composed(cost: StepCosts, epochs: Interval, median: float) -> Interval:
    low, high = (
        None if end is None else cost.quantile(median, end, share)
        for end, share in ((epochs.low, -1.0), (epochs.high, 1.0))
    )
    return Interval(median=cost.of(median), low=low, high=high, level=epochs.level)


def _emissions(energy_kwh: float | None, grid: GridIntensity) -> float | None:
    return None if energy_kwh is None else emissions_kg(energy_kwh, grid.intensity_kg_per_kwh, grid.pue)
