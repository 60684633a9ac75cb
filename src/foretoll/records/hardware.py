"""Hardware that an update may run on: what a data sheet or a benchmark says of a device, and a forecast for it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from foretoll.records.base import NonNegative, PresentedRecord, Record
from foretoll.records.forecast import Forecast, Money

Positive = Annotated[float, Field(gt=0, lt=1e24)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that cannot be printed")
    return text


Text = Annotated[str, StringConstraints(max_length=200), AfterValidator(_printable)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=160), AfterValidator(_printable)]
Kind = Literal["gpu", "cpu"]
Precision = Literal["fp32", "bf16", "fp16"]


class Device(Record):
    """A device as its maker's data sheet has it. What the sheet does not say is None.

    fp32_tflops, tf32_tflops, bf16_tflops, fp16_tflops: peak dense arithmetic, 10¹² operations a second; tf32: by tensor
    cores, from float32 numbers. watts: board power or TDP. memory_gb: 10⁹ bytes; None where it is the machine's.
    bandwidth_gb_s: 10⁹ bytes a second between device and its memory.
    """

    name: Line
    kind: Kind
    year: int = Field(ge=2000, le=2100)
    watts: Positive
    fp32_tflops: Positive
    tf32_tflops: Positive | None = None
    bf16_tflops: Positive | None = None
    fp16_tflops: Positive | None = None
    memory_gb: Positive | None = None
    bandwidth_gb_s: Positive
    source: Line


class MeasuredDevice(PresentedRecord):
    """What `foretoll hardware measure` found of a device, to be shared as a file.

    matmul_flops, convolution_flops: operations a second by precision ("fp32", "bf16", "fp16"), of a large product and
    of forward and backward of a convolution. bytes_per_s: read and written by an elementwise operation. call_s: seconds
    of one operator on a few numbers, within a training step. idle_w, busy_w: power without work and with the large
    product; None where no meter reads it, and `energy` says how it is known.
    """

    schema_: Literal["foretoll.hardware/1"] = Field("foretoll.hardware/1", alias="schema")
    name: Line
    kind: Kind
    device_name: Line
    matmul_flops: dict[Precision, Positive]
    convolution_flops: dict[Precision, Positive]
    bytes_per_s: Positive
    call_s: Positive
    idle_w: NonNegative | None = None
    busy_w: Positive | None = None
    energy: Text = ""
    memory_gb: Positive | None = None
    threads: int | None = Field(None, ge=1, le=100_000)
    torch: Text = ""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class HardwareForecast(Record):
    """What an update costs on one kind of hardware, and whether its memory suffices.

    name: as it was asked for ("4 × A100"). basis: what it rests on, in words. bound: what limits a step there.
    memory_low_bytes, memory_high_bytes: needed on each device; memory_bytes: there on each, None where not known.
    fits: None where it is not known, or where what is there lies between the two. money: by the price that was named.
    """

    name: str
    devices: int = 1
    basis: str
    bound: str
    forecast: Forecast
    memory_low_bytes: NonNegative | None = None
    memory_high_bytes: NonNegative | None = None
    memory_bytes: NonNegative | None = None
    fits: bool | None = None
    money: Money | None = None


class ModelSize(PresentedRecord):
    """What training a model takes, from its configuration alone: memory in parts, and costs by hardware.

    stored_bytes, stored_dtype: of the weights in the folder, as their headers say; None where there are none. held:
    between two steps. activations: within a step, beside gradients; at the low end where the lower precision that was
    asked for halves all of them.
    """

    schema_: Literal["foretoll.size/1"] = Field("foretoll.size/1", alias="schema")
    model: str
    option: str
    about: str  # batch, input, precision, optimiser, in words
    parameters: int
    trainable_parameters: int
    stored_bytes: int | None = None
    stored_dtype: str = ""
    weights_bytes: NonNegative
    gradients_bytes: NonNegative
    optimizer_bytes: NonNegative
    activations_low_bytes: NonNegative
    activations_high_bytes: NonNegative
    step_operations: NonNegative
    samples: int
    epochs: float
    price: str = ""
    elsewhere: tuple[HardwareForecast, ...] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    @property
    def memory_low_bytes(self) -> float:
        """All parts, with the low end of the activations."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_low_bytes

    @property
    def memory_high_bytes(self) -> float:
        """All parts, with the high end of the activations."""
        return self.memory_low_bytes - self.activations_low_bytes + self.activations_high_bytes
