"""Checks of what was typed that load nothing heavy: a call that is wrong is refused within a second."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    device: str,
    energy: str,
    region: str | None,
    pue: float | None,
    intensity: float | None,
    year: int | None,
    options: Sequence[str] = (),
    engine: str = "local",
    hardware: Sequence[str] = (),
    price: Sequence[str] | None = None,
    budget: str | None = None,
    calibrate: str | None = None,
    allowances: Sequence[str] = (),
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
    check_device_name(device)
    meter_named(energy)
    if engine != "local":
        from foretoll.engine.opening import check_engine

        check_engine(engine)
    if hardware:
        from foretoll.measure.machines import machines

        machines(hardware)
    from foretoll.decide.money import Price

    prices = Price.several(price)
    if budget is not None:
        from foretoll.decide.budget import Limit

        Limit.parse(budget, prices=prices)
    if calibrate is not None:
        from foretoll.decide.spending import Budget

        Budget.parse(calibrate)
    if allowances:
        from foretoll.decide.allowance import Allowance

        for allowance in Allowance.several(allowances, prices):
            allowance.check_meter(energy)
    parsed = [parse_uri(with_scheme(uri)) for uri in data]
    grid_intensity(region, pue=pue, intensity_g_per_kwh=intensity, year=year)
    check_out(out)
    for model in models:
        check_named(model, weights)
    for uri in parsed:
        check_there(uri)
