"""What a piece of foretoll's own work costs: duration and energy of a block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from foretoll.errors import MeasureError
from foretoll.measure.meter import EnergyMeter, EnergyReading
from foretoll.measure.opening import open_meter
from foretoll.records import SelfCost

if TYPE_CHECKING:
    import torch

PILOT = "pilot"


class SelfCostMeter:
    """Measures a block, also one that ends in an exception::

        with SelfCostMeter("auto", device="cpu") as cost:
            ...
        cost.record()             # SelfCost(duration_s=…, energy_kwh=…)

    Other meters may run inside the block. A second phase is kept apart with `switch` ("calibration").
    """

    def __init__(
        self,
        meter: EnergyMeter | str = "auto",
        *,
        device: torch.device | str = "cpu",
        phase: str = "estimate",
    ) -> None:
        self._meter = open_meter(meter, device=device) if isinstance(meter, str) else meter
        self._phase = phase
        self._reading: EnergyReading | None = None

    def __enter__(self) -> Self:
        self._meter.start(self._phase)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._reading = self._meter.stop()
        except MeasureError:
            if error is None:
                raise

    def switch(self, phase: str) -> None:
        """Go on in another phase, say "calibration", and back."""
        self._meter.switch(phase)

    @property
    def reading(self) -> EnergyReading:
        """The reading of the block; MeasureError while it runs."""
        if self._reading is None:
            raise MeasureError("the cost of this block is not known yet: ask after the with statement")
        return self._reading

    def record(self, *, calibration_phase: str = "calibration") -> SelfCost:
        """The block's cost as a record; calibration and a pilot that went on ("pilot"), where there were, apart."""
        phases = dict(self.reading.phases)
        calibration, pilot = phases.pop(calibration_phase, None), phases.pop(PILOT, None)
        energies = [cost.energy_kwh for cost in phases.values()]
        known = bool(energies) and all(energy is not None for energy in energies)
        return SelfCost(
            duration_s=sum(cost.duration_s for cost in phases.values()),
            energy_kwh=sum(energy or 0.0 for energy in energies) if known else None,
            calibration_duration_s=calibration.duration_s if calibration else 0.0,
            calibration_energy_kwh=calibration.energy_kwh if calibration else None,
            pilot_duration_s=pilot.duration_s if pilot else 0.0,
            pilot_energy_kwh=pilot.energy_kwh if pilot else None,
        )
