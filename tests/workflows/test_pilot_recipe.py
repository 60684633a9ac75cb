"""A pilot takes the steps of the recipe that is planned: what it sees depends on the recipe as the training does."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foretoll.data import open_data
from foretoll.ledger import Ledger
from foretoll.measure import NoMeter
from foretoll.models import Model, build_model
from foretoll.options import get_option
from foretoll.options.schedule import planned_steps
from foretoll.records import TrainingSettings
from foretoll.workflows import Accounting, estimate, retrain
from foretoll.workflows.context import Update, open_update, seeded
from foretoll.workflows.pilot import SEED, STEPS, Pilot, pilot_signals
from foretoll.workflows.probe import probe_option

CPU = torch.device("cpu")
TARGET = "digits?part=2/2&limit=600&shift=contrast:0.4"
SOURCE = "digits?part=1/2&limit=300"
PLAIN = {"until": 0.99, "batch_size": 8, "lr": 0.003, "max_epochs": 3}


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model("foretoll:cnn?width=4", data=open_data(SOURCE), seed=0)


def make(**recipe: object) -> TrainingSettings:
    return TrainingSettings.model_validate({**PLAIN, **recipe})


def weights(model: Model) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def piloted(model: Model, settings: TrainingSettings) -> Pilot:
    target = open_data(TARGET)
    with seeded(SEED, CPU):
        pilot = Pilot(get_option("finetune"), Update(model, None, target, False, CPU), settings)
        pilot.prepare()
        for _ in range(max(STEPS)):
            pilot.step()
    return pilot


def test_a_pilot_follows_the_schedule_of_the_whole_training(model: Model) -> None:
    settings = make(schedule="linear", warmup=10)
    pilot = piloted(model, settings)
    samples = len(open_data(TARGET).train)
    planned = planned_steps(settings, settings.steps_per_epoch(samples))
    assert pilot._stepper.planned == planned > max(STEPS)
    rate = pilot._stepper.optimizer.param_groups[0]["lr"]
    assert rate == pytest.approx(0.003 * (planned - (max(STEPS) - 1)) / (planned - 10))


def test_a_pilot_has_the_samples_for_steps_on_several_batches(model: Model) -> None:
    pilot = piloted(model, make(accumulate=2, batch_size=4))
    assert len(pilot.part.train) == max(STEPS) * 8
    assert pilot._stepper.steps == max(STEPS)


def test_a_pilot_leaves_what_is_frozen(model: Model) -> None:
    before = weights(model)
    after = weights(piloted(model, make(freeze="backbone")).training.finish())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith(model.head_name) for name in changed)


RECIPES: tuple[dict[str, object], ...] = (
    {"accumulate": 2}, {"clip_norm": 0.01}, {"schedule": "cosine", "max_steps": 30}, {"warmup": 50},
    {"label_smoothing": 0.3}, {"class_weights": {"0": 20.0}}, {"lr_multipliers": {"head": 20.0}},
    {"freeze": ("backbone",)}, {"augment": ("trivial",)}, {"precision": "bf16"}, {"optimizer": "sgd"},
    {"weight_decay": 0.5}, {"betas": (0.5, 0.9)},
)  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: next(iter(recipe)))
def test_what_a_pilot_sees_depends_on_the_recipe(model: Model, recipe: dict[str, object]) -> None:
    update = open_update(model, SOURCE, TARGET, device="cpu")
    plain = pilot_signals(update, "finetune", make())
    assert plain == pilot_signals(update, "finetune", make()), "and on nothing else"
    other = pilot_signals(update, "finetune", make(**recipe))
    assert other["pilot0_loss"] == plain["pilot0_loss"], "before any step all are equal"
    assert other["pilot24_loss"] != plain["pilot24_loss"]


def test_the_probe_takes_the_pilots_steps(model: Model) -> None:
    settings = make(accumulate=2, schedule="cosine", clip_norm=0.1, augment="flip")
    update = open_update(model, SOURCE, TARGET, device="cpu")
    metered = Accounting(energy=NoMeter(), region="DE")
    found = probe_option(get_option("finetune"), update, settings, metered)
    assert found.pilot == pilot_signals(update, "finetune", settings)


def test_forecast_and_run_are_of_one_recipe_and_say_what_nobody_trained_with(model: Model) -> None:
    ledger = Ledger.open()
    settings = make(accumulate=2, schedule="cosine", max_epochs=1)
    told = estimate(
        model,
        SOURCE,
        TARGET,
        settings=settings,
        accounting=Accounting(energy="none", region="DE"),
        ledger=ledger,
    )
    warned = [text for text in told.warnings if text.startswith("no run of the ledger was trained with")]
    assert len(warned) == 1 and "schedule=cosine, accumulate=2" in warned[0]
    run = retrain(
        model,
        SOURCE,
        TARGET,
        settings=settings,
        accounting=Accounting(energy="none", region="DE"),
        ledger=ledger,
    )
    assert run.settings == told.settings
    assert {n: v for n, v in run.signals.items() if "pilot" in n} == {
        n: v for n, v in told.signals.items() if "pilot" in n
    }
    again = estimate(
        model,
        SOURCE,
        TARGET,
        settings=settings,
        accounting=Accounting(energy="none", region="DE"),
        ledger=ledger,
    )
    assert not any(text.startswith("no run of the ledger") for text in again.warnings)
