"""A seeded share of the hostile inputs: of every kind one, and not one of them breaks a law."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .laws import BROKEN
from .pool import Worker
from .worker import AREAS, kinds_of

SEED = 9


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One process for all of them: it imports torch once."""
    with Worker() as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("area", AREAS)
def test_no_input_breaks_a_law(worker: Worker, area: str) -> None:
    kinds = kinds_of(area, heavy=False)
    first = sorted(
        {kinds.index(kind) for kind in kinds}
    )  # some stand there several times, to be drawn more often
    orders = [{"area": area, "index": i, "seed": SEED, "heavy": False} for i in first]
    broken = [result for order in orders if (result := worker.run(order))["outcome"] in BROKEN]
    assert not broken, [(r["outcome"], r["what"], r["err"][-400:]) for r in broken]
