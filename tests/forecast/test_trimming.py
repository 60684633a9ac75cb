"""The curve of a packed run: short, in order, and the time to the target what it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foretoll.forecast.reference import reference_runs
from foretoll.forecast.trimming import MOST_POINTS, WHOLE_EPOCHS, thinned, trimmed
from foretoll.records import EvalPoint, TrainingSettings

PER_EPOCH = 4
CURVES = st.lists(st.floats(0, 1), min_size=1, max_size=120).map(
    lambda qualities: tuple(
        EvalPoint(step=5 * i, epochs=i / PER_EPOCH, quality=q, loss=1.23456 / (i + 1))
        for i, q in enumerate(qualities)
    )
)


@given(CURVES, st.floats(0.01, 1))
def test_a_thinned_curve_keeps_its_beginning_its_end_and_when_the_target_was_met(
    curve: tuple[EvalPoint, ...], until: float
) -> None:
    settings = TrainingSettings(until=until, evals_per_epoch=PER_EPOCH)
    kept = thinned(curve, settings)
    first = [point for point in curve if (point.epochs or 0) <= WHOLE_EPOCHS]
    assert list(kept[: len(first)]) == first
    assert kept[-1] == curve[-1]
    assert len(kept) <= len(first) + MOST_POINTS + 2
    assert [point.step for point in kept] == sorted({point.step for point in kept})

    def met(points: tuple[EvalPoint, ...]) -> float | None:
        return next((point.epochs for point in points if settings.meets(point.quality)), None)

    assert met(kept) == met(curve)
    by_step = {point.step: point for point in curve}
    for point in kept:
        assert abs(point.quality - by_step[point.step].quality) <= 0.00051
    assert thinned(kept, settings) == kept


def test_runs_that_ship_are_trimmed_already() -> None:
    for run in reference_runs()[::50]:
        assert trimmed(run) == run


def test_no_folder_of_a_machine_ships() -> None:
    """Of a transformer the architecture and the tokeniser are folders; of what was read, its text."""
    run = reference_runs()[0]
    folder = "/home/someone/models/encoder"
    preprocessing = run.model.preprocessing.model_copy(
        update={"kind": "text", "tokenizer": folder, "origin": f"{folder}/preprocessor_config.json"}
    )
    read = {"arch": f"hf:{folder}?max_length=32", "trained_on": f"parquet:{folder}/old.parquet?part=1/4"}
    notes = {
        "preprocessing": preprocessing,
        "reading": f"from {folder}",
        "notes": (f"{folder} lacks a head",),
    }
    kept = trimmed(run.model_copy(update={"model": run.model.model_copy(update=read | notes)}))
    assert "/home" not in kept.model_dump_json()
    assert kept.model.arch == "hf:encoder?max_length=32" and kept.model.preprocessing.tokenizer == "encoder"
    assert kept.model.trained_on == "parquet:old.parquet?part=1/4"
    assert trimmed(kept) == kept
