"""What an update costs on hardware that is not at hand: one forecast for each kind, from work that was counted here."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foretoll.decide.money import money
from foretoll.errors import UsageError
from foretoll.forecast import Prediction, compose_costs
from foretoll.measure import Machine, Pace, probe_on
from foretoll.records import (
    EnergyBasis,
    Forecast,
    GridIntensity,
    HardwareForecast,
    Interval,
    StepProbe,
    TrainingSettings,
)
from foretoll.units import emissions_kg
from foretoll.workflows.context import Accounting
from foretoll.workflows.probe import OptionWork

# Above the tensors themselves: what the allocator cannot use again and the workspaces of libraries, and what a GPU's
# driver or a process's libraries take, 10⁹ bytes at the most
ALLOCATOR, CONTEXT_BYTES = 1.25, 1e9


def check_shares(machines: Sequence[Machine], settings: TrainingSettings) -> None:
    """Refuse more devices than a batch has samples (UsageError): each takes a part of it."""
    for machine in machines:
        if machine.count > settings.batch_size:
            raise UsageError(
                f"--hardware {machine.name} cannot share out a batch of {settings.batch_size}: name at most so many "
                "devices, or a larger --batch-size"
            )


def probe_there(
    machine: Machine, work: OptionWork, settings: TrainingSettings
) -> tuple[StepProbe, EnergyBasis]:
    """What a probe of steps would find on a machine, by what was counted here."""
    return probe_on(
        machine,
        step=work.step,
        evaluation=work.evaluation,
        preparation=work.preparation,
        precision=settings.precision,
    )


def forecasts_there(
    machines: Sequence[Machine],
    work: OptionWork | None,
    told: Prediction,
    settings: TrainingSettings,
    *,
    samples: int,
    accounting: Accounting,
) -> tuple[HardwareForecast, ...]:
    """The forecast for each machine, in their order; `samples`: of an epoch. None where no step could be counted."""
    if work is None:
        return ()
    return tuple(
        forecast_there(
            machine,
            work,
            told.forecast,
            settings,
            samples=samples,
            accounting=accounting,
            already_met=told.already_met,
        )
        for machine in machines
    )


def forecast_there(
    machine: Machine,
    work: OptionWork,
    costs: Forecast,
    settings: TrainingSettings,
    *,
    samples: int,
    accounting: Accounting,
    already_met: bool = False,
) -> HardwareForecast:
    """The costs of an update on a machine, whether its memory suffices, and the money.

    costs: with the epochs. already_met: the target, by the model as it is, so that nothing is prepared. The interval of
    the energy holds that of the time and the range of the power, as independent deviations.
    """
    pace = Pace.of(machine, work.step if work.step.calls else work.evaluation, settings.precision)
    if costs.epochs is not None:
        probe, _ = probe_there(machine, work, settings)
        if already_met:
            probe = probe.model_copy(update={"seconds_of_preparation": 0.0, "joules_of_preparation": None})
        costs = compose_costs(
            costs.epochs,
            schedule=settings.evaluations(settings.steps_per_epoch(samples)),
            probe=probe,
            grid=accounting.grid,
            learned=costs,
        )
        energy = _energy(costs.energy_kwh, costs.duration_s, pace)
        costs = costs.model_copy(
            update={
                "energy_kwh": energy,
                "emissions_kg": None if energy is None else _emissions(energy, accounting.grid),
            }
        )
    low, high = memory_range(machine, work, settings)
    there = machine.memory_bytes
    return HardwareForecast(
        name=machine.name,
        devices=machine.count,
        basis=machine.basis(settings.precision),
        bound=pace.bound,
        forecast=costs,
        memory_low_bytes=low,
        memory_high_bytes=high,
        memory_bytes=there,
        fits=fits(low, high, there),
        money=money(accounting.prices, costs, device=machine.device.name, devices=machine.count),
    )


def memory_range(machine: Machine, work: OptionWork, settings: TrainingSettings) -> tuple[float, float]:
    """Bytes that each device needs: the tensors alone, and with what allocators and libraries take.

    Each device of several holds the weights, their gradients and the optimiser's state, and its part of a batch.
    """
    held = work.training_state_bytes - work.trainable_bytes
    beside = work.memory_bytes - held
    share = (beside - work.trainable_bytes) / machine.count + work.trainable_bytes
    low = held + min(max(share, 0.0), beside)
    return low, ALLOCATOR * low + CONTEXT_BYTES


def fits(low: float, high: float, there: float | None) -> bool | None:
    """Whether so much memory suffices; None where it is not known, or lies between the two."""
    if there is None or low <= there < high:
        return None
    return high <= there


def _energy(energy: Interval | None, time: Interval | None, pace: Pace) -> Interval | None:
    if energy is None or time is None or pace.watts is None or not energy.median or not time.median:
        return energy
    least, usual, most = pace.watts
    ends = []
    for end, watts, sign in ((time.low, least, -1.0), (time.high, most, 1.0)):
        far = (
            None if not end or not watts else math.hypot(math.log(end / time.median), math.log(watts / usual))
        )
        ends.append(None if far is None else energy.median * math.exp(sign * far))
    return Interval(median=energy.median, low=ends[0], high=ends[1], level=energy.level)


def _emissions(energy: Interval, grid: GridIntensity) -> Interval:
    low, median, high = (
        None if end is None else emissions_kg(end, grid.intensity_kg_per_kwh, grid.pue)
        for end in (energy.low, energy.median, energy.high)
    )
    return Interval(median=median, low=low, high=high, level=energy.level)
