"""Realistic records to lay out: the common case and every awkward one. Invented figures, real shapes."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta

from foretoll.records import (
    Basis,
    Candidate,
    Comparison,
    Coverage,
    DataCard,
    EnergyBasis,
    EnergyComponent,
    Estimate,
    EvalPoint,
    Forecast,
    GradientNorm,
    GridIntensity,
    Hardware,
    IndexValue,
    InferenceCost,
    Interval,
    ModelCard,
    NearRun,
    Outcome,
    PhaseCost,
    Preprocessing,
    Projection,
    Quality,
    Recommendation,
    Run,
    SelfCost,
    Shift,
    StepProbe,
    Toll,
    TrainingSettings,
)

MALICIOUS = '"><script>document.title="owned"</script><img src=x onerror=alert(1)>&'
START = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
DIGITS = tuple(str(digit) for digit in range(10))

ENERGY = EnergyBasis(
    method="power model, 0 % by counter",
    tool="codecarbon 3.3.2",
    components=(
        EnergyComponent(
            name="cpu",
            method="load × TDP",
            energy_kwh=1.1e-5,
            watts=42.0,
            recognised=False,
            detail="AMD EPYC, not in the table of powers: a generic 85 W for 4 cores",
        ),
        EnergyComponent(name="ram", method="constant", energy_kwh=8.0e-6, watts=20.0, detail="flat guess"),
    ),
    counter_share=0.0,
    scope="process",
    relative_low=0.5,
    relative_high=2.2,
    left_out=("cooling (PUE 1.0)", "network", "embodied carbon"),
)
GRID = GridIntensity(
    intensity_kg_per_kwh=0.331, region="DE", level="country", source="CodeCarbon 3.3.2", year=2022
)
HARDWARE = Hardware(
    device="cpu",
    device_name="CPU",
    cpu="AMD EPYC 7B13",
    cores=2,
    memory_gb=15.6,
    platform="Linux-6.1-x86_64",
    torch="2.15.0",
    threads=2,
)
SETTINGS = TrainingSettings(until=0.92, max_epochs=20, seed=1)


def model_card(arch: str = "foretoll:cnn", classes: tuple[str, ...] = DIGITS) -> ModelCard:
    return ModelCard(
        arch=arch,
        family="cnn",
        num_classes=len(classes),
        classes=classes,
        preprocessing=Preprocessing(kind="image", channels=1, size=(8, 8), mean=(0.3,), std=(0.38,)),
        embedding_layer="pool",
        head="head",
        parameters=94_218,
        has_batch_norm=True,
        trained_on="digits",
    )


def data_card(
    name: str = "digits", classes: tuple[str, ...] = DIGITS, shift: tuple[Shift, ...] = (), train: int = 1149
) -> DataCard:
    return DataCard(
        uri=name,
        name=name,
        kind="image",
        shape=(1, 8, 8),
        classes=classes,
        train=train,
        validation=288,
        test=360,
        shift=shift,
    )


def interval(median: float | None, low: float | None, high: float | None) -> Interval:
    return Interval(median=median, low=low, high=high)


def projection(source_classes: int, target_classes: int, per_class: int = 20, seed: int = 0) -> Projection:
    draw = random.Random(seed)
    groups: dict[str, list[tuple[float, float]]] = {"source": [], "target": []}
    labels: dict[str, list[int]] = {"source": [], "target": []}
    for side, number, spread in (("source", source_classes, 0.5), ("target", target_classes, 0.8)):
        for c in range(number):
            angle = 2 * math.pi * c / number + (0.35 if side == "target" else 0)
            radius = 4 if side == "source" else 2.6
            for _ in range(per_class):
                x = radius * math.cos(angle) + draw.gauss(0, spread)
                groups[side].append((x, radius * math.sin(angle) + draw.gauss(0, spread)))
                labels[side].append(c)
    return Projection(
        source=tuple(groups["source"]),
        source_labels=tuple(labels["source"]),
        target=tuple(groups["target"]),
        target_labels=tuple(labels["target"]),
        explained=0.41,
    )


def resque(classes: tuple[str, ...]) -> IndexValue:
    angles = {name: 0.12 + 0.2 * ((7 * i) % len(classes)) / len(classes) for i, name in enumerate(classes)}
    return IndexValue(
        name="resque",
        value=0.212,
        low=0.204,
        high=0.221,
        floor=0.011,
        samples=1149,
        detail=dict(angles),
    )


def estimate(**changes: object) -> Estimate:
    fields: dict[str, object] = {
        "id": "est-0191f3a27c44",
        "created_at": START,
        "model": model_card(),
        "source": data_card(),
        "target": data_card(shift=(Shift(kind="gaussian_noise", level=0.3),)),
        "shift": "distribution",
        "option": "finetune",
        "until": 0.92,
        "settings": SETTINGS,
        "indices": {
            "recoverability_gap": IndexValue(
                name="recoverability_gap", value=0.061, low=0.04, high=0.083, samples=1149
            ),
            "resque": resque(DIGITS),
            "arm": IndexValue(name="arm", value=0.84, low=0.79, high=0.9, floor=0.09, samples=1149),
            "frechet": IndexValue(name="frechet", value=31.4, samples=1149, floor=0.71),
            "preindex": IndexValue(
                name="preindex", value=None, note="needs paired samples: the target has none"
            ),
            "logme": IndexValue(name="logme", value=-0.213, samples=1149),
        },
        "signals": {
            "initial_loss": 1.83,
            "source_loss": 0.052,
            "initial_quality": 0.561,
            "probe_accuracy": 0.859,
            "norm_adapted_accuracy": 0.79,
            "initial_gradient_norm": 6.4,
            "ntk_steps": None,
        },
        "forecast": Forecast(
            epochs=interval(2.4, 1.7, 3.6),
            gradient_norm=interval(3.9, 2.8, 5.5),
            parameter_change=interval(0.0081, 0.0066, 0.0102),
            energy_kwh=interval(2.1e-5, 0.9e-5, 4e-5),
            emissions_kg=interval(7e-6, 3e-6, 1.3e-5),
            duration_s=interval(4.8, 3.3, 7.5),
        ),
        "reach_probability": 0.97,
        "alternatives": {
            "head": Forecast(epochs=interval(None, 14, None)),
            "recalibrate": Forecast(epochs=interval(0.0, 0.0, 0.0), energy_kwh=interval(1e-6, 5e-7, 2e-6)),
            "scratch": Forecast(
                epochs=interval(6.1, 5.0, 7.5),
                energy_kwh=interval(5.3e-5, 4.2e-5, 7.1e-5),
                duration_s=interval(12.4, 10, 15.3),
            ),
        },
        "alternatives_reach": {"head": 0.08, "recalibrate": 0.01, "scratch": 0.99},
        "coverage": Coverage(level=0.9, empirical=0.91, runs=412, method="split conformal"),
        "basis": Basis(
            runs=1412,
            own_runs=12,
            calibration_runs=0,
            nearest=tuple(
                NearRun(
                    run_id=f"ref-{i:04d}",
                    distance=0.11 + 0.024 * i,
                    option="finetune",
                    what=f"cnn, mnist with gaussian noise 0.{i + 1}",
                    outcome=Outcome.REACHED if i != 6 else Outcome.CENSORED,
                    epochs=1.5 + 0.25 * i if i != 6 else 10.0,
                )
                for i in range(8)
            ),
            method="quantile forest on 24 signals, censored runs weighted",
            energy=ENERGY,
            grid=GRID,
            hardware=HARDWARE,
            probe=StepProbe(
                steps=8,
                repeats=3,
                seconds_per_step=0.11,
                seconds_per_step_low=0.1,
                seconds_per_step_high=0.13,
                joules_per_step=1.7,
                seconds_per_evaluation=0.05,
                joules_per_evaluation=0.6,
                gradient_norm_mean=6.1,
            ),
        ),
        "self_cost": SelfCost(duration_s=0.9, energy_kwh=3.1e-6),
        "projection": projection(10, 10),
    }
    return Estimate(**{**fields, **changes})  # type: ignore[arg-type]


def curve(levels: list[float], per_epoch: int = 4) -> tuple[EvalPoint, ...]:
    return tuple(
        EvalPoint(
            step=18 * i,
            epochs=i / per_epoch,
            quality=q,
            loss=1.9 * (1 - q) + 0.05,
            train_loss=1.6 * (1 - q) + 0.03,
        )
        for i, q in enumerate(levels)
    )


def run(**changes: object) -> Run:
    fields: dict[str, object] = {
        "id": "0191f3a2-7c44-7bb1-9d0e-5a2f0c9b1e77",
        "option": "finetune",
        "outcome": Outcome.REACHED,
        "started_at": START,
        "finished_at": START + timedelta(seconds=5),
        "model": model_card(),
        "source": data_card(),
        "target": data_card(shift=(Shift(kind="gaussian_noise", level=0.3),)),
        "settings": SETTINGS,
        "toll": Toll(
            epochs=2.25,
            gradient_norm=4.21,
            parameter_change=0.00793,
            energy_kwh=1.9e-5,
            emissions_kg=6.3e-6,
            duration_s=4.4,
        ),
        "steps": 41,
        "steps_per_epoch": 18,
        "evaluations": 10,
        "trainable_parameters": 94_218,
        "gradient_norm": GradientNorm(mean=4.21, std=1.1, first=6.6, last=3.2, epoch_last=3.3),
        "parameter_change_by_tensor": {
            f"block{i}.{part}": 0.004 + 0.0021 * ((5 * i + len(part)) % 7)
            for i in range(5)
            for part in ("conv.weight", "conv.bias", "norm.weight", "norm.bias")
        },
        "training": PhaseCost(duration_s=4.0, energy_kwh=1.74e-5),
        "evaluation": PhaseCost(duration_s=0.4, energy_kwh=1.6e-6),
        "quality": Quality(metric="accuracy", before=0.561, after=0.928, loss_before=1.83, loss_after=0.24),
        "curve": curve([0.552, 0.701, 0.788, 0.826, 0.861, 0.884, 0.889, 0.903, 0.911, 0.924]),
        "energy": ENERGY,
        "grid": GRID,
        "hardware": HARDWARE,
        "checkpoint": "out/model",
        "tags": ("demo",),
    }
    return Run(**{**fields, **changes})  # type: ignore[arg-type]


def censored_run() -> Run:
    levels = [0.21 + 0.55 * (1 - math.exp(-i / 18)) for i in range(81)]
    return run(
        outcome=Outcome.CENSORED,
        toll=Toll(epochs=20.0, gradient_norm=7.7, parameter_change=0.031, energy_kwh=1.7e-4, duration_s=39.0),
        curve=curve(levels),
        quality=Quality(metric="accuracy", before=0.21, after=0.744),
        grid=None,
    )


def unlikely() -> Estimate:
    """Probably not reached: no upper ends, and a median beyond the budget."""
    return estimate(
        forecast=Forecast(
            epochs=interval(None, 11.5, None),
            gradient_norm=interval(7.1, 4.0, 12.0),
            parameter_change=interval(0.027, 0.015, 0.05),
            energy_kwh=interval(None, 9e-5, None),
            duration_s=interval(None, 21.0, None),
        ),
        reach_probability=0.08,
        warnings=(
            "the nearest run of the ledger is 3.1 away, further than 99 % of its runs are from each other",
        ),
    )


def nothing_known() -> Estimate:
    """No forecast at all, no energy, no grid, no projection."""
    return estimate(
        forecast=Forecast(),
        reach_probability=None,
        indices={},
        signals={},
        alternatives={},
        alternatives_reach={},
        projection=None,
        coverage=Coverage(level=0.9, empirical=None, runs=0, method="none"),
        basis=Basis(runs=0, own_runs=0, calibration_runs=0),
        self_cost=SelfCost(duration_s=0.4, energy_kwh=None),
        warnings=("no run of the ledger has this kind of data: use --calibrate to make some",),
    )


def no_energy() -> tuple[Estimate, Run]:
    """Energy was not measured and nobody named a region."""
    none = EnergyBasis(method="not measured (--energy none)", tool="none")
    world = GRID.model_copy(update={"region": "world", "level": "world", "is_default": True, "year": None})
    base = estimate()
    forecast = base.forecast.model_copy(update={"energy_kwh": None, "emissions_kg": None})
    basis = base.basis.model_copy(update={"energy": none, "grid": world})
    measured = run()
    toll = measured.toll.model_copy(update={"energy_kwh": None, "emissions_kg": None})
    return (
        base.model_copy(update={"forecast": forecast, "basis": basis}),
        measured.model_copy(update={"toll": toll, "energy": none, "grid": world}),
    )


def task_shift() -> Estimate:
    """Another task with 43 classes whose names are long."""
    signs = tuple(f"{i:02d} prohibitory sign, heavy goods vehicles over {i / 2:g} tonnes" for i in range(43))
    return estimate(
        target=data_card("gtsrb", signs, train=26_640),
        shift="task",
        until=0.805,
        settings=SETTINGS.model_copy(update={"until": 0.805}),
        indices={
            "recoverability_gap": IndexValue(name="recoverability_gap", value=0.31, low=0.28, high=0.33),
            "inv_ari": IndexValue(
                name="inv_ari",
                value=0.83,
                low=0.81,
                high=0.85,
                detail={name: 0.4 + 0.012 * ((11 * i) % 43) for i, name in enumerate(signs)},
                missing_classes=signs[:2],
            ),
        },
        signals={"initial_loss": 3.77},
        alternatives={"scratch": Forecast(epochs=interval(2.0, 1.2, 3.0))},
        alternatives_reach={"scratch": 0.99},
        projection=projection(10, 43, per_class=14),
        forecast=Forecast(epochs=interval(2.6, 1.4, 5.2), duration_s=interval(5400.0, 2800.0, 11_000.0)),
    )


def long_names() -> tuple[Estimate, Run]:
    """Names without a single place to break."""
    arch = "their_company.research.vision.models.efficient_backbones_v2:build_large_variant_with_attention"
    name = "warehouse_camera_17_north_entrance_after_the_lamps_were_replaced_2026"
    card = model_card(arch, ("no_defect", "scratched_surface_of_more_than_five_millimetres_length"))
    data = data_card(
        name, card.classes, (Shift(kind="gaussian_noise", level=0.1), Shift(kind="contrast", level=0.5))
    )
    return (
        estimate(
            model=card,
            target=data,
            indices={"resque": resque(card.classes)},
            projection=projection(2, 2),
        ),
        run(model=card, target=data),
    )


def malicious() -> tuple[Estimate, Run]:
    """Text from files that would run if it were not escaped."""
    classes = (MALICIOUS, "</svg><script>alert(2)</script>", "{{ 7 * 7 }}", "javascript:alert(3)")
    card = model_card(f"x{MALICIOUS}", classes)
    data = data_card(MALICIOUS, classes)
    grid = GRID.model_copy(update={"region": MALICIOUS})
    bad = estimate(
        model=card,
        source=data,
        target=data,
        option=MALICIOUS,
        indices={
            MALICIOUS: IndexValue(name=MALICIOUS, value=0.1, note=MALICIOUS, missing_classes=(MALICIOUS,)),
            "resque": resque(classes),
        },
        signals={MALICIOUS: 1.0},
        warnings=(MALICIOUS,),
        projection=projection(4, 4),
        alternatives={MALICIOUS: Forecast(epochs=interval(1.0, 0.5, 2.0))},
    )
    return bad, run(
        model=card,
        source=data,
        target=data,
        outcome=Outcome.FAILED,
        reason=MALICIOUS,
        grid=grid,
        parameter_change_by_tensor={MALICIOUS: 0.5},
    )


def candidate(
    option: str, median: float | None, quality: float, reach: float, **changes: object
) -> Candidate:
    """One option at a median energy in kWh, with ends at a third and at three times."""
    costs = {
        name: interval(median * factor, median * factor / 3, median * factor * 3)
        for name, factor in (("energy_kwh", 1.0), ("duration_s", 2e5), ("emissions_kg", 0.331))
        if median is not None
    }
    fields: dict[str, object] = {
        "model": "source",
        "option": option,
        "forecast": Forecast(epochs=interval(2.4, 1.7, 3.6), **costs),
        "quality": interval(quality, quality - 0.05, min(quality + 0.04, 1.0)),
        "reach_probability": reach,
        "trainable_parameters": 970,
        "training_state_bytes": 1_111_976,
        "changes_weights": option not in ("keep", "reprogram"),
        "inference": InferenceCost(
            batch_size=64,
            samples=3072,
            repeats=3,
            seconds_per_1000=0.08,
            seconds_per_1000_low=0.07,
            seconds_per_1000_high=0.09,
            energy_kwh_per_1000=6.8e-7,
        ),
    }
    return Candidate.model_validate(fields | changes)


def comparison(**changes: object) -> Comparison:
    """Six options of one model: one out of reach, one that cannot be used, one over budget."""
    fields: dict[str, object] = {
        "id": "cmp-0191f3a27c44",
        "created_at": START,
        "source": data_card(),
        "target": data_card(shift=(Shift(kind="gaussian_noise", level=0.3),)),
        "shift": "distribution",
        "models": {"source": model_card()},
        "until": 0.92,
        "settings": SETTINGS,
        "budget": "50mg",
        "candidates": (
            candidate("keep", 3e-7, 0.31, 0.0, on_front=True),
            Candidate(
                model="source", option="recalibrate", why_not="cnn has no batch-norm statistics; use head"
            ),
            candidate("head", 2e-6, 0.88, 0.41, on_front=True),
            candidate("lora", 9e-6, 0.935, 0.84, on_front=True, warnings=("few runs of lora",)),
            candidate("finetune", 2.1e-5, 0.94, 0.97, on_front=True),
            candidate(
                "scratch", 5.3e-4, 0.93, 0.99, over_budget="175 mg expected, at most 50 mg may be spent"
            ),
        ),
        "recommendation": Recommendation(
            candidate=3,
            reason="lora is predicted to reach 0.92 with probability 84 % and is the cheapest of those with at least "
            "80 %: 9.00 mWh",
            would_change=(
                "head would cost 2.00 mWh, but reaches the target with a probability of only 41 %",
            ),
            confidence=0.8,
        ),
        "energy": ENERGY,
        "grid": GRID,
        "hardware": HARDWARE,
        "self_cost": SelfCost(duration_s=12.0, energy_kwh=4.4e-5),
    }
    return Comparison.model_validate(fields | changes)


def measured_comparison() -> Comparison:
    """The same, carried out: one missed the target, one failed."""
    found = comparison()
    keep, none, head, lora, finetune, scratch = found.candidates
    taken = {"toll": Toll(epochs=2.0, energy_kwh=1.1e-5, duration_s=2.3)}
    done = (
        keep.model_copy(update={"run": censored_run().model_copy(update={"option": "keep"})}),
        none,
        head.model_copy(update={"run": censored_run().model_copy(update={"option": "head"})}),
        lora.model_copy(update={"run": run(option="lora", **taken)}),
        finetune.model_copy(update={"run": run()}),
        scratch.model_copy(update={"failure": "the disk is full: name a folder that has room"}),
    )
    return found.model_copy(update={"candidates": done, "measured_best": 3, "regret": 1.0})


def comparisons() -> dict[str, Comparison]:
    """Every page of a comparison that the tests lay out, by name."""
    nothing = Candidate(model=MALICIOUS, option=MALICIOUS, why_not=MALICIOUS)
    advice = Recommendation(candidate=None, reason=MALICIOUS, would_change=(MALICIOUS,), confidence=0.8)
    two = tuple(
        c.model_copy(update={"model": name}) for name in ("one", MALICIOUS) for c in comparison().candidates
    )
    bare = candidate("head", None, 0.9, 0.5, inference=None).model_copy(update={"quality": None})
    return {
        "forecast": comparison(),
        "measured": measured_comparison(),
        "served": comparison(
            requests=1_000_000,
            candidates=tuple(
                c.model_copy(
                    update={"energy_with_serving_kwh": interval(7e-4, 6e-4, 9e-4) if not c.why_not else None}
                )
                for c in comparison().candidates
            ),
        ),
        "nothing": comparison(candidates=(nothing,), recommendation=advice, models={MALICIOUS: model_card()}),
        "unknown": comparison(
            candidates=(bare,), recommendation=advice, energy=None, grid=None, hardware=None
        ),
        "two": comparison(
            candidates=two,
            models={"one": model_card(), MALICIOUS: model_card(f"x{MALICIOUS}")},
            target=data_card(MALICIOUS),
            warnings=(MALICIOUS,),
        ),
    }


def pages() -> dict[str, tuple[Estimate | None, Run | None]]:
    """Every page that the tests lay out, by name."""
    return {
        "both": (estimate(), run()),
        "estimate": (estimate(), None),
        "run": (None, run()),
        "trained": (
            None,
            run(option="train", source=None, settings=SETTINGS.model_copy(update={"until": None})),
        ),
        "censored": (unlikely(), censored_run()),
        "nothing": (nothing_known(), None),
        "no_energy": no_energy(),
        "task": (task_shift(), None),
        "long": long_names(),
        "malicious": malicious(),
    }


def records(name: str) -> tuple[Estimate | Run | Comparison, ...]:
    """What a page shows."""
    if name.startswith("compare-"):
        return (comparisons()[name.removeprefix("compare-")],)
    return tuple(record for record in pages()[name] if record is not None)
