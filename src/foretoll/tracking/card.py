"""What a run cost, as model hubs read it: the field `co2_eq_emissions` of a model card, and a paragraph for people.

The field's parts are those of the Hugging Face Hub's documentation ("Displaying carbon emissions for your model"):
emissions in grams of CO2e, source, training_type, geographical_location and hardware_used.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from foretoll.atomic import replacing
from foretoll.errors import UsageError
from foretoll.options.table import traits_of
from foretoll.records import Run
from foretoll.report.words import cost_text, data_name, grid_text, plain
from foretoll.units import human_number

BEGIN, END = "<!-- foretoll: begin -->", "<!-- foretoll: end -->"
_FRONT = re.compile(r"\A---\n(.*?)^---\n", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^co2_eq_emissions:.*\n(?:^[ \t]+.*\n)*", re.MULTILINE)
_PART = re.compile(rf"\n*{re.escape(BEGIN)}.*?{re.escape(END)}\n*", re.DOTALL)


def model_card_fields(run: Run) -> dict[str, float | str]:
    """The parts of `co2_eq_emissions`, in the Hub's units: emissions in grams of CO2e.

    Raises UsageError where the run has no emissions.
    """
    emissions = run.toll.emissions_kg
    if emissions is None:
        raise UsageError(
            f"run {run.id} has no emissions: measure its energy, with accounting=Accounting(energy='auto', region=…)"
        )
    tool = run.energy.tool if run.energy else "unknown meter"
    method = run.energy.method if run.energy else "unknown method"
    hardware = run.hardware
    return {
        "emissions": 1000.0 * emissions,
        "source": f"foretoll ({tool}; {method})",
        "training_type": "fine-tuning" if traits_of(run.option).reuses_weights else "pre-training",
        "geographical_location": run.grid.region if run.grid else "unknown",
        "hardware_used": hardware.device_name if hardware else "unknown",
    }


def log_model_card(run: Run, path: str | Path | None = None) -> str:
    """Write what a run cost into a model card: a folder with README.md, or that file; returns the card's text.

    The field `co2_eq_emissions` of the front matter and the paragraph between foretoll's marks are replaced, anything
    else stays. Without `path` nothing is written. Raises UsageError where the run has no emissions.
    """
    fields = "".join(f"  {name}: {json.dumps(value)}\n" for name, value in model_card_fields(run).items())
    field = f"co2_eq_emissions:\n{fields}"
    file = None if path is None else Path(path)
    if file is not None and (file.is_dir() or file.suffix.lower() != ".md"):
        file = file / "README.md"
    before = file.read_text(encoding="utf-8") if file is not None and file.is_file() else ""
    front = _FRONT.match(before)
    head = _FIELD.sub("", front.group(1)) if front else ""
    body = _PART.sub("\n", before[front.end() :] if front else before).strip("\n")
    part = f"{BEGIN}\n{_paragraph(run)}\n{END}\n"
    text = f"---\n{head}{field}---\n\n" + (f"{body}\n\n" if body else "") + part
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, ".part") as stream:
            stream.write(text.encode())
    return text


def _paragraph(run: Run) -> str:
    toll, quality = run.toll, run.quality
    last = run.curve[-1].quality if run.curve else None
    reached = quality.after if quality is not None and quality.after is not None else last
    costs = [
        f"{run.steps:,} optimisation steps",
        *([f"{human_number(toll.epochs)} epochs"] if toll.epochs is not None else []),
        *(
            cost_text(name, value)
            for name in ("duration_s", "energy_kwh", "emissions_kg")
            if (value := getattr(toll, name)) is not None
        ),
    ]
    where = f" on {data_name(run.target)}" if run.target.uri != "unknown" else ""
    ends = "" if reached is None else f" It ended at {plain(run.settings.metric)} {reached:.3f}."
    basis = run.energy.method if run.energy else "not measured"
    grid = f", {grid_text(run.grid)}" if run.grid else ""
    return (
        f"## Cost of training\n\nThis training{where} took {', '.join(costs)}.{ends} Energy: {basis}{grid}. "
        f"Measured by foretoll (run {run.id})."
    ).replace("\N{NO-BREAK SPACE}", " ")
