"""Accumulators under torch.distributed: two processes with half of the data each have the value of all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ddp_ranks import SAMPLES, Rank, distributed, values

from foretoll.engine import open_engine

OWN = "samples of its own"


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_two_processes_have_the_value_of_one(tmp_path: Path) -> None:
    rows = list(torch.arange(SAMPLES).split(50))
    expected = values(rows, rows[1::2])
    assert expected.pop(OWN) == SAMPLES + 1
    with open_engine("processes:2") as engine:
        ranks = [Rank(number, 2, str(tmp_path / "meeting")) for number in range(2)]
        results = list(engine.run(distributed, ranks))
    for result in results:
        assert result.error is None, result.traceback
        assert result.value is not None
        found, disagreement = result.value
        # what was gathered is given back: an accumulator goes on with its own samples
        assert found.pop(OWN) == len(torch.cat(rows[result.task.number :: 2])) + 1
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert "record all batches with the same model and layers" in disagreement
