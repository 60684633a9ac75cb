"""How good forecasts of time are without data of the source, out of sample: the block of docs/forecasts.md.

    OMP_NUM_THREADS=1 python benchmarks/no_source.py

The runs of the ledger that ships, each forecast without all runs of its source data set, by what an estimate knows with
the source's data and by what it knows without (`--source none`); intervals as for a data set that the ledger does not
have, each fold calibrated on the others. Writes benchmarks/results/no_source.json and the block of the page; last line:
one JSON object.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections import Counter
from dataclasses import replace
from datetime import date

import numpy as np

from foretoll.forecast.case import OF_SOURCE, OF_STUDIES, without_source
from foretoll.forecast.learned import CostModels, table_key
from foretoll.forecast.reference import reference_held_out, reference_lessons
from foretoll.forecast.regressor import CostModel
from foretoll.measure import describe_hardware
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"
POOLS = {"finetune": "fine-tuning", "scratch": "from scratch", "": "all options together"}
LEVELS = (0.5, 0.8, 0.9)
NEW = "a data set that the ledger does not have"


def main() -> None:
    """Measure, write, say."""
    began = time.perf_counter()
    learned = CostModels(before=reference_lessons())
    found = []
    for pool, name in POOLS.items():
        known = usual_features(learned, pool)
        for sides, features in (("with", known), ("without", without_source(known))):
            found.append({"pool": name, "source": sides, **scored(learned, pool, features)})
    took_s = time.perf_counter() - began
    machine = describe_hardware("cpu")
    head = [
        "learned from",
        "source's data",
        "runs",
        "typical factor",
        *(f"{level:.0%} held" for level in LEVELS),
    ]
    body = [
        [
            str(f["pool"]),
            str(f["source"]),
            f"{f['runs']:,}",
            f"{f['factor']:.2f}",
            *(f"{f[f'{x:g}']:.1%}" for x in LEVELS),
        ]
        for f in found
    ]
    heading = (
        f"`OMP_NUM_THREADS=1 python benchmarks/no_source.py`: {took_s / 60:.1f} min on {machine.cpu}, {machine.cores} "
        f"cores (shared), Python {platform.python_version()}, {date.today()}, seed 0. Typical factor: e to the median "
        "distance of the log steps; censored runs count as censored.\n\n"
    )
    replace_ledger_block(PAGE, "no source", heading + markdown_table(head, body))
    (RESULTS / "no_source.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"minutes": took_s / 60, "found": found}))


def usual_features(learned: CostModels, pool: str) -> frozenset[str]:
    """The commonest set of features of a pool's runs among those that know their source."""
    sets = Counter(
        frozenset(name for name, value in learned.lessons[i].features.items() if value is not None)
        - OF_STUDIES
        for i in learned.in_pool(pool)
        if learned.pool(learned.lessons[i].option) == pool
    )
    return next(known for known, _ in sets.most_common() if known & OF_SOURCE)


def scored(learned: CostModels, pool: str, known: frozenset[str]) -> dict[str, float]:
    """Coverage by level and the typical factor of held-out runs."""
    table, kept = learned.table("epochs", pool, known)
    shipped = reference_held_out().residuals()["epochs"][table_key(pool, known)]
    residuals = np.array([shipped.get(learned.lessons[i].run_id, math.nan) for i in kept])
    model = CostModel(replace(table, held_out=residuals), seed=0)
    told = {f"{level:g}": model.coverage(level, group=NEW) or math.nan for level in LEVELS}
    reached = residuals[~table.censored & np.isfinite(residuals)]
    return {"runs": len(table), "factor": math.exp(float(np.median(np.abs(reached)))), **told}


if __name__ == "__main__":
    main()
