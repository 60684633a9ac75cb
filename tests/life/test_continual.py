"""Updates that go on from what was learned: from the last model or the first, with rehearsal; forgetting; the dummy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foretoll import cli
from foretoll.errors import UsageError
from foretoll.models import load_model
from foretoll.records import (
    ANSWERS,
    Continual,
    Decision,
    EarlierQuality,
    LifeEvent,
    Run,
    ServedBatch,
    TrainingSettings,
)
from foretoll.report.life_bill import bill_blocks, bill_data
from foretoll.report.life_earlier import last_label_of
from foretoll.tasks import get_task
from foretoll.workflows.life import Life
from foretoll.workflows.life_window import labelled_window, quality_on_earlier
from foretoll.workflows.scoring import Scoring

from .worlds import build, samples, start

UPDATE = Decision(policy="every", action="update", option="finetune", reason="", after=0)
SETTINGS = TrainingSettings(max_epochs=3, lr=0.02, batch_size=16)
PLAIN = Continual(remember=0)
CLASSES = Scoring(get_task("classification"), ANSWERS, 5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batches that turn away, are away for some time, and come back."""
    folder = tmp_path_factory.mktemp("world")
    build(folder, 2)
    for i, turn in enumerate([0.0, 0.0, 2.0, 2.0]):
        x, y = samples(100, turn, 20 + i)
        np.savez(folder / f"r{i}.npz", x=x, y=y)
    return folder


def _lived(world: Path, name: str, continual: Continual) -> tuple[Life, list[Run]]:
    """Updates after two and after four batches, each on the last two."""
    life = start(world, name, policy="keep", window=2, settings=SETTINGS, continual=continual)
    runs = []
    for i in range(4):
        life.watch(f"npz:{world}/r{i}.npz")
        if i % 2:
            runs.append(life.carry_out(UPDATE))
    return life, runs


def _weights(life: Life, name: str) -> dict[str, torch.Tensor]:
    return dict(load_model(str(life.folder.model(name))).network.state_dict())


@pytest.fixture(scope="module")
def lives(world: Path) -> dict[str, tuple[Life, list[Run]]]:
    ways = {
        "plain": PLAIN,
        "kept": Continual(),
        "first": Continual(update_from="first"),
        "rehearsed": Continual(rehearse=0.5),
    }
    return {name: _lived(world, name, way) for name, way in ways.items()}


def test_without_rehearsal_an_update_is_to_the_bit_what_it_is_where_nothing_is_kept(
    lives: dict[str, tuple[Life, list[Run]]],
) -> None:
    plain, kept = (lives[name][0] for name in ("plain", "kept"))
    assert not (plain.folder.path / "earlier.npz").exists(), "nothing is kept where nothing may be"
    for name in ("update-0001", "update-0002"):
        ours, theirs = _weights(plain, name), _weights(kept, name)
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert [r.quality for r in lives["plain"][1]] == [r.quality for r in lives["kept"][1]]


def test_an_update_trains_the_model_that_the_card_names(
    world: Path, lives: dict[str, tuple[Life, list[Run]]]
) -> None:
    last, first = lives["kept"], lives["first"]
    assert last[1][0].toll.parameter_change == first[1][0].toll.parameter_change, (
        "both begin with the first model"
    )
    for (life, runs), base in ((first, "start"), (last, "update-0001")):
        old, new = _weights(life, base), _weights(life, "update-0002")
        moved = torch.cat([(new[key] - old[key]).flatten() for key in new if key in old])
        change = (moved.norm() / len(moved) ** 0.5).item()
        assert runs[1].toll.parameter_change == pytest.approx(change, rel=1e-3)
    assert Life.open("first", ledger=str(world / "ledger.db")).card.continual.update_from == "first"


def test_rehearsed_samples_are_earlier_ones_and_never_those_that_forgetting_is_measured_on(
    lives: dict[str, tuple[Life, list[Run]]],
) -> None:
    life, _ = lives["rehearsed"]
    events = life.events()
    window = labelled_window(life, events)
    plain = labelled_window(lives["kept"][0], lives["kept"][0].events())
    new = len(plain.train)
    assert len(window.train) == 2 * new, "half of the samples are of earlier batches"
    inputs = window.train.all().inputs
    assert torch.equal(inputs[:new], plain.train.all().inputs)
    assert torch.equal(window.test.all().inputs, plain.test.all().inputs)
    rehearsed = {tuple(row) for row in inputs[new:].tolist()}
    inside = {tuple(row) for row in plain.train.all().inputs.tolist()}
    assert rehearsed and not rehearsed & inside
    measured = life.folder.earlier(500).before(10**9, half=1)
    assert not rehearsed & {tuple(row) for part in measured for row in part.all().inputs.tolist()}
    assert "samples of earlier ones" in window.card.reading


def test_forgetting_is_measured_on_what_came_before_the_window_and_shown(
    world: Path,
    lives: dict[str, tuple[Life, list[Run]]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    life, _ = lives["kept"]
    updates = [e for e in life.events() if e.kind == "update"]
    first, second = (e.earlier for e in updates)
    assert first is not None and second is not None and first.samples < second.samples <= 500
    assert second.before - second.after > 0.1, "the classes turned away, and the update followed them"
    parts = life.folder.earlier(500).before(200)  # of the source, and of the first two batches
    assert sum(len(part) for part in parts) == second.samples
    models = [load_model(str(life.folder.model(name))) for name in ("update-0001", "update-0002")]
    again = quality_on_earlier(life, life.events(), models, torch.device("cpu"))
    assert again == second
    assert all(e.earlier is None for e in lives["plain"][0].events())
    rehearsed = [e.earlier for e in lives["rehearsed"][0].events() if e.kind == "update"][1]
    assert rehearsed is not None and rehearsed.samples < second.samples, "the other half is rehearsed"

    text = str(bill_blocks(life.card, life.events()))
    assert f"{second.before:.2f} → {second.after:.2f}" in text
    data = bill_data(life.card, life.events())["on_what_came_before"]
    assert isinstance(data, list) and data[1]["after"] == second.after
    monkeypatch.setattr(
        "sys.argv", ["foretoll", "life", "bill", "kept", "--ledger", str(world / "ledger.db")]
    )
    with pytest.raises(SystemExit):
        cli.main()
    assert "On what came before" in capsys.readouterr().out


def test_what_is_kept_does_not_depend_on_how_the_stream_was_cut(world: Path) -> None:
    whole, halves = (
        start(world, name, policy="keep", settings=SETTINGS, continual=Continual(remember=80))
        for name in ("whole", "halves")
    )
    for i in range(3):
        with np.load(world / f"r{i}.npz") as stored:
            x, y = stored["x"], stored["y"]
        whole.watch((x, y))
        halves.watch((x[:37], y[:37]))
        halves.watch((x[37:], y[37:]))

    def kept(life: Life) -> set[tuple[float, ...]]:
        return {
            tuple(row) for part in life.folder.earlier(80).before(10**9) for row in part.all().inputs.tolist()
        }

    assert kept(whole) == kept(halves) and len(kept(whole)) == 80


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--update-from", "best"], "say last or first"),
        (["--rehearse", "much"], "0% to 90%"),
        (["--rehearse", "100%"], "0% to 90%"),
        (["--rehearse", "20%", "--remember", "0"], "cannot be rehearsed"),
    ],
)
def test_flags_that_say_nothing_are_refused(
    flags: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["life", "start", "s", "--model", "m", "--source", "digits", "--floor", "0.8", *flags]
    monkeypatch.setattr("sys.argv", ["foretoll", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2 and says in " ".join(capsys.readouterr().err.split())


def test_an_older_life_keeps_nothing(world: Path) -> None:
    life = start(world, "older", settings=SETTINGS)
    card = json.loads(life.card.model_dump_json(by_alias=True))
    del card["continual"]
    assert type(life.card).model_validate(card).continual == PLAIN


@pytest.mark.parametrize(
    ("labels", "quality"),
    [
        ([0, 0, 1, 1, 0], 0.5),
        ([0, -1, 0, 1, 0], 1 / 3),
        ([3, 3, 3], 1.0),
        ([0, 0, 1, 1, 2], None),
        ([1], None),
        ([-1, 1], None),
        ([0, 1, 0, 1], 0.0),
    ],
)
def test_the_last_label_is_judged_where_the_order_is_one_of_time(
    labels: list[int], quality: float | None
) -> None:
    found = CLASSES.last_label(np.array(labels))
    assert found == (None if quality is None else pytest.approx(quality))


@pytest.mark.parametrize(("last_label", "better"), [(0.9, True), (0.72, False), (0.5, False)])
def test_a_model_that_is_worse_than_the_last_label_is_told(last_label: float, better: bool) -> None:
    batch = ServedBatch(name="b", number=0, samples=100, labelled=100, quality=0.7, last_label=last_label)
    event = LifeEvent.model_validate(
        {"number": 0, "kind": "labels", "key": "b", "at": "2026-01-01T00:00:00Z", "served": batch}
    )
    found = last_label_of([event])
    assert found is not None and found.better() is better and found.served == 0.7
    assert last_label_of([]) is None


def test_settings_that_contradict_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="cannot be rehearsed"):
        Continual(rehearse=0.2, remember=0)
    assert EarlierQuality(samples=3, before=1, after=0).after == 0
    with pytest.raises(UsageError):
        start(Path("nowhere"), "x", worth=None)
