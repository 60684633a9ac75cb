"""What a forecaster may see of one (model, source, target, option): everything known before any retraining."""

from __future__ import annotations

import math

from foretoll.options.table import LEARNED_APART, OPTIONS, traits_of
from foretoll.records import Outcome, Record, Run

# A cost cannot fall where one of these rises: what is still missing to the target.
RISING = frozenset(
    {
        "gap", "probe_gap", "neighbour_gap", "renormalised_deficit", "deficit", "start_deficit",
        "start_z",
        "pilot8_deficit", "pilot24_deficit", "start_left", "pilot_left", "log_pilot_steps",
    }
)  # fmt: skip
# what studies look at and forecasts for users do not: a backward pass for each sample
OF_STUDIES = frozenset({"log_ntk_steps", "log_ntk_gradient_norm", "log_ntk_trace"})
OF_PAIRS = frozenset({"cka"})  # what nobody can know of a target whose unshifted form is not there
# what nobody can know without labelled data of the source
OF_SOURCE = frozenset({"room", "resque", "doc", "arm", "cka", "log_source_loss"})
OTHER = (
    "option:"  # begins the feature of an option that foretoll does not bring; a case without it has 0 there
)
CLASSIFICATION = "classification"
TASK = "task:"  # begins the feature of any other task; a case without it has 0 there
# Half an evaluation interval at four evaluations an epoch: a run that needed no step gets a finite logarithm.
EPOCH_OFFSET = 0.125
PILOT_STEPS = 24
FeatureValues = dict[str, float | None]


class Case(Record):
    """One planned update; qualities are progress, from 0 (trivial) to 1 (perfect).

    `signals` are those of foretoll.indices.signals; a missing one is None.
    """

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
    until: float  # that the validation data have to show
    max_epochs: float
    task_shift: bool
    signals: dict[str, float | None]
    source_name: str = ""
    target_name: str = ""
    shift_kind: str = ""
    start_quality: float | None = (
        None  # of the first evaluation, on the data that stop the run; None: new outputs
    )
    evals_per_epoch: int = 4
    looked_at: int = 0  # samples of the target that the signals were taken from
    validation_samples: int = 0
    test_samples: int = 0
    model_id: str = ""  # the run that made the source model: runs of one model share what is particular to it
    task: str = "classification"
    wanted: float | None = None  # on unseen data, where that is less than `until`
    weights_digest: str = (
        ""  # of the source model's weights, which tells it also where no run of foretoll made it
    )

    @property
    def margin(self) -> float:
        """How much more the validation data have to show than is wanted on unseen data."""
        return 0.0 if self.wanted is None else self.until - self.wanted

    @property
    def owner(self) -> str:
        """The source model by the surest of its names; empty where it has none."""
        return self.weights_digest or self.model_id

    def same_model(self, other: Case) -> bool:
        """Whether both start from the same weights: by their digests, or the run that made them where one lacks."""
        if self.weights_digest and other.weights_digest:
            return self.weights_digest == other.weights_digest
        return bool(self.model_id) and self.model_id == other.model_id


def starts_as_source(option: str, *, task_shift: bool) -> bool:
    """Whether a run's first evaluation is that of the source model, so that it is known before the run.

    True of every option that reuses the weights (a program starts without effect, adapters at zero), on the same task.
    """
    return traits_of(option).reuses_weights and not task_shift


def case_of(run: Run, *, start_quality: float | None, looked_at: int = 0) -> Case:
    """What may be known before a run, of one that is planned or was carried out.

    `start_quality`: progress of the source model on the data that stop the run. `looked_at`: samples of the target
    behind the signals.
    """
    per_epoch = run.steps_per_epoch or run.settings.steps_per_epoch(run.target.train)
    return Case(
        option=run.option,
        family=run.model.family,
        arch=run.model.arch,
        has_batch_norm=run.model.has_batch_norm,
        parameters=run.model.parameters,
        num_classes=len(run.target.classes),
        train_samples=run.target.train,
        steps_per_epoch=per_epoch,
        batch_size=run.settings.samples_per_step,
        lr=run.settings.lr,
        optimizer=run.settings.optimizer,
        until=1.0 if run.settings.until is None else run.settings.progress(run.settings.until),
        wanted=None if run.settings.aim is None else run.settings.progress(run.settings.aim),
        task=run.target.task,
        max_epochs=_budget(run, per_epoch),
        task_shift=run.task_shift,
        signals=run.signals,
        looked_at=looked_at,
        source_name=run.source.name if run.source else "",
        target_name=run.target.name,
        shift_kind="+".join(shift.kind for shift in run.target.shift),
        start_quality=start_quality if starts_as_source(run.option, task_shift=run.task_shift) else None,
        evals_per_epoch=run.settings.evals_per_epoch,
        validation_samples=run.target.validation,
        test_samples=run.target.test,
        model_id=run.model.parent_run_id or "",
        weights_digest=run.model.parent_weights_digest or "",
    )


def _budget(run: Run, steps_per_epoch: int) -> float:
    """Epochs that a run has, or had: one that was given up tells nothing of those that it did not take."""
    budget = run.settings.epoch_budget(steps_per_epoch)
    given_up = run.outcome is Outcome.GIVEN_UP and run.toll.epochs is not None
    return min(run.toll.epochs or budget, budget) if given_up else budget


def case_of_run(run: Run) -> Case | None:
    """The case of a run that was carried out; None where it had no quality target or kept no signals."""
    if run.settings.until is None or run.steps_per_epoch is None or not run.signals:
        return None
    begun = bool(run.curve) and run.curve[0].step == 0
    return case_of(run, start_quality=run.settings.progress(run.curve[0].quality) if begun else None)


def decided(case: Case) -> bool:
    """Whether the first evaluation already meets the target: the update costs that evaluation and nothing more."""
    return case.start_quality is not None and case.start_quality >= case.until


def usable(run: Run) -> bool:
    """Whether a run can teach a forecaster: it ended by reaching its target or by spending its budget."""
    return taught_by(run) is not None


def taught_by(run: Run) -> tuple[Case, FeatureValues] | None:
    """The case of a usable run, and its features; None where it can teach nothing."""
    if not run.outcome.complete:
        return None
    try:
        case = case_of_run(run)
        return None if case is None else (case, features(case))
    except (ArithmeticError, ValueError):  # a valid record of impossible numbers, such as no step in an epoch
        return None


def setting_features(case: Case) -> FeatureValues:
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
        **_option_features(case.option),
        "sgd": float(case.optimizer == "sgd"),
        **({} if case.task == CLASSIFICATION else {TASK + case.task: 1.0}),
    }


def _option_features(option: str) -> FeatureValues:
    """Told apart where several options are learned from together; all of them 0: the default option."""
    told: FeatureValues = {name: float(option == name) for name in LEARNED_APART}
    known = OPTIONS.brings(option) and traits_of(option).in_reference
    return told if known else {**told, OTHER + option: 1.0}


def features(case: Case) -> FeatureValues:
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
        "start_deficit": _minus(case.until, case.start_quality),
        "start_z": _start_z(case),
        "start_luck": _difference(case.start_quality, s.get("initial_quality")),
        "pilot8_deficit": _minus(case.until, s.get("pilot8_quality")),
        "pilot24_deficit": _minus(case.until, s.get("pilot24_quality")),
        "log_pilot24_loss": _log(s.get("pilot24_loss")),
        "pilot_gain": _difference(s.get("pilot24_quality"), s.get("initial_quality")),
        "pilot_speed": _difference(s.get("pilot24_quality"), s.get("pilot8_quality")),
        "log_initial_loss": _log(s.get("initial_loss")),
        "log_initial_gradient_norm": _log(s.get("initial_gradient_norm")),
        "log_pilot_gradient_norm": _log(s.get("pilot_gradient_norm")),
        "room": _difference(s.get("source_quality"), case.until),
        "renormalised_gain": _difference(s.get("renormalised_quality"), s.get("initial_quality")),
        "log_renormalised_loss": _log_ratio(s.get("renormalised_loss"), s.get("initial_loss")),
        "probe_over_neighbours": _difference(s.get("probe_accuracy"), s.get("knn_accuracy")),
        "calibration_error": s.get("calibration_error"),
        "log_travel": math.log(case.lr * case.steps_per_epoch),  # how far an epoch of such steps may go
        "resque": s.get("resque"),
        "inv_ari": s.get("inv_ari"),
        **_size_features(case),
        **_curve_features(case),
        **_score_features(s),
    }


def _size_features(case: Case) -> FeatureValues:
    return {
        "log_samples": math.log(max(case.train_samples, 1)),
        "log_validation": math.log(max(case.validation_samples, 1)),
        "log_evaluation_steps": math.log(max(case.steps_per_epoch / case.evals_per_epoch, 1)),
    }


def _curve_features(case: Case) -> FeatureValues:
    """The pilot's curve extrapolated to the target: errors fall exponentially with the steps, as far as it says."""
    s = case.signals
    q8, q24, start = s.get("pilot8_quality"), s.get("pilot24_quality"), case.start_quality
    told: FeatureValues = {"start_left": None if start is None else _times_too_large(start, case.until)}
    if q24 is None or q8 is None:
        return told
    begun = s.get("initial_quality") or 0.0
    fallen = max(_times_too_large(begun, q24), 1e-3)
    told |= {
        "pilot_left": _times_too_large(q24, case.until),
        "pilot_share": (q24 - begun) / max(case.until - begun, 0.01),
        "log_pilot_steps": math.log(PILOT_STEPS * max(_times_too_large(begun, case.until), 1e-2) / fallen),
        "log_pilot8_loss": _log(s.get("pilot8_loss")),
        "pilot_loss_drop": _log_ratio(s.get("pilot24_loss"), s.get("pilot8_loss")),
    }
    return told


def _times_too_large(quality: float, until: float) -> float:
    """Log of how many times the error at a quality is that at the target."""
    return math.log(max(1 - quality, 1e-3) / max(1 - until, 1e-3))


def _score_features(signals: dict[str, float | None]) -> FeatureValues:
    """Scores of the literature, as they are or as logarithms."""
    plain = ("logme", "leep", "nce", "h_score", "doc", "initial_confidence", "arm", "cka")
    logs = ("ntk_steps", "ntk_gradient_norm", "ntk_trace", "source_loss")
    return {name: signals.get(name) for name in plain} | {f"log_{n}": _log(signals.get(n)) for n in logs}


def without_pilot(names: frozenset[str]) -> frozenset[str]:
    """The features that are known without a training step."""
    return frozenset(name for name in names if "pilot" not in name)


def without_start(names: frozenset[str]) -> frozenset[str]:
    """The features that are known of an option whose first evaluation is not that of the source model."""
    return frozenset(name for name in names if not name.startswith("start_"))


def without_source(names: frozenset[str]) -> frozenset[str]:
    """The features that are known where nobody has labelled data that the model was trained on."""
    return names - OF_SOURCE


def _start_z(case: Case) -> float | None:
    """What is missing at the start, in standard deviations of a quality that is seen on the validation samples."""
    q = case.start_quality
    if q is None:
        return None
    return (case.until - q) / math.sqrt(max(q * (1 - q), 0.01) / max(case.validation_samples, 1))


def _log(value: float | None) -> float | None:
    return None if value is None else math.log(max(value, 1e-6))


def _difference(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a - b


def _log_ratio(a: float | None, b: float | None) -> float | None:
    return None if not a or not b else math.log(a / b)


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


def epochs_within(log_step: float, case: Case) -> float:
    """The epochs of so many steps of a case: from its first evaluation after a step to its budget."""
    return min(max(epochs_of(log_step, case.steps_per_epoch), 1 / case.evals_per_epoch), case.max_epochs)


def at_target(case: Case, until: float) -> Case:
    """The same update with another quality target (progress): what is missing to it is known anew."""
    signals = dict(case.signals)
    gap = signals.get("recoverability_gap")
    if gap is not None:  # the target less what a probe reads off, which is the same
        signals["recoverability_gap"] = gap + until - case.until
    return case.model_copy(update={"until": until, "wanted": None, "signals": signals})
