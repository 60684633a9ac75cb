"""How many runs of the ledger that ships compare source models at equal settings: a block of docs/forecasts.md.

    OMP_NUM_THREADS=1 python benchmarks/source_models.py

Which of several source models is the cheapest for a target shows where only the source differs: the same target data
and target, way of reuse, architecture and training settings, the seed aside. Of a pair of such runs one is the dearer
unless both missed the target or took equally long. Last line: one JSON object.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import combinations

from foretoll.forecast.case import CLASSIFICATION
from foretoll.forecast.reference import reference_runs
from foretoll.options.table import traits_of
from foretoll.research.leave_out import Row, rows_of
from pages import ROOT, markdown_table, replace_ledger_block

PAGE = ROOT / "docs" / "forecasts.md"


def target(row: Row) -> Hashable:
    """The data to be served and the architecture."""
    return row.case.target_name, str(row.run.target.shift), row.case.family


def setting(row: Row) -> Hashable:
    """Everything but the source and the seed."""
    run = row.run
    options = tuple(sorted(run.model.arch_options.items()))
    same = run.settings.model_dump_json(exclude={"seed"})
    return target(row), run.target.uri, row.case.train_samples, row.case.option, run.model.arch, options, same


def compared(rows: Iterable[Row], alike: Callable[[Row], Hashable]) -> tuple[int, int, int]:
    """Pairs of runs that are alike but for their source data, those of which one is the dearer, and their targets."""
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[alike(row)].append(row)
    pairs = [
        pair
        for group in groups.values()
        for pair in combinations(group, 2)
        if pair[0].case.source_name != pair[1].case.source_name
    ]
    told = [
        (a, b)
        for a, b in pairs
        if not (a.censored and b.censored) and (a.censored, a.epochs) != (b.censored, b.epochs)
    ]
    return len(pairs), len(told), len({target(a) for a, _ in told})


def main() -> None:
    """Count, write, say."""
    rows = [
        row
        for row in rows_of(reference_runs(), task=CLASSIFICATION)
        if row.case.source_name != row.case.target_name and traits_of(row.case.option).reuses_weights
    ]
    found = {
        "of one target and architecture": compared(rows, target),
        "at equal settings": compared(rows, setting),
    }
    table = markdown_table(
        ["pairs of runs from two sources", "pairs", "one is the dearer", "targets"],
        [[name, *(f"{count:,}" for count in counts)] for name, counts in found.items()],
    )
    said = (
        f"`OMP_NUM_THREADS=1 python benchmarks/source_models.py`: {len(rows)} runs whose source is another data set "
        "than their target.\n\n"
    )
    replace_ledger_block(PAGE, "source-models", said + table)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
