"""A model that comes without the data it was trained on: what works, what is left out, and what says so."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, UsageError
from foretoll.forecast import Forecaster
from foretoll.forecast.case import OF_SOURCE, OF_STUDIES, without_pilot, without_source
from foretoll.forecast.learned import known_features, table_key
from foretoll.forecast.reference import FEWEST, reference_held_out, reference_lessons, reference_runs
from foretoll.ledger import Ledger
from foretoll.models import Model, build_model
from foretoll.records import Estimate, Run, TrainingSettings
from foretoll.report import document_of
from foretoll.report.markdown import markdown
from foretoll.tracking.look import open_look
from foretoll.workflows import Accounting
from foretoll.workflows.calibrate import _graded_shifts
from foretoll.workflows.context import open_update
from foretoll.workflows.estimate import case_of_update
from foretoll.workflows.retrain import take_signals

ACCOUNTING = Accounting("watts:20", region="DE")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=1, until=0.8)
NAMES = ("ant", "bee", "cat")


def rows(names: tuple[str, ...] = NAMES, *, shift: float = 0.0, labelled: bool = True) -> TaskData:
    generator = np.random.default_rng(0)
    kinds = np.arange(240) % len(names)
    inputs = generator.normal(size=(240, 6)).astype(np.float32) + shift
    inputs[np.arange(240), kinds] += 3
    return open_data((inputs, np.array(names)[kinds] if labelled else None))


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model("foretoll:mlp?width=8", data=rows(), seed=0)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "runs.db")


class Normed(nn.Module):
    """With batch norm, so that with batches of one sample no other option is forecast beside: nothing is fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.norm(self.first(x)).relu())
        return out


def test_an_estimate_without_a_source_says_what_it_lacks(ledger: Ledger) -> None:
    torch.manual_seed(0)
    found = foretoll.estimate(
        Normed(), None, rows(shift=0.3), option="keep", task=False, accounting=ACCOUNTING, ledger=ledger,
        settings=SETTINGS.model_copy(update={"batch_size": 1}),
    )  # fmt: skip
    assert found.source is None
    assert found.shift == "distribution"
    assert found.forecast.epochs is not None
    assert found.signals.get("source_quality") is None
    assert not {"resque", "arm", "mmd", "frechet", "sliced_wasserstein"} & {
        name for name, value in found.signals.items() if value is not None
    }
    assert found.signals["initial_quality"] is not None
    said = [warning for warning in found.warnings if "no data of the source" in warning]
    assert len(said) == 1
    assert "RESQUE" in said[0]
    assert "not at hand" in markdown(document_of(estimate=found))
    assert Estimate.model_validate_json(found.model_dump_json(by_alias=True)).source is None


def test_none_is_no_source_and_what_needs_no_source_does_not_change(model: Model) -> None:
    target = rows(shift=0.3)
    with_it = take_signals(open_update(model, rows(), target), SETTINGS).signals
    for word in (None, "none", "None"):
        update = open_update(model, word, target)
        assert update.source is None
        without = take_signals(update, SETTINGS).signals
        for name in (
            "initial_quality",
            "probe_accuracy",
            "knn_accuracy",
            "logme",
            "initial_gradient_norm",
            "nce",
        ):
            assert without[name] == with_it[name], name


def without_labels(data: TaskData) -> TaskData:
    """The very same samples."""
    parts = {name: copy.copy(getattr(data, name)) for name in ("train", "validation", "test")}
    for part in parts.values():
        part.labels = None
    return replace(data, card=data.card.model_copy(update={"classes": (), "labelled": False}), **parts)


def test_an_unlabelled_source_still_tells_how_far_the_target_lies(model: Model) -> None:
    update = open_update(model, without_labels(rows()), rows(shift=0.3))
    labelled = take_signals(open_update(model, rows(), rows(shift=0.3)), SETTINGS).signals
    seen = take_signals(update, SETTINGS)
    for name in ("mmd", "frechet", "sliced_wasserstein", "arm"):
        assert seen.signals[name] == labelled[name], name
    assert {seen.signals.get(name) for name in ("resque", "atc", "doc", "source_quality")} == {None}
    assert any("has no labels: the angle of RESQUE, ATC, DoC" in warning for warning in seen.warnings)


@pytest.mark.parametrize("option", ["finetune", "head", "keep"])
def test_a_run_without_a_source_is_carried_out_and_taught(model: Model, ledger: Ledger, option: str) -> None:
    run = foretoll.retrain(
        model, None, rows(shift=0.3), option=option, settings=SETTINGS, accounting=ACCOUNTING, ledger=ledger
    )
    assert run.source is None
    assert run.quality is not None
    assert run.quality.before is not None, "the model serves the target's task already"
    again = ledger.get(run.id)
    assert isinstance(again, Run)
    assert again.signals["initial_quality"] is not None


def test_a_comparison_without_a_source(model: Model, ledger: Ledger) -> None:
    found = foretoll.compare(
        model,
        target=rows(shift=0.3),
        options=["keep"],
        settings=SETTINGS,
        accounting=ACCOUNTING,
        ledger=ledger,
    )
    assert found.source is None
    assert found.shift == "distribution"
    assert found.candidates[0].quality is not None
    assert "not at hand" in markdown(document_of(comparison=found))


def test_a_forecast_without_a_source_is_made_by_what_is_left(model: Model) -> None:
    """Of runs that know their source, by the features that both know; as of a data set that the ledger has not."""
    runs = [run for run in reference_runs() if run.option == "finetune"][:120]
    update = open_update(model, None, rows(shift=0.3))
    case = case_of_update(update, "finetune", SETTINGS, take_signals(update, SETTINGS), {}, 0.5)
    assert case.source_name == ""
    assert not known_features(case) & OF_SOURCE
    forecaster = Forecaster(runs)
    told = forecaster.foretell(case, time_only=True)
    assert told.forecast.epochs is not None
    assert told.forecast.epochs.median is not None
    fitted = forecaster.learned.model("epochs", case)
    assert fitted is not None
    assert fitted.held_out is not None, "out of sample"
    assert not {name for row in fitted.table.rows for name in row} & OF_SOURCE
    assert "" not in fitted.table.groups


@pytest.mark.parametrize(
    ("names", "said", "new"),
    [
        (NAMES, None, False),
        (("cat", "ant"), None, False),
        (("dog", "eel"), None, True),
        (("dog", "eel", "fox"), False, False),
        (NAMES, True, True),
    ],
)
def test_names_of_classes_tell_whether_the_task_is_new(
    model: Model, names: tuple[str, ...], said: bool | None, new: bool
) -> None:
    update = open_update(model, None, rows(names), task=said)
    assert update.task_shift is new
    if not new:
        assert update.target.classes == NAMES


@pytest.mark.parametrize(
    ("names", "said", "error", "words"),
    [
        (("ant", "dog"), None, UsageError, "1 of the model's classes and 1 others"),
        (("dog", "eel"), False, DataError, "2 classes and the model 3 outputs"),
    ],
)
def test_names_that_do_not_tell(
    model: Model, names: tuple[str, ...], said: bool | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        open_update(model, None, rows(names), task=said)


def test_outputs_without_names_are_asked_for(ledger: Ledger) -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(UsageError, match=r"--same-task .* or --task"):
        open_update(network, None, rows())
    assert open_update(network, None, rows(), task=False).target.num_classes == 3
    assert open_update(network, None, rows(("dog", "eel"))).task_shift, "another number of classes is new"


def test_what_cannot_do_without_a_source_says_so(model: Model, ledger: Ledger) -> None:
    target = rows(shift=0.3)
    with pytest.raises(UsageError, match="no usual quality target"):
        foretoll.estimate(model, None, target, accounting=ACCOUNTING, ledger=ledger)
    with pytest.raises(UsageError, match=r"--calibrate.*--source"):
        next(_graded_shifts(open_update(model, None, target), 100))
    with pytest.raises(UsageError, match="no target was named"):
        foretoll.estimate(model, target)


def test_a_loop_of_ones_own_trains_the_outputs_that_it_has() -> None:
    """Where nobody names the source or the task; other numbers of classes are a new task."""
    torch.manual_seed(0)
    same = open_look(Normed(), None, rows(("dog", "eel", "fox")), None)
    assert same.source is None
    assert not same.task_shift
    assert open_look(Normed(), "none", rows(("dog", "eel")), None).task_shift


def test_the_reference_brings_residuals_for_what_is_known_without_a_source() -> None:
    """Held out beforehand for each common set of features without those of the source, with and without a pilot."""
    sets: dict[frozenset[str], int] = {}
    for lesson in reference_lessons():
        if not lesson.decided and lesson.option == "finetune" and lesson.task == "classification":
            known = frozenset(name for name, value in lesson.features.items() if value is not None)
            known -= OF_STUDIES  # which no user's case has
            sets[known] = sets.get(known, 0) + 1
    shipped = reference_held_out().residuals()
    common = [known for known, count in sets.items() if count >= FEWEST]
    assert any(known & OF_SOURCE for known in common)
    for known in map(without_source, common):
        assert not known & OF_SOURCE
        assert len(shipped["epochs"][table_key("finetune", known)]) >= 200
        assert len(shipped["epochs"][table_key("finetune", without_pilot(known))]) >= 200
        assert len(shipped["quality"][table_key("finetune", known)]) >= 200
