"""The forecasts that foretoll is measured against: each peer's score through one and the same calibrator.

Every peer is given the settings that anybody knows (sizes, learning rate, target) and its own score. Peers that
train first are marked, and the energy of that training is charged to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from foretoll.forecast.case import Case, FeatureValues, features, setting_features
from foretoll.records import Run

Make = Callable[[Run, Case], FeatureValues]
PILOT_EPOCHS = 1.0
PILOT_STEPS = 24  # of workflows.pilot
LONGEST = 1e4  # epochs; a pilot curve that never arrives


@dataclass(frozen=True)
class Method:
    """A way to forecast: its name, the numbers it may use, and the epochs it trains first."""

    name: str
    make: Make
    is_peer: bool = True
    trains_epochs: float = 0.0
    trains_steps: int = 0
    calibrated: bool = False  # whether intervals and probabilities are scored, which takes longer

    @property
    def trains_first(self) -> bool:
        """Whether real training steps on the target come before the forecast."""
        return bool(self.trains_epochs or self.trains_steps)

    def trained_epochs(self, case: Case) -> float:
        """Epochs of the case's own training that are paid before the forecast."""
        return self.trains_epochs + self.trains_steps / case.steps_per_epoch


def _signals(*names: str) -> Make:
    return lambda run, case: {**setting_features(case), **{n: case.signals.get(n) for n in names}}


def _logged(*names: str) -> Make:
    def make(run: Run, case: Case) -> FeatureValues:
        values = {n: case.signals.get(n) for n in names}
        logs = {f"log_{n}": None if v is None else math.log(max(v, 1e-9)) for n, v in values.items()}
        return {**setting_features(case), **logs}

    return make


def _chosen(*names: str) -> Make:
    return lambda run, case: {**setting_features(case), **{n: features(case)[n] for n in names}}


def _preindex(run: Run, case: Case) -> FeatureValues:
    p, inv_ari = case.signals.get("preindex"), case.signals.get("inv_ari")
    score = None if p is None or inv_ari is None else (p + inv_ari) / (1 + p + inv_ari)
    return {**setting_features(case), "preindex": score}


def _cape(run: Run, case: Case) -> FeatureValues:
    s = case.signals
    norm = s.get("initial_gradient_norm")
    return {
        **setting_features(case),
        "log_loss": _log(s.get("initial_loss")),
        "log_squared_norm": None if norm is None else 2 * math.log(max(norm, 1e-9)),
        "log_trace": _log(s.get("ntk_trace")),
        "log_samples": math.log(case.train_samples),
    }


def _doc(run: Run, case: Case) -> FeatureValues:
    return _predicted_accuracy(case, "doc")


def _atc(run: Run, case: Case) -> FeatureValues:
    return _predicted_accuracy(case, "atc")


def _predicted_accuracy(case: Case, name: str) -> FeatureValues:
    value = case.signals.get(name)
    return {**setting_features(case), name: None if value is None else case.until - value}


def _pilot(run: Run, case: Case) -> FeatureValues:
    """One epoch of the very run that is to be forecast, its validation curve extrapolated by a power law."""
    from foretoll.indices.pilot import pilot_forecast

    progress = run.settings.progress
    points = [
        (p.epochs or 0.0, progress(p.quality)) for p in run.curve if (p.epochs or 0.0) <= PILOT_EPOCHS + 1e-9
    ]
    reached = [at for at, quality in points if quality >= case.until]
    if reached:
        epochs: float | None = reached[0]
    elif len(points) < 4:
        epochs = None
    else:
        found = pilot_forecast(
            [at for at, _ in points[1:]],
            [quality for _, quality in points[1:]],
            target=case.until,
            kind="accuracy",
        )
        epochs = LONGEST if found.epochs is None else min(found.epochs, LONGEST)
    best = max((quality for _, quality in points), default=0.0)
    return {
        **setting_features(case),
        "log_pilot_epochs": None if epochs is None else math.log(epochs + 0.125),
        "pilot_deficit": case.until - best,
    }


def _log(value: float | None) -> float | None:
    return None if value is None else math.log(max(value, 1e-9))


def _foretoll(run: Run, case: Case) -> FeatureValues:
    return features(case)


def _frozen(run: Run, case: Case) -> FeatureValues:
    """What foretoll learns from, without its pilot of a few steps."""
    return {n: v for n, v in features(case).items() if "pilot" not in n}


FORETOLL = Method("foretoll", _foretoll, is_peer=False, trains_steps=PILOT_STEPS, calibrated=True)
FROZEN = Method("foretoll, no pilot steps", _frozen, is_peer=False)
GAP = Method("recoverability gap alone", _chosen("gap"), is_peer=False)
PEERS: tuple[Method, ...] = (
    Method("static (settings only)", lambda run, case: setting_features(case)),
    Method("initial loss", _chosen("log_initial_loss")),
    Method("initial accuracy drop", _chosen("deficit")),
    Method("initial gradient norm", _chosen("log_initial_gradient_norm")),
    Method("RESQUE", _chosen("resque")),
    Method("RESQUE, 1 − ARI", _chosen("inv_ari")),
    Method("PreIndex", _preindex),
    Method("ARM", _signals("arm")),
    Method("LogME", _signals("logme")),
    Method("H-score", _signals("h_score")),
    Method("LEEP", _signals("leep")),
    Method("NCE", _signals("nce")),
    Method("GBC", _signals("gbc")),
    Method("Fréchet", _logged("frechet")),
    Method("MMD", _signals("mmd")),
    Method("sliced Wasserstein", _logged("sliced_wasserstein")),
    Method("DoC", _doc),
    Method("ATC", _atc),
    Method("nearest neighbours", _signals("knn_accuracy")),
    Method("NTK-linearised steps", _logged("ntk_steps")),
    Method("CAPE-style probe", _cape),
    Method("pilot epoch, extrapolated", _pilot, trains_epochs=PILOT_EPOCHS),
)
METHODS: tuple[Method, ...] = (FORETOLL, FROZEN, GAP, *PEERS)
