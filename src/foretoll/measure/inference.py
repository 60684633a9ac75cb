"""What serving a model costs: seconds and energy per 1,000 samples, at a stated batch size, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

from foretoll.errors import MeasureError
from foretoll.measure.meter import EnergyMeter
from foretoll.measure.step_probe import Timing, joules, steps_per_repeat, timed, warm_up
from foretoll.records import InferenceCost
from foretoll.units import kwh_from_joules

if TYPE_CHECKING:
    import torch

    from foretoll.data import Split
    from foretoll.models import Model

SERVING = "inference"


def probe_inference(
    model: Model,
    split: Split,
    *,
    batch_size: int,
    device: torch.device | str,
    meter_factory: Callable[[], EnergyMeter],
    timing: Timing = Timing(budget_s=0.3, least=1),  # noqa: B008  (it is frozen)
) -> InferenceCost:
    """Run a model on one batch of real samples again and again, without gradients, in evaluation mode.

    A run holds the preprocessing and the network; the samples are on the device already. One warm-up run and one
    repeat are always carried out; more of both while they fit into the budget.
    The model keeps its weights and modes.

    Args:
        model: raw stored batch in, logits out; on the device.
        split: where the batch comes from: its first samples, as many as `batch_size` if there are so many.
        batch_size: samples that go through the model at once.
        device: synchronised before every reading of the clock.
        meter_factory: gives a fresh energy meter.
        timing: the median is between the fastest and the slowest repeat.

    Returns:
        The cost per 1,000 samples. Its energy is None without an energy meter.

    Raises:
        MeasureError: a batch, budget or number of repeats that is not positive, or no sample to run on.

    """
    budget_s, repeats, clock = timing.budget_s, timing.repeats, timing.clock
    if batch_size < 1 or repeats < 1 or not budget_s > 0 or len(split) == 0:
        raise MeasureError(
            f"an inference probe of {repeats} repeats on a batch of {min(batch_size, len(split))} samples in "
            f"{budget_s:g} s is impossible: give at least one sample, one repeat and some time"
        )
    import torch

    from foretoll.quality import evaluating

    inputs = next(split.batches(batch_size)).inputs
    count = len(inputs)
    if isinstance(inputs, torch.Tensor):
        inputs = inputs.to(device)
    place, times = str(device), list[float]()
    with torch.no_grad(), evaluating(model), meter_factory() as meter:
        deadline = clock() + budget_s
        _, one_s = warm_up(lambda: model(inputs), place, timing.warmup, deadline, clock)
        runs = steps_per_repeat(one_s, timing.least, repeats, 0.6 * budget_s)
        meter.start(SERVING)
        while len(times) < repeats:
            if times and clock() + runs * max(times) > deadline:
                break
            times.append(timed(lambda: model(inputs), place, runs, clock) / runs)
        energy = joules(meter.stop(), SERVING)
    samples = runs * len(times) * count
    thousand = 1000 / count
    return InferenceCost(
        batch_size=count,
        samples=samples,
        repeats=len(times),
        seconds_per_1000=median(times) * thousand,
        seconds_per_1000_low=min(times) * thousand,
        seconds_per_1000_high=max(times) * thousand,
        energy_kwh_per_1000=None if energy is None else kwh_from_joules(energy) * 1000 / samples,
    )
