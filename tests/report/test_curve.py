"""Other targets, budgets and the curve: tables, a sentence and a picture of the same numbers."""

from __future__ import annotations

import re
from types import ModuleType

import numpy as np
import pytest
from pydantic import ValidationError

from foretoll.forecast.quality_curve import QualityCurve
from foretoll.forecast.step_costs import StepCosts
from foretoll.records import (
    SHARES,
    BudgetForecast,
    CurveKnee,
    Estimate,
    Forecast,
    ForecastCurve,
    StepProbe,
    TargetForecast,
)
from foretoll.records.evaluations import EvaluationSchedule
from foretoll.report import estimate_table, read_estimate, write_json
from foretoll.report.curve import budgets_table, curve_figure, knee_line, targets_table
from foretoll.report.document import texts
from foretoll.report.markdown import markdown
from foretoll.report.terminal import as_text
from foretoll.report.update_document import update_document

PROBE = StepProbe(
    steps=30, repeats=3, seconds_per_step=0.02, seconds_per_step_low=0.018, seconds_per_step_high=0.025,
    joules_per_step=0.8, seconds_per_evaluation=0.1, joules_per_evaluation=3.0,
)  # fmt: skip
TARGETS = (0.6, 0.7, 0.8, 0.9, 0.92, 0.95)
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def a_curve(dearer: float = 1.0) -> ForecastCurve:
    """Cheap up to 0.9, then dear; 0.95 is probably never reached."""
    medians = np.array([0.0, 0.5, 1.0, 2.0, 9.0, 20.0]) * dearer
    factors = np.array([0.4, 0.7, 1.0, 1.5, 2.5])
    epochs = QualityCurve(
        np.array(TARGETS),
        np.array(LEVELS),
        np.minimum(medians[:, None] * factors, 20.0),
        np.array([1.0, 0.99, 0.97, 0.9, 0.6, 0.2]),
    )
    energy = epochs.in_cost(_steps())
    knee = epochs.knee()
    assert knee is not None
    return ForecastCurve(
        targets=TARGETS,
        levels=LEVELS,
        reach=tuple(epochs.reach),
        epochs=tuple(map(tuple, epochs.costs)),
        energy_kwh=tuple(map(tuple, energy.costs)),
        knee=CurveKnee(
            quality=knee.quality, epochs=knee.cost, highest=knee.highest, highest_epochs=knee.highest_cost
        ),
    )


def _steps() -> StepCosts:
    found = StepCosts.of_energy(PROBE, EvaluationSchedule(18, 4))
    assert found is not None
    return found


def asked(examples: ModuleType, *options: str) -> Estimate:
    """An estimate with curves, two targets and three budgets."""
    names = options or ("finetune",)
    curves = {name: a_curve(1 + 0.5 * i) for i, name in enumerate(names)}
    targets, budgets = [], []
    for name, record in curves.items():
        curve = QualityCurve.of(record, "epochs", SHARES)
        assert curve is not None
        for until in (0.8, 0.92):
            forecast = Forecast(epochs=curve.to_target(until))
            targets.append(
                TargetForecast(
                    option=name, until=until, reach_probability=curve.reaches(until), forecast=forecast
                )
            )
        for epochs in (2.0, 50.0):
            budgets.append(
                BudgetForecast(
                    option=name, budget=f"{epochs:g} epochs", cost="epochs", most=epochs,
                    quality=curve.for_budget(epochs), reach_probability=curve.probability(0.8, epochs),
                    whole=epochs > 20,
                )
            )  # fmt: skip
    unknown = BudgetForecast(
        option="finetune",
        budget="2 h",
        cost="duration_s",
        most=7200.0,
        why_not="the duration of a step was not measured here",
    )
    found: Estimate = examples.estimate(
        option="finetune", until=0.8, curves=curves, targets=tuple(targets), budgets=(*budgets, unknown)
    )
    return found


def test_every_medium_holds_targets_budgets_and_the_knee(examples: ModuleType) -> None:
    estimate = asked(examples)
    document = update_document(estimate)
    terminal = re.sub(r"\s+", " ", as_text(estimate_table(estimate), width=120))
    page = markdown(document)
    for text in ("accuracy 0.92", "2 epochs", "50 epochs", "was not measured here", "Knee"):
        assert text in terminal and text in page
    assert "Quality against energy" in page


def test_the_tables_say_what_the_records_hold(examples: ModuleType) -> None:
    estimate = asked(examples)
    targets, budgets = targets_table(estimate), budgets_table(estimate)
    assert targets is not None and budgets is not None
    assert [row.cells[0] for row in targets.rows] == ["accuracy 0.80", "accuracy 0.92"]
    assert list(targets.rows[0].cells[1:]) == ["97 %", "1.0 (0.40 … 2.5)"]
    assert "≥ 20" in targets.rows[1].cells[2]
    assert [row.cells[0] for row in budgets.rows] == ["2 epochs", "50 epochs", "2 h"]
    assert "--max-epochs" in budgets.rows[1].note and "not measured" in budgets.rows[2].note
    assert targets_table(examples.estimate()) is None and budgets_table(examples.estimate()) is None


def test_the_knee_is_said_in_one_sentence_or_not_at_all(examples: ModuleType) -> None:
    [sentence] = knee_line(asked(examples)).sentences
    assert "up to accuracy 0.900: about 2.0 epochs" in sentence and "Wh" in sentence
    assert not knee_line(examples.estimate()).sentences
    straight = a_curve().model_copy(update={"knee": None})
    assert not knee_line(examples.estimate(curves={"finetune": straight})).sentences


@pytest.mark.parametrize(
    "options", [("finetune",), ("finetune", "head", "a-name-that-is-much-too-long-to-show")]
)
def test_the_picture_has_its_numbers_as_a_table(examples: ModuleType, options: tuple[str, ...]) -> None:
    figure = curve_figure(asked(examples, *options))
    assert figure is not None and figure.numbers is not None
    assert figure.svg.count("<polygon") == figure.svg.count("<polyline") >= len(options)
    assert len(figure.numbers.rows) == 6 * len(options) and "Wh" in figure.numbers.rows[0].cells[0]
    assert "nan" not in figure.svg and "band" in figure.caption
    assert (len(figure.legend) == len(options)) if len(options) > 1 else not figure.legend
    assert all(text for text in texts(figure))
    xs = [float(x) for x in re.findall(r'<line x1="([\d.-]+)"', figure.svg)]
    assert xs and min(xs) >= 0 and max(xs) <= 400


def test_without_energy_the_picture_is_against_epochs(examples: ModuleType) -> None:
    record = a_curve().model_copy(update={"energy_kwh": None})
    figure = curve_figure(examples.estimate(curves={"finetune": record}))
    assert figure is not None and figure.title == "Quality against epochs"
    assert curve_figure(examples.estimate()) is None


def test_an_older_estimate_is_read_and_a_new_one_comes_back(examples: ModuleType, tmp_path) -> None:  # type: ignore[no-untyped-def]
    estimate = asked(examples)
    assert read_estimate(write_json(tmp_path / "new.json", estimate)) == estimate
    old = examples.estimate()
    data = old.model_dump_json(by_alias=True, exclude={"curves", "targets", "budgets"})
    (tmp_path / "old.json").write_text(data)
    assert read_estimate(tmp_path / "old.json") == old


def test_a_curve_of_the_wrong_size_is_refused() -> None:
    good = a_curve().model_dump()
    for changes in (
        {"reach": good["reach"][:-1]},
        {"epochs": good["epochs"][:-1]},
        {"energy_kwh": [row[:-1] for row in good["energy_kwh"]]},
        {"targets": ()},
    ):
        with pytest.raises(ValidationError):
            ForecastCurve.model_validate(good | changes)
