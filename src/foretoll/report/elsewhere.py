"""Hardware that is not at hand, and money: what an update costs there, one row each, and what a catalogue knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from foretoll.records import (
    Comparison,
    Device,
    Estimate,
    HardwareForecast,
    Interval,
    MeasuredDevice,
    ModelSize,
    Money,
)
from foretoll.report.document import Block, Column, Row, Table, facts, table
from foretoll.report.words import (
    MISSING,
    NO_LIMIT,
    Limit,
    interval_text,
    median_text,
    memory_text,
    two_digits,
    unit_of,
)
from foretoll.units import human_duration, human_money

COSTS = (("duration_s", "duration"), ("energy_kwh", "energy"), ("emissions_kg", "CO2e"))
MEMORY_NOTE = (
    "Memory: needed on each device (the tensors alone … with allocator and libraries) of what is there."
)


def money_text(money: Money | None) -> str:
    """The median, in its currency."""
    return MISSING if money is None else human_money(money.median, money.currency)


def money_ends(money: Money | None) -> str:
    """Both ends of the interval."""
    if money is None or money.low is None:
        return MISSING
    low = human_money(money.low)
    return f"{low} … {human_money(money.high)}" if money.high is not None else f"{low} … no upper end"


def money_row(estimate: Estimate) -> Row | None:
    """The money of an update as a row of its costs; None where no price was named."""
    if not estimate.price:
        return None
    why = f"price {estimate.price}"
    if estimate.money is None:
        why += "; time or energy is not known, or no price is for this hardware"
    return Row(["money", money_text(estimate.money), money_ends(estimate.money)], why)


def hardware_rows(estimate: Estimate) -> Table | None:
    """What the update costs on each kind of hardware that was named; None where none was."""
    found = estimate.elsewhere
    if not found:
        return None
    limit = Limit.of(estimate.forecast.epochs, estimate.settings.max_epochs)
    return _hardware_table(found, bool(estimate.price), limit, f"Median (interval). {MEMORY_NOTE}")


def _hardware_table(found: Sequence[HardwareForecast], paid: bool, limit: Limit, note: str) -> Table:
    rows = [
        Row(
            (
                each.name,
                *(_cell(cost, getattr(each.forecast, cost), found, limit) for cost, _ in COSTS),
                *([_money(each.money)] if paid else []),
                fits_text(each),
            ),
            f"memory {memory_cell(each)}; {each.basis}; a step is limited by {each.bound}",
        )
        for each in found
    ]
    columns = [
        Column("hardware"),
        *(Column(head, number=True) for _, head in COSTS),
        *([Column("money", number=True)] if paid else []),
        Column("fits", number=True),
    ]
    return Table(columns, rows, "On the hardware that was named", note)


def compared_hardware(comparison: Comparison, title_of: Sequence[tuple[str, int]]) -> Table | None:
    """Each candidate on each kind of hardware; `title_of`: names and places of the candidates that can be used."""
    every = [each for _, i in title_of for each in comparison.candidates[i].elsewhere]
    if not every:
        return None
    rows = [
        (
            name,
            each.name,
            *(
                _medians(
                    cost,
                    getattr(each.forecast, cost),
                    every,
                    comparison.settings.max_epochs,
                    each.forecast.epochs,
                )
                for cost, _ in COSTS
            ),
            *([money_text(each.money)] if comparison.price else []),
            memory_cell(each),
            fits_text(each),
        )
        for name, i in title_of
        for each in comparison.candidates[i].elsewhere
    ]
    money = ["money"] if comparison.price else []
    heads = ("option", "hardware", *(head for _, head in COSTS), *money, "memory", "fits")
    basis = "; ".join(dict.fromkeys(f"{each.name}: {each.basis}" for each in every))
    numbers = tuple(range(2, 6 + len(money)))
    note = f"Medians. {MEMORY_NOTE} {basis}."
    return table("On the hardware that was named", heads, rows, note=note, numbers=numbers)


def memory_cell(each: HardwareForecast) -> str:
    """Memory needed, and there."""
    if each.memory_low_bytes is None or each.memory_high_bytes is None:
        return MISSING
    needed = f"{memory_text(each.memory_low_bytes)} … {memory_text(each.memory_high_bytes)}"
    return f"{needed} of {memory_text(each.memory_bytes)}" if each.memory_bytes is not None else needed


def fits_text(each: HardwareForecast) -> str:
    """Whether its memory suffices."""
    if each.memory_bytes is None:
        return "not known"
    return {True: "yes", False: "no", None: "perhaps"}[each.fits]


def size_blocks(found: ModelSize) -> list[Block]:
    """What training a model takes: its memory in parts, and its costs on each kind of hardware."""
    rows = [
        ("weights", memory_text(found.weights_bytes)),
        (f"gradients of {found.trainable_parameters:,} weights", memory_text(found.gradients_bytes)),
        ("optimiser", memory_text(found.optimizer_bytes)),
        ("activations", _between(found.activations_low_bytes, found.activations_high_bytes)),
        ("together", _between(found.memory_low_bytes, found.memory_high_bytes)),
    ]
    if found.stored_bytes is not None:
        rows.append(
            ("stored", f"{memory_text(found.stored_bytes)} in {found.stored_dtype}, loaded as float32")
        )
    operations = two_digits(found.step_operations / 1e12)
    rows.append(("one step", f"{operations} × 10¹² operations"))
    title = f"{found.option} of {found.model}, {found.parameters:,} parameters"
    note = f"{found.about}. Nothing was loaded or computed; allocators and libraries take more."
    blocks: list[Block] = [replace(facts(title, rows), note=note)]
    if found.elsewhere:
        blocks.append(
            _hardware_table(
                found.elsewhere,
                bool(found.price),
                NO_LIMIT,
                f"{found.about}. Median (interval). {MEMORY_NOTE}",
            )
        )
    return blocks


def _between(low: float, high: float) -> str:
    return memory_text(high) if low == high else f"{memory_text(low)} … {memory_text(high)}"


def catalogue_table(devices: Iterable[Device]) -> Table:
    """The catalogue: what each data sheet promises."""
    rows = [
        Row(
            (
                device.name,
                f"{device.watts:g}",
                f"{device.fp32_tflops:g}",
                *(
                    MISSING if value is None else f"{value:g}"
                    for value in (
                        device.tf32_tflops,
                        device.bf16_tflops,
                        device.fp16_tflops,
                        device.memory_gb,
                    )
                ),
                f"{device.bandwidth_gb_s:g}",
            ),
            device.source,
        )
        for device in devices
    ]
    heads = ("device", "W", "fp32", "tf32", "bf16", "fp16", "GB", "GB/s")
    note = (
        "fp32 to fp16: peak dense arithmetic in 10¹² operations a second; a training gets a part of it. Power without "
        "work is on no sheet: foretoll hardware measure measures it."
    )
    return Table([Column(head, number=i > 0) for i, head in enumerate(heads)], rows, "Hardware", note)


def measured_table(device: MeasuredDevice) -> Table:
    """What a benchmark found."""
    rows = [("device", f"{device.device_name} ({device.kind})")]
    for what, rates in (("product", device.matmul_flops), ("convolution", device.convolution_flops)):
        rows += [
            (f"{what}, {name}", f"{two_digits(rate / 1e12)} × 10¹² operations a second")
            for name, rate in rates.items()
        ]
    rows.append(("memory traffic", f"{two_digits(device.bytes_per_s / 1e9)} GB a second"))
    rows.append(("one operator", human_duration(device.call_s)))
    watts = [
        f"{two_digits(w)} W {what}"
        for w, what in ((device.idle_w, "idle"), (device.busy_w, "busy"))
        if w is not None
    ]
    rows.append(
        ("power", f"{', '.join(watts) or 'not measured'}{f' ({device.energy})' if device.energy else ''}")
    )
    if device.memory_gb is not None:
        rows.append(("memory", f"{device.memory_gb:g} GB"))
    return facts(f"Hardware {device.name}", rows)


def _cell(cost: str, interval: Interval | None, every: Sequence[HardwareForecast], limit: Limit) -> str:
    if interval is None:
        return MISSING
    unit = _unit(cost, every)
    median = median_text(cost, interval, unit=unit, limit=limit).removesuffix(" CO2e")
    return f"{median} ({interval_text(cost, interval, unit=unit, limit=limit, words='')})"


def _medians(
    cost: str,
    interval: Interval | None,
    every: Sequence[HardwareForecast],
    most: float,
    epochs: Interval | None,
) -> str:
    limit = Limit.of(epochs, most)
    return median_text(cost, interval, unit=_unit(cost, every), limit=limit).removesuffix(" CO2e")


def _unit(cost: str, every: Sequence[HardwareForecast]) -> str:
    """One unit for a column, by the largest median."""
    found: list[Interval | None] = [getattr(each.forecast, cost) for each in every]
    medians = [interval.median or interval.low or 0.0 for interval in found if interval is not None]
    return unit_of(cost, max(medians, default=0.0) or None)


def _money(money: Money | None) -> str:
    return MISSING if money is None else f"{money_text(money)} ({money_ends(money)})"
