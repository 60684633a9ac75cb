"""The survey's values do not depend on where its sweeps run, nor on a worker that dies."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from foretoll.data import Split, TaskData, open_data
from foretoll.engine import Engine, InProcess, open_engine
from foretoll.errors import DataError, ForetollError
from foretoll.indices.collect import BATCH, PartCollection, PartRequest, collect
from foretoll.indices.survey import Survey, survey
from foretoll.models import Loading, Model, build_model, save_checkpoint
from foretoll.records import TrainingSettings
from foretoll.workflows.context import open_update
from foretoll.workflows.sharded import DataRef, ShardedCollector, sharded_collector

from .deadly import Deadly

SOURCE, TARGET = "digits?part=1/2", "digits?part=2/2&shift=gaussian_noise:0.2"
SETTINGS = TrainingSettings(until=0.9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = open_data(SOURCE)
    model = build_model("foretoll:cnn", data=data, seed=0, options={"width": 8})
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    model.train()
    for inputs, labels in data.train.batches(64, shuffle_seed=0):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return save_checkpoint(model.eval(), tmp_path_factory.mktemp("model"))


def looked_at(folder: Path, engine: Engine | None, target: TaskData | None = None) -> Survey:
    update = open_update(str(folder), SOURCE, TARGET, device="cpu")
    collector = collect
    if engine is not None:
        collector = sharded_collector(
            engine,
            update,
            model=str(folder),
            source=SOURCE,
            target=TARGET if target is None else target,
            loading=Loading(),
            seed=0,
        )
    return survey(
        update.model,
        update.source,
        target or update.target,
        SETTINGS,
        task_shift=False,
        clean=update.clean,
        collector=collector,
    )


def assert_equal(found: Survey, expected: Survey) -> None:
    assert found.signals.keys() == expected.signals.keys()
    for name, value in expected.signals.items():
        assert found.signals[name] == pytest.approx(value, abs=1e-6, rel=1e-6), name
    for name, index in expected.indices.items():
        assert found.indices[name].low == pytest.approx(index.low, abs=1e-6), name
        assert found.indices[name].floor == pytest.approx(index.floor, abs=1e-6), name


@pytest.fixture(scope="module")
def expected(folder: Path) -> Survey:
    return looked_at(folder, None)


def test_the_survey_sees_all_that_it_should(expected: Survey) -> None:
    assert {"resque", "arm", "preindex", "inv_ari", "recoverability_gap"} <= expected.indices.keys()
    assert expected.signals["renormalised_quality"] is not None


def test_shards_in_this_process_give_the_same_values(folder: Path, expected: Survey) -> None:
    assert_equal(looked_at(folder, InProcess()), expected)


def _with_a_killed_worker(folder: Path, expected: Survey, engine: Engine, marker: Path) -> None:
    """The target travels to the workers; the first of them to read it is killed."""
    target = open_data(TARGET)
    deadly = replace(target, train=Deadly(target.train, marker))
    assert_equal(looked_at(folder, engine, deadly), expected)
    assert marker.exists()


@pytest.mark.slow
def test_four_processes_of_which_one_is_killed_give_the_same_values(
    folder: Path, expected: Survey, tmp_path: Path
) -> None:
    with open_engine("processes:4") as engine:
        _with_a_killed_worker(folder, expected, engine, tmp_path / "died")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_ray_with_a_killed_worker_gives_the_same_values(
    folder: Path, expected: Survey, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        with open_engine("ray:2") as engine:
            _with_a_killed_worker(folder, expected, engine, tmp_path / "died")


def test_a_model_in_memory_travels_itself(expected: Survey, folder: Path) -> None:
    update = open_update(str(folder), SOURCE, TARGET, device="cpu")
    collector = ShardedCollector(InProcess(), update.model)
    found = survey(
        update.model,
        update.source,
        update.target,
        SETTINGS,
        task_shift=False,
        clean=update.clean,
        collector=collector,
    )
    assert_equal(found, expected)


def test_a_target_that_is_the_source_shifted_needs_no_sweep_of_its_clean_form(folder: Path) -> None:
    update = open_update(str(folder), "digits", "digits?shift=gaussian_noise:0.2", device="cpu")
    assert update.clean is not None
    swept: list[str] = []

    def counting(
        model: Model, split: Split, wanted: PartRequest, *, device: torch.device | str = "cpu"
    ) -> PartCollection:
        swept.append(wanted.part)
        return collect(model, split, wanted, device=device)

    def look(clean: TaskData) -> Survey:
        return survey(
            update.model,
            update.source,
            update.target,
            SETTINGS,
            task_shift=False,
            clean=clean,
            collector=counting,
        )

    found = look(update.clean)
    assert swept == ["source", "target", "target"]  # the last with re-estimated statistics
    rows = torch.arange(len(update.clean.train)).flip(0)  # the same samples, not known to be
    again = look(replace(update.clean, train=update.clean.train.take(rows)))
    assert swept[3:] == ["source", "target", "clean", "target"]
    assert again.signals["preindex"] == pytest.approx(found.signals["preindex"], abs=1e-6)
    assert again.signals["cka"] == pytest.approx(found.signals["cka"], abs=1e-6)


def test_shards_are_whole_batches(folder: Path) -> None:
    model: Model = open_update(str(folder), SOURCE, TARGET, device="cpu").model
    split = open_data("digits").train
    wanted = PartRequest("target", len(split), 10)
    engine = InProcess()
    engine.workers = 2  # type: ignore[attr-defined]  # four shards
    found = ShardedCollector(engine, model)(model, split, wanted).kept.compute()
    alone = collect(model, split, wanted).kept.compute()
    assert len(split) > 4 * BATCH
    assert torch.equal(found.ids, alone.ids)
    assert torch.equal(found.tensors["logits"], alone.tensors["logits"])


def test_other_data_on_a_worker_are_refused() -> None:
    split = open_data("digits?part=1/2").train
    with pytest.raises(DataError, match="other samples"):
        DataRef("digits?part=2/2", 0).rows(split.ids, split.labels)


def test_a_failed_shard_is_told_in_the_words_of_its_worker(folder: Path) -> None:
    model = open_update(str(folder), SOURCE, TARGET, device="cpu").model
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    collector = ShardedCollector(InProcess(), model)
    with pytest.raises(ForetollError, match=r"samples 0 to .* of the source could not be swept: .*NaN"):
        collector(model, open_data("digits").train, PartRequest("source", 100))
