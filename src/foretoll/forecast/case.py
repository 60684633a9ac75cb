"""What a forecaster may see of one (model, source, target, option): everything known before any retraining."""

from __future__ import annotations

import math

from foretoll.records import Outcome, Record, Run

# Half an evaluation interval at four evaluations an epoch: a run that needed no step gets a finite logarithm.
EPOCH_OFFSET = 0.125
Features = dict[str, float | None]


class Case(Record):
    """One planned update. `signals` are those of foretoll.indices.signals; a missing one is None."""

    option: str
    family: str
    arch: str
    has_batch_norm: bool
    parameters: int
    num_classes: int
    train_samples: int
    steps_per_epoch: int
    batch_size: int
    lr: float
    optimizer: str
    until: float
    max_epochs: float
    task_shift: bool
    signals: dict[str, float | None]
    source_name: str = ""
    target_name: str = ""
    shift_kind: str = ""
    model_id: str = ""  # the source model: runs of one model share what is particular to it


def case_of_run(run: Run) -> Case | None:
    """The case of a run that was carried out; None where it had no quality target or kept no signals."""
    if run.settings.until is None or run.steps_per_epoch is None or not run.signals:
        return None
    return Case(
        option=run.option,
        family=run.model.family,
        arch=run.model.arch,
        has_batch_norm=run.model.has_batch_norm,
        parameters=run.model.parameters,
        num_classes=len(run.target.classes),
        train_samples=run.target.train,
        steps_per_epoch=run.steps_per_epoch,
        batch_size=run.settings.batch_size,
        lr=run.settings.lr,
        optimizer=run.settings.optimizer,
        until=run.settings.until,
        max_epochs=run.settings.max_epochs,
        task_shift=run.task_shift,
        signals=run.signals,
        source_name=run.source.name if run.source else "",
        target_name=run.target.name,
        shift_kind="+".join(shift.kind for shift in run.target.shift),
        model_id=run.model.parent_run_id or "",
    )


def usable(run: Run) -> bool:
    """Whether a run can teach a forecaster: it ended by reaching its target or by spending its budget."""
    return run.outcome in (Outcome.REACHED, Outcome.CENSORED) and case_of_run(run) is not None


def setting_features(case: Case) -> Features:
    """What is known without looking at data or model: sizes, training settings, the target. Baselines have it too."""
    return {
        "until": case.until,
        "log_error_left": math.log(max(1 - case.until, 1e-3)),
        "log_classes": math.log(max(case.num_classes, 2)),
        "log_lr": math.log(case.lr),
        "log_batch": math.log(case.batch_size),
        "log_steps_per_epoch": math.log(case.steps_per_epoch),
        "log_parameters": math.log(max(case.parameters, 1)),
        "has_batch_norm": float(case.has_batch_norm),
        "task_shift": float(case.task_shift),
        "scratch": float(case.option == "scratch"),
        "sgd": float(case.optimizer == "sgd"),
    }


def features(case: Case) -> Features:
    """The numbers the forecaster learns from, by name; None where a signal is missing.

    Only quantities that keep their meaning from one data set and architecture to the next: shares,
    differences of shares, and logarithms of sizes.
    """
    s = case.signals
    return {
        **setting_features(case),
        "gap": s.get("recoverability_gap"),
        "probe_gap": _minus(case.until, s.get("probe_accuracy")),
        "neighbour_gap": _minus(case.until, s.get("knn_accuracy")),
        "renormalised_deficit": _minus(case.until, s.get("renormalised_quality")),
        "deficit": _minus(case.until, s.get("initial_quality")),
        "pilot8_deficit": _minus(case.until, s.get("pilot8_quality")),
        "pilot24_deficit": _minus(case.until, s.get("pilot24_quality")),
        "log_pilot24_loss": _log(s.get("pilot24_loss")),
        "log_initial_loss": _log(s.get("initial_loss")),
        "log_initial_gradient_norm": _log(s.get("initial_gradient_norm")),
        "log_pilot_gradient_norm": _log(s.get("pilot_gradient_norm")),
        "resque": s.get("resque"),
        "inv_ari": s.get("inv_ari"),
    }


def _log(value: float | None) -> float | None:
    return None if value is None else math.log(max(value, 1e-6))


def _minus(until: float, value: float | None) -> float | None:
    return None if value is None else until - value


def log_steps(epochs: float, steps_per_epoch: int) -> float:
    """The scale on which time to target is learned: log of optimisation steps, with a small offset.

    Steps rather than epochs: a data set of twice the size halves the epochs, not the steps.
    """
    return math.log((epochs + EPOCH_OFFSET) * steps_per_epoch)


def epochs_of(log_step: float, steps_per_epoch: int) -> float:
    """Inverse of `log_steps`, never below 0."""
    return max(math.exp(min(log_step, 50.0)) / steps_per_epoch - EPOCH_OFFSET, 0.0)
