"""The laws of an energy meter."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from foretoll.errors import MeasureError
from foretoll.measure import EnergyMeter
from foretoll.testing.laws import hold


def check_meter(make: Callable[[], EnergyMeter]) -> None:
    """Check that fresh meters of `make()` keep the contract of `foretoll.measure.EnergyMeter`.

    1. Phases add up: of those that were run there is a duration above 0, and their energies make the total.
    2. No energy is negative or infinite; one that is not known is None and never 0 in its place.
    3. It says by which method, and with its parts, how the energy is known.
    4. A meter is used once: a second start, and a reading before the end, raise MeasureError.
    5. It ends with its block also where that raises, and gives the error on.

    Raises:
        ContractError: a law is broken.

    """
    meter = make()
    kind = type(meter).__name__
    hold(isinstance(meter, EnergyMeter), f"{kind} is no foretoll.measure.EnergyMeter: make it a subclass")
    hold(make() is not meter, f"{kind}: the same meter is given twice; a meter is used once")
    hold(_raises(lambda: meter.reading), f"{kind}: it has a reading before it was stopped")
    with meter:
        meter.start("first")
        time.sleep(0.02)
        meter.switch("second")
        time.sleep(0.01)
        reading = meter.stop()
    hold(set(reading.phases) == {"first", "second"}, f"{kind}: the phases are {sorted(reading.phases)}")
    long = all(phase.duration_s > 0 for phase in reading.phases.values())
    hold(long, f"{kind}: a phase that was run has no duration")
    energies = [phase.energy_kwh for phase in reading.phases.values()]
    known = [value for value in energies if value is not None]
    sound = all(math.isfinite(value) and value >= 0 for value in known)
    hold(sound, f"{kind}: an energy is negative or infinite: {energies}")
    hold(
        len(known) in (0, len(energies)) or reading.energy_kwh is None,
        f"{kind}: a total without one of its phases",
    )
    if len(known) == len(energies) and reading.energy_kwh is not None:
        added = math.isclose(sum(known), reading.energy_kwh, rel_tol=1e-9, abs_tol=1e-18)
        hold(
            added,
            f"{kind}: the phases have {sum(known):g} kWh together, and the total is {reading.energy_kwh:g}",
        )
    hold(bool(reading.basis.method), f"{kind}: it does not say by which method the energy is known")
    hold(_raises(meter.start), f"{kind}: it can be started a second time")
    other = make()
    try:
        with other:
            other.start()
            raise ValueError("of the work")
    except ValueError:
        pass
    hold(not other.running, f"{kind}: it goes on after a block that raised")


def _raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except MeasureError:
        return True
    return False
