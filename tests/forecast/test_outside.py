"""The benchmark against runs of others: what it reads of their tables, and laws of what it tells."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = {"base": "bert", "dataset": "emotion"}


@pytest.fixture(scope="module")
def parts() -> Any:
    """The modules of the benchmark."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import outside_curves
        import outside_peers
        import outside_seeds
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return outside_curves, outside_peers, outside_seeds


def _rows(run: int, metric: str, values: list[float], *, first: float = 1.0) -> pd.DataFrame:
    epochs = first + np.arange(len(values))
    return pd.DataFrame({"run": run, "epoch": epochs, "step": 50 * epochs, "metric": metric, "value": values})


def _rising(n: int = 12, top: float = 0.9) -> list[float]:
    return [top - 0.5 * (k + 1.0) ** -1.2 for k in range(n)]


def test_what_is_taken_and_why_the_rest_is_not(parts: Any) -> None:
    curves, _, _ = parts
    values = _rising()
    rows = pd.concat(
        [
            _rows(0, "Accuracy", values),
            _rows(0, "F1", [v - 0.1 for v in values]),  # before accuracy
            _rows(1, "Wer", [100 * (1 - v) + 20 for v in values]),  # in percent
            _rows(2, "Validation Loss", values),
            _rows(3, "Accuracy", values[:9]),
            _rows(4, "Accuracy", values).assign(epoch=1.0),
            _rows(5, "Accuracy", [101 + v for v in values]),
            _rows(6, "F1", [v - 0.1 for v in values]),  # the same as run 0
            _rows(
                7, "Accuracy", [0.2, *values], first=0.0
            ),  # what is known before the first step is left out
        ]
    )
    runs = pd.DataFrame([WORDS | {"run": k, "dataset": None if k == 7 else "emotion"} for k in range(8)])
    taken, why = curves.curves_of(runs, rows)
    assert [curve.run for curve in taken] == [0, 1, 7]
    assert sum(why.values()) == 5 and all(count == 1 for count in why.values())
    np.testing.assert_allclose(taken[0].progress, np.array(values) - 0.1)
    np.testing.assert_allclose(taken[1].progress, np.array(values) - 0.2, atol=1e-9)
    assert taken[0].steps_per_epoch == 50 and taken[2].data is None and len(taken[2].epochs) == 12
    np.testing.assert_allclose(curves.family_weights(taken), [0.5, 0.5, 1.0])


def _curve(parts: Any, progress: list[float], **more: Any) -> Any:
    epochs = np.arange(1.0, len(progress) + 1)
    known = {"run": 0, "base": "bert", "data": "emotion", "kind": "F1", "steps_per_epoch": 50} | more
    return parts[0].Curve(epochs=epochs, progress=np.array(progress), **known)


def test_a_view_knows_its_beginning_alone(parts: Any) -> None:
    curves, peers, _ = parts
    view, _, later = curves.views([_curve(parts, _rising(20))])
    assert (view.seen, later.seen, view.now, view.left) == (2, 8, 2.0, 18.0)
    assert view.curve.time_to(view.best) == 2.0 and view.curve.time_to(1.0) is None
    assert view.evaluated(0.1) == 1.0 and view.evaluated(3.0) == 3.0 and view.evaluated(99.0) == 18.0
    other = _curve(parts, [*_rising(20)[:8], *([0.99] * 12)])
    hidden = next(v for v in curves.views([other]) if v.share == later.share)
    for name, method in peers.POINTS.items():
        assert method(later, 0.95) == method(hidden, 0.95), name


def test_what_is_told_keeps_its_laws(parts: Any) -> None:
    from foretoll.forecast.live import shipped

    curves, peers, _ = parts
    posterior = peers.CurvePosterior(draws=400, futures=100)
    for view in curves.views([_curve(parts, _rising(20))]):
        for method in (peers.live(shipped().alone), posterior):
            told = method(view, 0.88)
            assert told.final.shape == told.left.shape == peers.LEVELS.shape
            assert (np.diff(told.final) >= -1e-12).all() and (np.diff(told.left) >= -1e-12).all()
            assert told.final[0] >= view.best and told.final[-1] <= 1
            assert told.left[0] > 0 and told.left[-1] <= view.left + 1e-9
            assert method(view, view.best / 2).left is None


def test_the_power_law_finds_its_own(parts: Any) -> None:
    curves, peers, _ = parts
    curve = _curve(parts, [0.9 - 0.5 * t**-1.2 for t in range(1, 41)])
    last = list(curves.views([curve]))[-1]
    told = peers.POINTS["power law"](last, 0.99 * curve.final)
    assert told.final == pytest.approx(curve.final, abs=1e-3)
    assert last.now + told.left == pytest.approx(curve.time_to(0.99 * curve.final), abs=1.01)


def test_a_spread_is_that_of_unrelated_curves(parts: Any) -> None:
    curves, peers, _ = parts
    shift = {"a": 0.0, "b": 0.05, "c": 0.05}
    made = [
        _curve(parts, _rising(20, 0.8 + up), run=k, base=base, data=base)
        for k, (base, up) in enumerate(shift.items())
    ]
    seen = [view for view in curves.views(made) if view.share == 0.4]
    points = [peers.Point(view.curve.final - (0.1 if view.curve.base == "a" else 0.0), 5.0) for view in seen]
    told = peers.with_spread(points, seen, [0.99] * 3, [5.0] * 3)
    assert told[0].final == pytest.approx(
        np.full(99, max(points[0].final, seen[0].best))
    )  # the others had no error
    assert told[1].final[-1] > seen[1].curve.final  # the first was told too little
    np.testing.assert_allclose(told[0].left, 5.0)


def test_pairs_of_seeds(parts: Any) -> None:
    seeds = parts[2]
    pairs = seeds.Pairs.of([[10.0, 20.0], [4.0], [8.0, math.inf]])
    assert pairs.settings == 2 and len(pairs.values) == 4 and len(pairs.met) == 2
    assert pairs.factor(0.5) == pytest.approx(2.0) and pairs.one_missed == 0.5
    assert pairs.held(2.0) == 1.0 and pairs.held(1.9) == 0.0 and pairs.held(1.95, step=1.0) == 1.0


def test_the_censored_model_tells_times_of_a_law(parts: Any) -> None:
    """Epochs that fall with the batch size's logarithm: told for a batch size that was left out."""
    seeds = parts[2]
    rows = pd.DataFrame(
        [
            {
                "batch_size": 2**b,
                "run": run,
                "progress": p,
                "epoch": math.ceil(math.exp(0.4 * b + 3 * p + 0.1 * run)),
            }
            for b in range(3, 9)
            for run in range(3)
            for p in (0.2, 0.4, 0.6)
        ]
    )
    rows["epoch"] = rows.epoch.where(rows.epoch <= 150, math.inf)
    told = seeds.time_models(rows)["the censored model"]
    assert told.factor < 1.2 and told.held > 0.8


def test_the_traces_are_read(parts: Any, shared_dir: Path) -> None:
    curves, _, seeds = parts
    folder = shared_dir / "traces"
    if not (folder / "cards_curves.parquet").is_file():
        pytest.skip("../shared holds no traces")
    zeus = seeds.read_zeus(folder)
    assert set(zeus.dataset) == set(seeds.TASKS) and zeus.progress.between(0, 1).all()
    runs = pd.read_parquet(folder / "cards_runs.parquet").head(200)
    rows = pd.read_parquet(folder / "cards_curves.parquet")
    taken, why = curves.curves_of(runs, rows[rows.run.isin(runs.run)])
    assert len(taken) + sum(why.values()) == len(runs) and len(taken) > 20
    assert all(curve.progress.min() >= 0 and curve.progress.max() <= 1 for curve in taken)
