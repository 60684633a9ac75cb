"""A run as the ledger that ships keeps it: what forecasts read, and its curve at a size that thousands of runs bear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from foretoll.records import EvalPoint, ModelCard, Run, TrainingSettings

WHOLE_EPOCHS = 1.0  # of a curve are kept as they were seen: what a run that trains an epoch first knows
MOST_POINTS = 16  # of the rest of a curve
DIGITS = 3  # of the values there


def trimmed(run: Run) -> Run:
    """A run without what no forecast reads: per-tensor changes, folders, the energy's parts, most of its curve."""
    energy = run.energy.model_copy(update={"components": ()}) if run.energy else None
    source = run.source.model_copy(update={"uri": _without_folder(run.source.uri)}) if run.source else None
    return run.model_copy(
        update={
            "parameter_change_by_tensor": {},
            "checkpoint": None,
            "curve": thinned(run.curve, run.settings),
            "energy": energy,
            "lineage": (),
            "source": source,
            "target": run.target.model_copy(update={"uri": _without_folder(run.target.uri)}),
            "model": _model_without_folders(run.model),
        }
    )


def _model_without_folders(model: ModelCard) -> ModelCard:
    """A model whose files may lie in a folder: of transformers the configuration and the tokeniser do."""
    tokenizer = model.preprocessing.tokenizer
    preprocessing = model.preprocessing.model_copy(
        update={"tokenizer": tokenizer and Path(tokenizer).name, "origin": ""}
    )
    return model.model_copy(
        update={
            "arch": _without_folder(model.arch),
            "trained_on": model.trained_on and _without_folder(model.trained_on),
            "preprocessing": preprocessing,
            "reading": "",
            "notes": (),
        }
    )


def thinned(curve: Sequence[EvalPoint], settings: TrainingSettings) -> tuple[EvalPoint, ...]:
    """A curve with its first epoch, the first point that met the target and its end whole, and few points between.

    These lie evenly in log steps; their values have three significant digits, but where rounding would take one over
    the target.
    """
    met = next((i for i, point in enumerate(curve) if settings.meets(point.quality)), None)
    if settings.until is None:
        met = None
    whole = {
        i
        for i, point in enumerate(curve)
        if (point.epochs or 0.0) <= WHOLE_EPOCHS + 1e-9 or i in (met, len(curve) - 1)
    }
    between = [i for i in range(len(curve)) if i not in whole]
    if len(between) > MOST_POINTS:
        steps = np.log([max(curve[i].step, 1) for i in between])
        wanted = np.linspace(steps[0], steps[-1], MOST_POINTS)
        between = sorted({between[int(np.abs(steps - at).argmin())] for at in wanted})
    return tuple(curve[i] if i in whole else _rounded(curve[i], settings) for i in sorted({*whole, *between}))


def _rounded(point: EvalPoint, settings: TrainingSettings) -> EvalPoint:
    values = {
        name: float(f"{value:.{DIGITS}g}")
        for name in ("quality", "loss", "train_loss", "duration_s")
        if (value := getattr(point, name)) is not None
    }
    if settings.meets(values["quality"]) != settings.meets(point.quality):
        values["quality"] = point.quality
    return point.model_copy(update=values)


def _without_folder(uri: str) -> str:
    """The URI with the file's name alone: where a machine keeps its data is nobody's business."""
    scheme, colon, rest = uri.partition(":")
    path, mark, query = rest.partition("?")
    return f"{scheme}{colon}{path.rsplit('/', 1)[-1]}{mark}{query}"
