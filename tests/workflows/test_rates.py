"""The learning rate: the default, the one that was named, what a range test finds, what is told where it destroys."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import foretoll
from foretoll.errors import UsageError
from foretoll.forecast import Forecaster
from foretoll.forecast.reference import reference_runs
from foretoll.ledger import Ledger
from foretoll.measure import NoMeter
from foretoll.options import OPTIONS
from foretoll.options.loop import train_to_target
from foretoll.options.optimizer import KEPT_RATE as KEPT
from foretoll.options.optimizer import OWN_RATE as OWN
from foretoll.records import Estimate, TrainingSettings
from foretoll.report.comparison import rates_text
from foretoll.report.reasons import instead, trains
from foretoll.workflows import Accounting, experience
from foretoll.workflows.context import Update, open_update
from foretoll.workflows.pilot import pilot_signals
from foretoll.workflows.rates import default_rate, range_test, rising, settled
from options.making import blobs, mlp

ACCOUNTING = Accounting("watts:20", region="DE")
CPU = torch.device("cpu")
PLAIN = TrainingSettings(batch_size=16, max_epochs=1, until=0.95)


def trained_elsewhere() -> Update:
    """A network that somebody else trained on the blobs, and the blobs with fewer samples."""
    data = blobs(600)
    model = mlp(data, seed=1)
    settings = TrainingSettings(batch_size=32, max_epochs=12, lr=0.01)
    training = OPTIONS["finetune"].start(model, data, settings, task_shift=False, device=CPU)
    train_to_target(OPTIONS["finetune"], training, settings, meter=NoMeter())
    return open_update(nn.Sequential(training.finish().network), data, blobs(300, seed=1))


@pytest.fixture(scope="module")
def elsewhere() -> Update:
    return trained_elsewhere()


def test_the_default_is_lower_where_weights_of_others_are_moved(elsewhere: Update) -> None:
    card, own = elsewhere.model.card, mlp(blobs()).card
    for option in OPTIONS:
        assert default_rate(option, own, "adam").lr == OWN, "the shipped runs were made with it"
        moved = option in ("finetune", "partial", "lora")
        assert (
            default_rate(option, card, "adam").lr
            == default_rate(option, card, "adamw").lr
            == (KEPT if moved else OWN)
        )
        assert default_rate(option, card, "sgd").lr == OWN
    assert KEPT < OWN
    for arch in ("hf:x", "timm:resnet18", "torchvision:resnet18", "mine:build"):
        assert default_rate("finetune", own.model_copy(update={"arch": arch}), "adam").lr == KEPT


def test_a_named_rate_is_taken_and_settings_that_name_none_leave_it_open(elsewhere: Update) -> None:
    for given, lr, expected in (
        (PLAIN, None, (KEPT, "the default of finetune where the weights were trained elsewhere")),
        (PLAIN.model_copy(update={"lr": 1e-3}), None, (1e-3, "named")),
        (TrainingSettings(until=0.9, lr=0.02), None, (0.02, "named")),
        (TrainingSettings(until=0.9, lr=0.02), 0.1, (0.1, "named")),
    ):
        settings, rate = settled(elsewhere, "finetune", given, lr)
        assert (settings.lr, rate.how) == expected
        again, _ = settled(elsewhere, "scratch", settings)
        assert again.lr == settings.lr, "once settled, it is named"
    assert settled(elsewhere, "scratch", PLAIN)[0].lr == OWN
    assert settled(elsewhere, "head", PLAIN)[1].how == (
        "the default of head; times 10 for the few weights that head trains"
    )
    restored = TrainingSettings.model_validate_json(settled(elsewhere, "lora", PLAIN)[0].model_dump_json())
    assert restored.lr == KEPT


@pytest.mark.parametrize("lr", [0, -1.0, float("nan"), float("inf"), "fast"])
def test_no_learning_rate(elsewhere: Update, lr: object) -> None:
    with pytest.raises(UsageError, match='is no learning rate: give a number above 0, "auto" or None'):
        settled(elsewhere, "finetune", PLAIN, lr)  # type: ignore[arg-type]


def test_a_range_test_finds_a_rate_that_does_not_destroy(elsewhere: Update) -> None:
    rate = range_test(elsewhere, "finetune", PLAIN, around=10.0)
    assert rate.lr < 10.0, "ten is far too high"
    found = pilot_signals(elsewhere, "finetune", PLAIN.model_copy(update={"lr": rate.lr}))
    worse = pilot_signals(elsewhere, "finetune", PLAIN.model_copy(update={"lr": 10.0}))
    assert (found["pilot24_loss"] or 0) < (worse["pilot24_loss"] or float("inf"))
    assert "after 24 steps each" in rate.how
    settings, how = settled(elsewhere, "finetune", PLAIN, "auto")
    assert settings.lr == how.lr
    assert settled(elsewhere, "keep", PLAIN, "auto")[1].how == "the default of keep", "no step is taken by it"


def test_a_range_test_where_every_rate_diverges_says_so(elsewhere: Update) -> None:
    rate = range_test(elsewhere, "finetune", PLAIN, around=1e30)
    assert rate.how == "the lowest of a range test: the loss became infinite at all of them"
    assert rate.lr == 1e29


def test_a_pilot_whose_loss_rises_is_told(elsewhere: Update) -> None:
    signals = pilot_signals(elsewhere, "finetune", PLAIN.model_copy(update={"lr": 1.0}))
    (warning,) = rising(signals, 1.0)
    assert "24 steps at learning rate 1 raised the loss" in warning or "became infinite" in warning
    assert warning.endswith("try --lr 0.1 or --lr auto")
    assert len(warning) < 300
    calm = pilot_signals(elsewhere, "finetune", PLAIN.model_copy(update={"lr": 1e-4}))
    assert rising(calm, 1e-4) == []
    assert rising({}, 1e-3) == rising({"pilot24_loss": 1.0}, 1e-3) == [], (
        "nothing is said of what was not seen"
    )
    assert "became infinite" in rising({"pilot0_loss": 1.0, "pilot24_loss": None}, 1e-3)[0]


# --- what is trained, and what is not ----------------------------------------------------------------


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecasts from a part of the reference ledger: what is tested here does not depend on it."""
    some = tuple(run for run in reference_runs() if run.option in ("finetune", "scratch", "head"))[:60]
    monkeypatch.setattr(experience, "reference_forecaster", lambda own: Forecaster(some, before=own.lessons))


def estimate(ledger: Ledger, **more: object) -> Estimate:
    data = blobs(240, seed=2)
    values: dict[str, object] = {"settings": PLAIN, "accounting": ACCOUNTING, "ledger": ledger, "samples": 60}
    return foretoll.estimate(mlp(data), data, data, **values | more)  # type: ignore[arg-type]


def test_only_the_option_that_was_asked_for_takes_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped: list[str] = []
    for option in OPTIONS.values():
        start = type(option).start

        def noted(self, *args, _start=start, **kwargs):  # type: ignore[no-untyped-def]
            stepped.append(self.name)
            return _start(self, *args, **kwargs)

        monkeypatch.setattr(type(option), "start", noted)
    ledger = Ledger.open(tmp_path / "own.db")
    found = estimate(ledger, option="head", until=0.9999)
    assert set(stepped) == {"head"}
    assert set(found.alternatives) == {"finetune", "scratch"}
    for other in found.alternatives.values():
        assert other.epochs is not None, "forecast all the same, from what is known without a step"
        assert other.duration_s is None, "a step of theirs costs something else than one of the head"
    (scratch, *_) = instead(found).sentences
    assert scratch.startswith("from scratch") and "reuse" not in scratch, "epochs alone would mislead"
    stepped.clear()
    found = estimate(ledger, option="head", also=["partial", "finetune"], until=0.9999)
    assert set(stepped) == {"head", "partial", "finetune"}
    assert found.alternatives["partial"].duration_s is not None
    assert found.alternatives["scratch"].duration_s is None
    stepped.clear()
    foretoll.estimate(
        mlp(blobs(240, seed=2)),
        blobs(240, seed=2),
        blobs(240, seed=2),
        option="head",
        until=0.9999,
        calibrate_for="4runs",
        settings=PLAIN,
        accounting=ACCOUNTING,
        ledger=ledger,
    )
    assert set(stepped) == {"head"}, "nor does calibration train what nobody asked about"


def test_an_alternative_that_cannot_serve_never_stops_the_answer(tmp_path: Path) -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(6))  # no layer that could initialise it anew
            self.head = nn.Linear(6, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x * self.scale)

    data = blobs(240, seed=2)
    found = foretoll.estimate(
        Bare(),
        data,
        data,
        also=["scratch", "recalibrate"],
        until=0.9999,
        settings=PLAIN,
        accounting=ACCOUNTING,
        ledger=Ledger.open(tmp_path / "own.db"),
        samples=60,
    )
    assert found.forecast.epochs is not None
    assert set(found.alternatives_why_not) == {"scratch", "recalibrate"}
    assert "cannot be trained from scratch" in found.alternatives_why_not["scratch"]
    assert not found.alternatives


def test_the_rate_is_in_every_answer(tmp_path: Path) -> None:
    data, ledger = blobs(240, seed=2), Ledger.open(tmp_path / "own.db")
    network = mlp(data).network
    told = foretoll.estimate(
        network, data, data, until=0.9999, settings=PLAIN, accounting=ACCOUNTING, ledger=ledger, samples=60
    )
    assert (told.settings.lr, "trained elsewhere" in told.rate) == (KEPT, True)
    assert f"adam at learning rate {KEPT:g} ({told.rate})" in trains(told).sentences[0]
    run = foretoll.retrain(
        network, data, data, until=0.9999, settings=PLAIN, accounting=ACCOUNTING, ledger=ledger
    )
    assert run.settings.lr == KEPT
    side_by_side = foretoll.compare(
        network,
        data,
        data,
        options=["keep", "head", "finetune", "scratch"],
        until=0.9999,
        settings=PLAIN,
        accounting=ACCOUNTING,
        ledger=ledger,
        samples=60,
        measure=True,
    )
    rates = {c.option: c.lr for c in side_by_side.candidates if not c.why_not}
    assert rates == {"keep": None, "head": OWN, "finetune": KEPT} | (
        {"scratch": OWN} if "scratch" in rates else {}
    )
    assert f"{KEPT:g} (finetune)" in rates_text(side_by_side)
    for candidate in side_by_side.candidates:
        if candidate.run is not None and candidate.lr is not None:
            assert candidate.run.settings.lr == candidate.lr


def test_what_an_optimiser_takes_to_load_is_no_preparation(tmp_path: Path) -> None:
    probe = estimate(Ledger.open(tmp_path / "own.db"), until=0.9999).basis.probe
    assert probe is not None
    assert probe.seconds_of_preparation == 0, "finetune prepares nothing"


def test_the_forecast_stage_is_part_of_what_an_estimate_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from foretoll.measure.meter import EnergyMeter

    running: list[int] = []
    meters: list[EnergyMeter] = []
    start, foretell = EnergyMeter.start, Forecaster.foretell

    def noted(self: EnergyMeter, phase: str = "run") -> None:
        meters.append(self)
        start(self, phase)

    def counted(self, case, **kwargs):  # type: ignore[no-untyped-def]
        running.append(sum(meter.running for meter in meters))
        return foretell(self, case, **kwargs)

    monkeypatch.setattr(EnergyMeter, "start", noted)
    monkeypatch.setattr(Forecaster, "foretell", counted)
    estimate(Ledger.open(tmp_path / "own.db"), until=0.9999)
    assert running and all(count == 1 for count in running)
