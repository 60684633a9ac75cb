"""What the rule of decision costs over the ledger that ships: every setting of which five options or more were run.

    OMP_NUM_THREADS=1 python benchmarks/decisions.py

Each option of a setting is forecast by what is learned without the setting's data set (or without its kind of shift),
`foretoll.decide.recommend` chooses among them, and the runs say what the choice cost. The energy of a step is taken
from the run itself, as a probe of real steps would have told it. Writes benchmarks/results/decisions.json and a block
of docs/compare.md. Last line: one JSON object.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from foretoll.decide import recommend
from foretoll.forecast.case import CLASSIFICATION, decided
from foretoll.forecast.reference import reference_runs
from foretoll.records import Candidate, Forecast, Interval
from foretoll.research.leave_out import Row, rows_of, splits_of
from foretoll.research.peers import FORETOLL
from foretoll.research.score import forecast_left_out
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

SPLITS = ("data sets", "kinds of shift")
FEWEST_OPTIONS = 5
Choose = Callable[[Sequence["Told"]], "Told | None"]


@dataclass(frozen=True)
class Told:
    """One option of a setting: what was foretold of it, and what it took."""

    option: str
    reach: float
    told_kwh: float
    kwh: float
    reached: bool


def settings_left_out(name: str) -> list[list[Told]]:
    """The settings with enough options, forecast without their own fold of the split."""
    rows = rows_of(reference_runs(), task=CLASSIFICATION)
    split = next(split for split in splits_of(rows) if split.name == name)
    found = forecast_left_out(rows, split, FORETOLL)
    assert found.reach is not None
    settings: dict[str, list[Told]] = defaultdict(list)
    for i, median, reach in zip(found.rows, found.median, found.reach, strict=True):
        row, kwh = rows[i], rows[i].run.toll.energy_kwh
        if kwh is None:
            continue
        first = 1 / row.case.evals_per_epoch
        epochs = min(max(median, first), row.case.max_epochs)
        told = kwh if decided(row.case) else kwh * epochs / max(row.epochs, first)
        settings[_setting(row)].append(Told(row.case.option, float(reach), told, kwh, not row.censored))
    return [options for options in settings.values() if len(options) >= FEWEST_OPTIONS]


def _setting(row: Row) -> str:
    case, run = row.case, row.run
    same = (
        case.source_name,
        case.target_name,
        case.arch,
        run.model.arch_options,
        run.target.shift,
        case.until,
    )
    return repr(
        (*same, case.lr, case.batch_size, case.train_samples, case.validation_samples, case.max_epochs)
    )


def by_rule(options: Sequence[Told]) -> Told | None:
    """What `foretoll compare` recommends; the target itself plays no part in it but in the words."""
    chosen = recommend([_candidate(one) for one in options], until=0.9).candidate
    return None if chosen is None else options[chosen]


def _candidate(one: Told) -> Candidate:
    energy = Interval(median=one.told_kwh, low=one.told_kwh, high=one.told_kwh)
    forecast = Forecast(energy_kwh=energy)
    return Candidate(model="model", option=one.option, forecast=forecast, reach_probability=one.reach)


def always(option: str) -> Choose:
    """A team that always does the same."""
    return lambda options: next((one for one in options if one.option == option), None)


def likeliest(options: Sequence[Told]) -> Told | None:
    """The option that is likeliest to reach the target, at any price."""
    return max(options, key=lambda one: one.reach)


def figures(settings: Sequence[Sequence[Told]], choose: Choose) -> dict[str, Any]:
    """Of the settings where some option reached: how often one was chosen, how often it missed, and the regret."""
    reachable = [options for options in settings if any(one.reached for one in options)]
    chosen = [(options, one) for options in reachable if (one := choose(options)) is not None]
    regrets = [
        one.kwh / min(other.kwh for other in options if other.reached)
        for options, one in chosen
        if one.reached
    ]
    return {
        "reachable": len(reachable),
        "chosen": len(chosen),
        "missed": sum(not one.reached for _, one in chosen),
        "regret_median": float(np.median(regrets)),
        "regret_mean": float(np.mean(regrets)),
        "regret_90": float(np.quantile(regrets, 0.9)),
        "within_a_tenth": float(np.mean(np.array(regrets) <= 1.1)),
    }


RULES: dict[str, Choose] = {
    "foretoll's rule": by_rule,
    "the likeliest, at any price": likeliest,
    **{f"always {option}": always(option) for option in ("finetune", "lora", "partial", "head", "scratch")},
}


def main() -> None:
    """Decide, compare, write."""
    forecast = dict(
        zip(SPLITS, Parallel(n_jobs=2)(delayed(settings_left_out)(name) for name in SPLITS), strict=True)
    )
    found = {
        name: {rule: figures(forecast[name], choose) for rule, choose in RULES.items()} for name in SPLITS
    }
    head = ["", "settings", "chosen", "missed", "median regret", "mean", "90 % quantile", "within a tenth"]
    parts = []
    for name in SPLITS:
        rows = [
            [
                rule,
                str(f["reachable"]),
                str(f["chosen"]),
                f"{f['missed']} ({f['missed'] / f['chosen']:.0%})",
                *(f"{f[key]:.2f}" for key in ("regret_median", "regret_mean", "regret_90")),
                f"{f['within_a_tenth']:.0%}",
            ]
            for rule, f in found[name].items()
        ]
        parts.append(f"Left out: {name}\n\n{markdown_table(head, rows)}")
    replace_ledger_block(ROOT / "docs" / "compare.md", "decisions", "\n\n".join(parts))
    (RESULTS / "decisions.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({name: found[name]["foretoll's rule"] for name in SPLITS}))


if __name__ == "__main__":
    main()
