"""Pilot curves and static scores against curves and means known by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foretoll.errors import DataError, UsageError
from foretoll.indices.pilot import PilotCurve, fit_pilot, pilot_forecast
from foretoll.indices.separability import cape_features
from foretoll.indices.static import mean_log_cost, parameters_times_samples


@pytest.mark.parametrize(
    ("a", "b", "c"), [(0.2, 1.5, 0.7), (0.0, 3.0, 0.25), (1.0, 0.4, 3.0), (0.05, 2.0, 1.0)]
)
def test_a_curve_is_recovered_and_its_crossing_found(a: float, b: float, c: float) -> None:
    t = [0.25, 0.5, 1.0, 1.5, 2.0, 3.0]
    curve = fit_pilot(t, [a + b * x**-c for x in t])
    assert (curve.a, curve.b, curve.c) == pytest.approx((a, b, c), rel=1e-3, abs=2e-3)
    assert curve.residual < 1e-5
    target = a + 0.1 * b
    assert curve.epochs_to(target) == pytest.approx(10 ** (1 / c), rel=1e-2)
    assert curve.loss(2.0) == pytest.approx(a + b * 2.0**-c, rel=1e-4)


def test_noisy_curves_fit_no_worse_than_the_truth() -> None:
    t = np.arange(1, 13) / 4
    rng = np.random.default_rng(0)
    y = 0.3 + 0.8 * t**-0.6 + 0.01 * rng.normal(size=12)
    curve = fit_pilot(t.tolist(), y.tolist())
    assert curve.residual <= math.sqrt(np.mean((y - 0.3 - 0.8 * t**-0.6) ** 2))
    assert curve.epochs_to(0.7) == pytest.approx(0.5 ** (-1 / 0.6), rel=0.1)


def test_epochs_to_a_loss_at_or_below_the_asymptote_is_never() -> None:
    curve = PilotCurve(a=0.5, b=1.0, c=1.0, residual=0.0)
    assert curve.epochs_to(0.5) is None
    assert curve.epochs_to(0.4) is None
    assert curve.epochs_to(0.75) == pytest.approx(4.0)
    assert PilotCurve(0.0, 1.0, 0.01, 0.0).epochs_to(0.5) is None  # 2^100 epochs


def test_a_curve_that_does_not_fall_is_constant() -> None:
    curve = fit_pilot([1, 2, 3, 4], [0.5, 0.6, 0.7, 0.8])
    assert curve.b == pytest.approx(0, abs=1e-12)
    assert curve.a == pytest.approx(0.65)
    assert curve.epochs_to(0.6) is None
    assert curve.epochs_to(0.9) == 0.0


def test_forecast_of_accuracy_and_energy() -> None:
    t = [1.0, 2.0, 3.0, 4.0]
    accuracy = [1 - (0.05 + 0.4 / x) for x in t]
    found = pilot_forecast(t, accuracy, target=0.9, kind="accuracy", epoch_energy_kwh=[0.2, 0.1, 0.1, 0.2])
    assert found.epochs == pytest.approx(8, rel=1e-3)
    assert found.energy_kwh == pytest.approx(8 * 0.15, rel=1e-3)
    assert found.own_energy_kwh == pytest.approx(0.6)
    never = pilot_forecast(t, accuracy, target=0.96, kind="accuracy", epoch_energy_kwh=[0.1])
    assert (never.epochs, never.energy_kwh) == (None, None)
    assert never.own_energy_kwh == pytest.approx(0.1)
    unmeasured = pilot_forecast(t, [1 - x for x in accuracy], target=0.1)
    assert unmeasured.epochs == pytest.approx(8, rel=1e-3)
    assert (unmeasured.energy_kwh, unmeasured.own_energy_kwh) == (None, None)


def test_order_and_unit_of_the_points_do_not_matter() -> None:
    t, y = [1.0, 2.0, 3.0, 5.0], [2.0, 1.4, 1.2, 1.05]
    curve = fit_pilot(t, y)
    turned = fit_pilot(t[::-1], y[::-1])
    steps = fit_pilot([1e4 * x for x in t], y)
    assert turned.epochs_to(1.1) == pytest.approx(curve.epochs_to(1.1), rel=1e-6)
    assert steps.epochs_to(1.1) == pytest.approx(1e4 * curve.epochs_to(1.1), rel=1e-4)  # type: ignore[operator]


def test_bad_curves_are_refused() -> None:
    with pytest.raises(DataError, match="at least 3"):
        fit_pilot([1, 2], [1, 0.5])
    with pytest.raises(DataError, match="at least 3"):
        fit_pilot([1, 1, 2], [1, 1, 0.5])
    with pytest.raises(DataError, match="one value per point"):
        fit_pilot([1, 2, 3], [1, 0.5])
    with pytest.raises(DataError, match="diverged"):
        fit_pilot([1, 2, 3], [1, math.nan, 0.5])
    with pytest.raises(DataError, match="above 0"):
        fit_pilot([0, 1, 2], [1, 0.7, 0.5])
    t, y = [1, 2, 3], [0.5, 0.6, 0.7]
    with pytest.raises(DataError, match="percentages"):
        pilot_forecast(t, y, target=90, kind="accuracy")
    with pytest.raises(UsageError, match="kind"):
        pilot_forecast(t, y, target=0.9, kind="f1")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="epoch_energy_kwh"):
        pilot_forecast(t, y, target=0.9, epoch_energy_kwh=[-1.0])
    with pytest.raises(DataError, match="target"):
        pilot_forecast(t, y, target=math.nan)


def test_static_scores() -> None:
    assert math.exp(mean_log_cost([2.0, 8.0])) == pytest.approx(4.0)
    assert mean_log_cost([0.0, 1.0], floor=math.exp(-4)) == pytest.approx(-2)
    assert parameters_times_samples(11_000_000, 50_000) == 5.5e11
    for wrong in ([], [-1.0], [math.nan], [math.inf], [0.0]):
        with pytest.raises(DataError):
            mean_log_cost(wrong)
    with pytest.raises(DataError, match="floor"):
        mean_log_cost([1.0], floor=0.0)
    with pytest.raises(DataError, match="negative"):
        parameters_times_samples(-1, 5)


def test_probe_features() -> None:
    given = {
        "parameters": 1000,
        "initial_loss": math.e,
        "squared_gradient_norm": 0.0,
        "ntk_trace": 5.0,
        "lr": 0.1,
        "batch_size": 32,
        "samples": 500,
    }
    features = cape_features(**given)  # type: ignore[arg-type]
    assert features.keys() == {f"log_{name}" for name in given}
    assert features["log_initial_loss"] == pytest.approx(1)
    assert features["log_parameters"] == pytest.approx(3 * math.log(10))
    assert math.isfinite(features["log_squared_gradient_norm"])
    with pytest.raises(DataError, match="initial_loss"):
        cape_features(**(given | {"initial_loss": math.nan}))  # type: ignore[arg-type]
