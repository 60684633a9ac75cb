"""The models that ship: those of a fresh fit, found by a first forecast, refused where they are stale."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foretoll.forecast
from foretoll.forecast import Case, Forecaster, case_of_run, kept, learned
from foretoll.forecast.array_archive import ArrayArchive
from foretoll.forecast.case import OF_STUDIES, decided
from foretoll.forecast.kept import OF_MODELS, OF_RUNS, SHIPPED, ArrayStore
from foretoll.forecast.learned import CostModels
from foretoll.forecast.model_arrays import model_from
from foretoll.forecast.reference import (
    RUNS,
    columns_key,
    columns_of,
    reference_held_out,
    reference_lessons,
    reference_runs,
)
from foretoll.forecast.shipped import tables_by_need
from foretoll.options.table import DEFAULT
from foretoll.records import Run

ROOM = Path(foretoll.forecast.__file__).parent
STALE = "the fits that ship are of other code or other runs: foretoll study pack reference"


@pytest.fixture(scope="module")
def models() -> CostModels:
    return CostModels(before=reference_lessons(), held_out=reference_held_out())


def users_case(runs: list[Run]) -> Case:
    """A case as a user's: of nobody's model, without what only studies look at."""
    every = (case_of_run(run) for run in runs if run.option == DEFAULT)
    case = next(c for c in every if c is not None and not decided(c) and c.start_quality is not None)
    signals = {name: value for name, value in case.signals.items() if f"log_{name}" not in OF_STUDIES}
    return case.model_copy(update={"signals": signals, "model_id": "", "weights_digest": ""})


def test_what_ships_is_of_this_code_and_these_runs(models: CostModels) -> None:
    names = [models.name_of(*table) for table in tables_by_need(models)]
    assert columns_key(RUNS.read_bytes()) in ArrayArchive(SHIPPED).names(), STALE
    assert ArrayArchive(SHIPPED).names() - {columns_key(RUNS.read_bytes())} == set(names), STALE


def test_the_columns_that_ship_are_those_of_the_runs() -> None:
    shipped = ArrayArchive(SHIPPED).get(columns_key(RUNS.read_bytes()))
    fresh = columns_of(reference_runs())
    assert shipped is not None and set(shipped) == set(fresh)
    for name, array in fresh.items():
        np.testing.assert_array_equal(shipped[name], array)


def test_a_model_that_ships_is_that_of_a_fresh_fit(models: CostModels) -> None:
    """To rounding: other threads add up in another order, and may split a node by a feature that says the same."""
    cost, pool, known = wanted = tables_by_need(models)[1]  # of a cost that is fitted in seconds
    shipped, fresh = ArrayArchive(SHIPPED).get(models.name_of(*wanted)), models.fitted(*wanted)
    assert shipped is not None, STALE
    assert set(shipped) == set(fresh)
    for name, array in fresh.items():
        assert shipped[name].dtype == array.dtype
        if name.startswith(("trees ", "spread ")):
            continue
        if array.dtype.kind == "f":
            np.testing.assert_allclose(shipped[name], array, rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_array_equal(shipped[name], array)
    table, _ = models.table(cost, pool, known)
    one, other = (model_from(table, arrays) for arrays in (shipped, fresh))
    for part in ("location", "scale"):
        of_all = [
            [
                getattr(told, part)
                for told in model.predict_all(table.rows, table.owners, table.groups, [False] * len(table))
            ]
            for model in (one, other)
        ]
        np.testing.assert_allclose(*of_all, rtol=1e-6)


def test_a_stale_model_is_not_found_and_fitted_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model of other code, here one that says something else, is passed over; of this code it would be taken."""
    runs = list(reference_runs())[:400]
    case, fresh = users_case(runs), CostModels(runs)
    key = ("epochs", fresh.pool(DEFAULT), learned.known_features(case))
    arrays = fresh.fitted(*key)
    wrong = {**arrays, "ridge": arrays["ridge"] + 1.0}
    said = {}
    for name, code in (("this", OF_MODELS), ("other", (*OF_MODELS, "case"))):
        monkeypatch.setattr(learned, "OF_MODELS", code)
        ArrayArchive(tmp_path / f"{name}.zip").write({fresh.name_of(*key): wrong})
        monkeypatch.setattr(learned, "OF_MODELS", OF_MODELS)
        store = ArrayStore(None, tmp_path / f"{name}.zip")
        said[name] = Forecaster(runs, store=store).foretell(case).forecast.epochs
    own = Forecaster(runs).foretell(case).forecast.epochs
    assert said["other"] == own != said["this"]


@pytest.fixture(scope="module")
def few() -> tuple[list[Run], Case, str]:
    """A few runs, a case, and what a forecaster that keeps nothing says of it."""
    runs = list(reference_runs())[:100]
    case = users_case(list(reference_runs()))
    return runs, case, repr(Forecaster(runs).foretell(case))


@pytest.mark.parametrize("damage", [None, b"", b"no archive"], ids=["absent", "empty", "text"])
def test_without_the_file_forecasts_are_the_same(
    tmp_path: Path, damage: bytes | None, few: tuple[list[Run], Case, str]
) -> None:
    if damage is not None:
        (tmp_path / "fits.zip").write_bytes(damage)
    runs, case, fresh = few
    store = ArrayStore(None, tmp_path / "fits.zip")
    assert repr(Forecaster(runs, store=store).foretell(case)) == fresh


FIRST = """
import sys
from foretoll.forecast import Case
from foretoll.forecast.reference import reference_forecaster
import foretoll.forecast.learned, foretoll.forecast.reference
def refuse(*a, **k): raise AssertionError("a first forecast fits and parses nothing")
foretoll.forecast.learned.CostModels._fit = foretoll.forecast.reference.read_runs = refuse
told = reference_forecaster().foretell(Case.model_validate_json(sys.argv[1]))
assert told.quality is not None and told.forecast.gradient_norm is not None
print(sorted({"scipy", "pandas", "sklearn"} & set(sys.modules)))
"""


def test_a_first_forecast_fits_nothing_and_parses_no_run(tmp_path: Path) -> None:
    case = users_case(list(reference_runs())).model_copy(update={"source_name": "of one's own"})
    environment = os.environ | {"FORETOLL_CACHE": str(tmp_path)}
    call: list[Any] = [sys.executable, "-c", FIRST, case.model_dump_json()]
    said = subprocess.run(call, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"
    assert list(tmp_path.iterdir()) == [], "nothing had to be kept"


def test_the_data_that_ship_with_forecasts_stay_small() -> None:
    sizes = {
        path.name: path.stat().st_size for path in ROOM.iterdir() if path.suffix in (".gz", ".zip", ".json")
    }
    assert SHIPPED.name in sizes
    assert sum(sizes.values()) <= 6_000_000, sizes


def _imported(module: str) -> set[str]:
    """Modules of this room that a module imports."""
    tree = ast.parse((ROOM / f"{module}.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[2] for name in names if name.startswith("foretoll.forecast.")}


@pytest.mark.parametrize(
    ("modules", "apart"),
    [(OF_MODELS, {"case", "predictive", "student"}), (OF_RUNS, {"survival"})],
    ids=["models", "runs"],
)
def test_a_key_holds_all_code_that_what_it_names_is_made_by(
    modules: tuple[str, ...], apart: set[str]
) -> None:
    assert kept.key_of("k", modules) != kept.key_of("k", modules[1:])
    assert set().union(*map(_imported, modules)) <= {*modules, *apart}
