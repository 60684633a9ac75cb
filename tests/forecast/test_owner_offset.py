"""Runs of a model that are no part of a fit move its forecasts as they would have, had they been."""

from __future__ import annotations

import pytest

from foretoll.forecast import Case, Forecaster, case_of_run
from foretoll.forecast.case import decided
from foretoll.forecast.learned import CostModels
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import Lesson, lessons_of
from foretoll.forecast.owner_offset import teach_owner
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.regressor import CostModel


def of_a_model() -> tuple[list[Lesson], Case]:
    """Some lessons, among them those of the model that has most of them, and a case of that model."""
    runs = [run for run in reference_runs() if run.option == "finetune"][:150]
    cases = [case for run in runs if (case := case_of_run(run)) is not None and not decided(case)]
    owners = [case.model_id for case in cases if case.model_id]
    most = max(dict.fromkeys(owners), key=owners.count)
    return lessons_of(runs), next(case for case in cases if case.model_id == most)


def test_the_offset_is_that_of_a_fit() -> None:
    lessons, case = of_a_model()
    learned = CostModels(before=lessons)
    for cost in ("epochs", "parameter_change"):
        table, kept = learned.table(cost, "", frozenset({"until", "log_lr", "gap"}))
        model = CostModel(table)
        mine = [i for i, position in enumerate(kept) if lessons[position].model_id == case.model_id]
        wanted = model.point.offsets.pop(case.model_id)
        teach_owner(model, table.take(mine), case.model_id)  # type: ignore[arg-type]
        assert len(mine) > 3 and model.point.offsets[case.model_id] == pytest.approx(wanted, abs=1e-9)


def test_a_forecast_is_told_the_models_own_runs_after_the_fit() -> None:
    lessons, case = of_a_model()
    own = [lesson for lesson in lessons if lesson.same_model(case)]
    others = [lesson for lesson in lessons if lesson not in own]
    plain = Forecaster(before=others).foretell(case)
    asked: list[str] = []

    def of_model(asking: Case) -> Lessons:
        asked.append(asking.model_id)
        return Lessons.of(own if asking.model_id == case.model_id else [])

    forecaster = Forecaster(before=others, of_model=of_model)
    told = forecaster.foretell(case)
    assert told.own_runs == len(own) and plain.own_runs == 0 and set(asked) == {case.model_id}
    assert told.forecast != plain.forecast
    again = forecaster.foretell(case)
    assert repr(again) == repr(told) and len(asked) == 1, "read once"
    another = case.model_copy(update={"model_id": "another"})
    nobodys = case.model_copy(update={"model_id": ""})
    assert forecaster.foretell(another).forecast == forecaster.foretell(nobodys).forecast == plain.forecast
