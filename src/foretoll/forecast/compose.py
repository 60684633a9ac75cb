"""Energy, emissions and duration from steps: composed, so that a forecast moves when only the probe is repeated."""

from __future__ import annotations

import math

from foretoll.records import Forecast, GridIntensity, Interval, StepProbe
from foretoll.units import emissions_kg, kwh_from_joules

# Log deviation of a step's time from one run to the next of the very same setting, which no probe of seconds can see:
# 90 % of 992 pairs of the ledger that ships lie within (evaluations: 852 pairs, 0.19 too).
BETWEEN_RUNS = 0.19


def compose_costs(
    epochs: Interval,
    *,
    steps_per_epoch: int,
    evals_per_epoch: int,
    probe: StepProbe | None,
    grid: GridIntensity | None,
    learned: Forecast | None = None,
) -> Forecast:
    """Add duration (s), energy (kWh) and emissions (kg CO2e) to a forecast of epochs.

    cost = preparation + steps × cost per step + evaluations × cost per evaluation; one evaluation comes before
    any step.
    The ends of the interval are those of the epochs and of the time of a step (`_spread`), put together as independent
    deviations on a log scale: the energy is what the same meter will read. How far
    a modelled figure may be from the truth is a factor of its own (`EnergyBasis.relative_low`), which no run of the
    ledger can tell. What the probe did not measure stays None.
    """
    learned = learned or Forecast()
    duration = energy_kwh = emissions = None
    if probe is not None and epochs.median is not None:
        spread = _spread(probe)

        def total(before: float, per_step: float, per_evaluation: float) -> Interval:
            def at(value: float | None) -> float | None:
                if value is None:
                    return None
                steps = math.ceil(value * steps_per_epoch - 1e-9)
                evaluations = 1 + math.ceil(value * evals_per_epoch - 1e-9)
                return before + steps * per_step + evaluations * per_evaluation

            median = at(epochs.median)
            return Interval(
                median=median,
                low=_end(median, at(epochs.low), -spread[0]),
                high=_end(median, at(epochs.high), spread[1]),
                level=epochs.level,
            )

        duration = total(probe.seconds_of_preparation, probe.seconds_per_step, probe.seconds_per_evaluation)
        if probe.joules_per_step is not None:
            energy_kwh = total(
                kwh_from_joules(probe.joules_of_preparation or 0.0),
                kwh_from_joules(probe.joules_per_step),
                kwh_from_joules(probe.joules_per_evaluation or 0.0),
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


def _spread(probe: StepProbe) -> tuple[float, float]:
    """Log deviations, down and up, of the time of a step: within the probe, and from one hour to the next."""
    one = probe.seconds_per_step
    within = [abs(math.log(end / one)) if one > 0 and end > 0 else 0.0
              for end in (probe.seconds_per_step_low, probe.seconds_per_step_high)]  # fmt: skip
    return math.hypot(within[0], BETWEEN_RUNS), math.hypot(within[1], BETWEEN_RUNS)


def _end(median: float | None, end: float | None, spread: float) -> float | None:
    """An end of an interval, once the `spread` (a log deviation) of a step's time is added to that of the epochs."""
    if not median or not end:
        return end
    return median * math.exp(math.copysign(math.hypot(math.log(end / median), spread), spread))


def _emissions(energy_kwh: float | None, grid: GridIntensity) -> float | None:
    return None if energy_kwh is None else emissions_kg(energy_kwh, grid.intensity_kg_per_kwh, grid.pue)
