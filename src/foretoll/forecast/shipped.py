"""The models that ship, fitted: what a first forecast would else take seconds to make of the runs that ship.

`reference_fits.zip` holds the runs' columns, and of the models those that are asked for first, as many as there is room
for. `foretoll study pack` writes it, and `foretoll study pack reference` writes it anew where the code of a fit has
changed: until then what is stale is not found, and fitted anew by whoever asks (`foretoll.forecast.kept`).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from foretoll.exchange.files import read_runs
from foretoll.forecast.array_archive import ArrayArchive, Arrays, packed_size
from foretoll.forecast.case import OF_PAIRS, OF_STUDIES, without_pilot, without_source, without_start
from foretoll.forecast.kept import SHIPPED
from foretoll.forecast.learned import CostModels
from foretoll.forecast.lesson_columns import Lessons
from foretoll.forecast.lessons import COSTS
from foretoll.forecast.reference import FEWEST, HELD_OUT, RUNS, columns_key, columns_of, held_out_in
from foretoll.options.table import DEFAULT, compared, traits_of

MOST_BYTES = 5_990_000  # of the runs, their residuals and this


def write_fits(folder: Path) -> int:
    """Fit what ships beside the packed runs and residuals of a folder; returns the bytes of the file."""
    packed, residuals = (folder / RUNS.name).read_bytes(), (folder / HELD_OUT.name).read_bytes()
    columns = columns_of(read_runs(folder / RUNS.name))
    learned = CostModels(before=Lessons(columns), held_out=held_out_in(residuals))
    before = ArrayArchive(folder / SHIPPED.name)
    kept: dict[str, Arrays] = {columns_key(packed): columns}
    left = MOST_BYTES - len(packed) - len(residuals) - packed_size(columns)
    for cost, pool, known in tables_by_need(learned):
        name = learned.name_of(cost, pool, known)
        arrays = before.get(name) or learned.fitted(cost, pool, known)  # what is not stale stays
        left -= packed_size(arrays)
        if left < 0:
            break
        kept[name] = arrays
    return before.write(kept)


def tables_by_need(learned: CostModels) -> list[tuple[str, str, frozenset[str]]]:
    """Cost, pool and known features of the models that are asked for most, the first first.

    Every answer has the default option with its pilot, and the times of others that stand beside it without one. Known
    is what is known of several runs but for what only studies look at; the less also of data of one's own, whose
    unshifted form nobody has, or without the source.
    """
    sets: Counter[frozenset[str]] = Counter()
    for lesson in learned.lessons:
        if not lesson.decided and learned.pool(lesson.option, lesson.task) == DEFAULT:
            sets[frozenset(lesson.features) - OF_STUDIES] += 1
    common = [known for known, count in sets.most_common() if count >= FEWEST]
    every = dict.fromkeys(
        less for known in common for less in (known, known - OF_PAIRS, without_source(known))
    )
    found: list[tuple[str, str, frozenset[str]]] = []
    for known in every:
        found += [(cost, DEFAULT, known) for cost in COSTS]
        for pool in compared():
            if pool != DEFAULT:
                begun = traits_of(pool).reuses_weights
                found.append(("epochs", pool, without_pilot(known if begun else without_start(known))))
    return found
