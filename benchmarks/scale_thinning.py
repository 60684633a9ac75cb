"""Whether a sample of many runs of one's own forecasts as well as all of them, on kinds of runs that neither has.

Some source data sets of the reference are taken as a user's, the others ship. The user's runs are repeated with
jittered signals, some kinds often, as people retrain; every fourth kind (data, shift, option) is held out whole.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from foretoll.exchange.files import write_runs
from foretoll.forecast import Case, Forecaster, case_of_run
from foretoll.forecast.case import OF_STUDIES, decided
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.reference import reference_held_out, reference_runs
from foretoll.ledger import Ledger
from foretoll.options.table import DEFAULT
from foretoll.records import Outcome, Run

SOURCES, REPEATED, MODELS, CASES = 0.4, 3000, 24, 120


def split(seed: int) -> tuple[list[Run], list[Run], list[Run]]:
    """Runs that ship, the user's, and those that are held out: of the user's models, of kinds that were not run."""
    rng = random.Random(seed)
    runs = [run for run in reference_runs() if run.option == DEFAULT and _case(run) is not None]
    names = sorted({run.source.name for run in runs if run.source})
    mine = set(rng.sample(names, round(SOURCES * len(names))))
    own = [run for run in runs if run.source and run.source.name in mine]
    kinds = sorted({_kind(run) for run in own})
    held = set(rng.sample(kinds, len(kinds) // 4))
    models = sorted({run.model.parent_run_id or "" for run in own if _kind(run) in held} - {""})
    some = set(rng.sample(models, min(MODELS, len(models))))
    left_out = [run for run in own if _kind(run) in held and run.model.parent_run_id in some]
    reached = [run for run in left_out if run.outcome is Outcome.REACHED]
    return (
        [run for run in runs if run not in own],
        [run for run in own if _kind(run) not in held],
        rng.sample(reached, min(CASES, len(reached))),
    )


def _case(run: Run) -> Case | None:
    """What a user's case would know of a run; None where nothing is to be forecast."""
    case = case_of_run(run)
    if case is None or decided(case):
        return None
    hidden = {name.removeprefix("log_") for name in OF_STUDIES}
    return case.model_copy(update={"signals": {k: v for k, v in case.signals.items() if k not in hidden}})


def _kind(run: Run) -> str:
    shift = ",".join(f"{s.kind} {s.level:g}" for s in run.target.shift)
    return f"{run.source.name if run.source else ''} {run.target.name} {shift} {run.model.family}"


def repeated(own: Sequence[Run], seed: int) -> list[Run]:
    """The user's runs in the order of their days, some kinds again and again."""
    rng = random.Random(seed)
    often = [rng.paretovariate(0.8) for _ in own]
    found = list(own)
    for number, run in enumerate(rng.choices(own, often, k=REPEATED)):
        signals = {k: None if v is None else v * (1 + rng.gauss(0, 0.02)) for k, v in run.signals.items()}
        found.append(run.model_copy(update={"id": f"again{number:07d}", "signals": signals}))
    return found


def score(forecaster: Forecaster, held: Sequence[Run]) -> tuple[float, float, float, float]:
    """The factor by which the median of the epochs is off (median run, 9 of 10), the share in the interval, seconds."""
    began, off, inside = time.process_time(), [], 0
    for run in held:
        case = _case(run)
        told = forecaster.foretell(case, time_only=True).forecast.epochs if case else None
        if case is None or told is None or told.median is None or run.toll.epochs is None:
            continue
        least = 1 / case.evals_per_epoch
        off.append(abs(math.log(max(told.median, least) / max(run.toll.epochs, least))))
        inside += (told.low or 0) <= run.toll.epochs and (told.high is None or run.toll.epochs <= told.high)
    off.sort()
    return (
        math.exp(median(off)),
        math.exp(off[int(0.9 * len(off))]),
        inside / len(off),
        time.process_time() - began,
    )


def section(_: argparse.Namespace) -> list[str]:
    """The table of this part."""
    rows = []
    for seed in (0, 1):
        ships, own, held = split(seed)
        many = repeated(own, seed)
        before, residuals = lessons_of(ships), reference_held_out()
        with tempfile.TemporaryDirectory() as name:
            write_runs(Path(name) / "runs.jsonl", many)
            ledger = Ledger(Path(name) / "ledger.db")
            ledger.import_(Path(name) / "runs.jsonl")
            known = ledger.own_runs().lessons
            how = {
                "none of them": Forecaster(before=before, held_out=residuals),
                f"all {len(many):,}": Forecaster(before=[*before, *lessons_of(many)], held_out=residuals),
                f"a sample of {len(known.lessons):,}, and the case's own model": Forecaster(
                    before=[*before, *known.lessons], held_out=residuals, of_model=known.of_model
                ),
            }
            for which, forecaster in how.items():
                typical, most, inside, seconds = score(forecaster, held)
                rows.append(
                    f"| {seed} | {which} | {len(held)} | {typical:.2f} | {most:.2f} | {inside:.0%} | {seconds:.1f} |"
                )
                print(rows[-1], flush=True)
    return [
        f"Of the reference's sources {SOURCES:.0%} are the user's, whose runs are repeated {REPEATED:,} times with",
        "jittered signals; a quarter of the kinds is held out whole. Fine-tuning runs that reached their target, by",
        "the factor that the median of the epochs is off by.",
        "",
        "| seed | own runs in the fit | held out | median factor | 9 of 10 within | in the 90 % interval | s |",
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |",
        *rows,
        "",
        "s: fits and all forecasts, without reading the ledger.",
    ]
