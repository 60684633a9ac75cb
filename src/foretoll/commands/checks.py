"""Checks of what was typed that load nothing heavy: a call that is wrong is refused within a second."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foretoll.arguments import (
    check_device_name,
    check_out,
)
from foretoll.errors import UsageError, shown
from foretoll.options.table import get_option
from foretoll.tasks import check_metric

if TYPE_CHECKING:
    from foretoll.commands.flags import MeasuringFlags
    from foretoll.records import TrainingSettings

READ_VARIABLES = ("FORETOLL_LEDGER", "FORETOLL_DATA", "FORETOLL_REGION", "FORETOLL_PUE", "XDG_DATA_HOME")


def check_texts(words: Sequence[str]) -> None:
    """Refuse words and variables that are no text: bytes that the machine's encoding does not know.

    They could be opened but neither stored in a ledger nor shown.
    """
    for what, text in (
        *(("the argument", word) for word in words),
        *((name, os.environ.get(name, "")) for name in READ_VARIABLES),
    ):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{what} {shown(text)} is no UTF-8 text: rename what it names, or set a UTF-8 locale"
            ) from None


def check_call(
    *,
    data: Sequence[str],
    settings: TrainingSettings,
    measuring: MeasuringFlags,
    options: Sequence[str] = (),
    models: Sequence[str] = (),
    weights: Path | None = None,
    out: Path | None = None,
) -> None:
    """Refuse what can be known to be wrong of a call before anything is opened.

    Raises UsageError for names, ranges and data URIs, MeasureError for the grid, ForetollError for the folder;
    ModelError and DataError for files that are not there.
    """
    from foretoll.data.presence import check_there
    from foretoll.data.uri import parse_uri, with_scheme
    from foretoll.measure.grid import grid_intensity
    from foretoll.measure.opening import meter_named
    from foretoll.models.named import check_named

    for option in options:
        get_option(option)
    check_metric(settings.metric)
    check_device_name(measuring.device)
    meter_named(measuring.energy)
    parsed = [parse_uri(with_scheme(uri)) for uri in data]
    grid_intensity(
        measuring.region, pue=measuring.pue, intensity_g_per_kwh=measuring.intensity, year=measuring.year
    )
    check_out(out)
    for model in models:
        check_named(model, weights)
    for uri in parsed:
        check_there(uri)


def check_costs(
    *,
    energy: str,
    engine: str = "local",
    hardware: Sequence[str] = (),
    price: Sequence[str] | None = None,
    amounts: Mapping[str, str | None] | None = None,
    calibrate: str | None = None,
    allowances: Sequence[str] = (),
) -> None:
    """Refuse, in the same way, what is said of costs: where they arise, what they may be and what they are in money.

    amounts: of one cost each, by the flag that they were given as.
    """
    if engine != "local":
        from foretoll.engine.opening import check_engine

        check_engine(engine)
    if hardware:
        from foretoll.measure.machines import machines

        machines(hardware)
    from foretoll.decide.money import Price

    prices = Price.several(price)
    for what, amount in (amounts or {}).items():
        if amount is not None:
            from foretoll.decide.budget import Limit

            Limit.parse(amount, what, prices=prices)
    if calibrate is not None:
        from foretoll.decide.spending import Budget

        Budget.parse(calibrate)
    if allowances:
        from foretoll.decide.allowance import Allowance

        for allowance in Allowance.several(allowances, prices):
            allowance.check_meter(energy)
