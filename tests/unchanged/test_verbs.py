"""A public verb leaves the process and the network of its user as they were, also where that network fails."""

from __future__ import annotations

import gc
import math
import random
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import foretoll
from foretoll.records import Run

from . import verbs
from .state import changes, of_network, of_process, places_of
from .verbs import BATCHES, CALLING, HOW, OTHERS, WITHIN, Calls, OwnError, Verb, Yard

# of torch, where somebody hooks a layer in front of which all is frozen
pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")
LOOPS = ("track", "tracked")  # which the user drives


@pytest.fixture(scope="module", autouse=True)
def _nothing_frozen() -> Iterator[None]:
    """The collector as a user has it: of what the tests froze, their number changes as objects end."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    how = HOW | {"ledger": str(tmp_path_factory.mktemp("run") / "ledger.db")}
    return foretoll.train("foretoll:mlp?width=4", verbs.blobs(), **how)


@pytest.fixture
def _settings_of_a_user() -> Iterator[None]:
    """A process in which little is at its default."""
    limit, printed = sys.getrecursionlimit(), np.get_printoptions()
    numpy_errors = np.seterr(under="warn")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_float32_matmul_precision("high")
    torch.set_printoptions(precision=3)
    np.set_printoptions(precision=2)
    sys.setrecursionlimit(limit + 7)
    yield
    sys.setrecursionlimit(limit)
    np.set_printoptions(**printed)
    torch.set_printoptions(profile="default")
    torch.set_float32_matmul_precision("highest")
    torch.use_deterministic_algorithms(False)
    np.seterr(**numpy_errors)


def test_every_public_name_is_a_value_or_is_tried() -> None:
    tried = CALLING.keys() | OTHERS.keys() | WITHIN.keys()
    assert verbs.public() == tried, "a new verb has its call in tests/unchanged/verbs.py"
    assert set(WITHIN.values()) <= CALLING.keys() | OTHERS.keys()


@pytest.mark.usefixtures("_settings_of_a_user")
class TestUnchanged:
    """The laws."""

    @pytest.mark.parametrize("name", OTHERS)
    def test_a_verb_without_a_network(self, name: str, tmp_path: Path, run: Run) -> None:
        yard = Yard(tmp_path, run)
        check(name, yard, yard)

    @pytest.mark.parametrize("name", CALLING)
    def test_a_verb_and_its_network(self, name: str, tmp_path: Path, run: Run) -> None:
        numbers = count()

        def yard(most: float) -> Yard:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            return Yard(folder, run, Calls(most))

        whole = yard(math.inf)
        check(name, whole, yard(math.inf))
        if name.startswith("Session."):
            return  # the verbs themselves
        most = whole.calls.made // 2 if name in LOOPS else min(3, whole.calls.made - 1)
        looked = whole.calls.made - BATCHES if name in LOOPS else most
        check(name, yard(most), yard(max(most - looked, 0)))


def check(name: str, yard: Yard, plain: Yard) -> None:
    """Process and network are as before; after a loop, as after `plain`, the same without foretoll."""
    _seed()
    if name in LOOPS:
        _call(lambda yard: yard.loop("plain"), plain)
    before, expected = of_process(), of_network((plain if name in LOOPS else yard).network)
    places = places_of(yard.network)
    _seed()
    _call((CALLING | OTHERS)[name], yard)
    assert changes(before, of_process()) == []
    assert changes(expected, of_network(yard.network)) == [] and places_of(yard.network) == places


def _seed() -> None:
    random.seed(11)
    np.random.seed(11)
    torch.manual_seed(11)


def _call(verb: Verb, yard: Yard) -> None:
    """Call it; what the network raises comes through as it is, or as the cause of a sentence that has its words."""
    if yard.calls.most == math.inf:
        verb(yard)
        return
    with pytest.raises((OwnError, foretoll.ForetollError), match="mine") as caught:
        verb(yard)
    error: BaseException | None = caught.value
    while error is not None and not isinstance(error, OwnError):
        error = error.__cause__
    assert isinstance(error, OwnError)
    # at once: a loop goes on where it was only looked at before
    assert yard.calls.made <= yard.calls.most + (BATCHES if isinstance(caught.value, OwnError) else 1)
