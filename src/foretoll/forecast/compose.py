"""Energy, emissions and duration from steps: composed, so that a forecast moves when only the probe is repeated."""

from __future__ import annotations

import math

from foretoll.records import EnergyBasis, Forecast, GridIntensity, Interval, StepProbe
from foretoll.units import emissions_kg, kwh_from_joules


def compose_costs(
    epochs: Interval,
    *,
    steps_per_epoch: int,
    evals_per_epoch: int,
    probe: StepProbe | None,
    energy: EnergyBasis | None,
    grid: GridIntensity | None,
    learned: Forecast | None = None,
) -> Forecast:
    """Add duration (s), energy (kWh) and emissions (kg CO2e) to a forecast of epochs.

    cost = preparation + steps × cost per step + evaluations × cost per evaluation; one evaluation comes before
    any step.
    The ends of the interval take the ends of the probe's spread and, for modelled energy, of its plausible
    range. What the probe did not measure stays None.
    """
    learned = learned or Forecast()
    duration = energy_kwh = emissions = None
    if probe is not None and epochs.median is not None:
        spread = (
            probe.seconds_per_step_low / probe.seconds_per_step if probe.seconds_per_step else 1.0,
            1.0,
            probe.seconds_per_step_high / probe.seconds_per_step if probe.seconds_per_step else 1.0,
        )

        def total(
            before: float, per_step: float, per_evaluation: float, factors: tuple[float, float, float]
        ) -> Interval:
            def at(value: float | None, factor: float) -> float | None:
                if value is None:
                    return None
                steps = math.ceil(value * steps_per_epoch - 1e-9)
                evaluations = 1 + math.ceil(value * evals_per_epoch - 1e-9)
                return factor * (before + steps * per_step + evaluations * per_evaluation)

            low, median, high = factors
            return Interval(
                median=at(epochs.median, median),
                low=at(epochs.low, low),
                high=at(epochs.high, high),
                level=epochs.level,
            )

        duration = total(
            probe.seconds_of_preparation, probe.seconds_per_step, probe.seconds_per_evaluation, spread
        )
        if probe.joules_per_step is not None:
            low = spread[0] * (energy.relative_low if energy and energy.relative_low is not None else 1.0)
            high = spread[2] * (energy.relative_high if energy and energy.relative_high is not None else 1.0)
            energy_kwh = total(
                kwh_from_joules(probe.joules_of_preparation or 0.0),
                kwh_from_joules(probe.joules_per_step),
                kwh_from_joules(probe.joules_per_evaluation or 0.0),
                (low, 1.0, high),
            )
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


def _emissions(energy_kwh: float | None, grid: GridIntensity) -> float | None:
    return None if energy_kwh is None else emissions_kg(energy_kwh, grid.intensity_kg_per_kwh, grid.pue)
