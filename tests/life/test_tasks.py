"""Lives of other tasks than classes: numbers in their unit, one logit, several labels; and what is refused."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from foretoll import cli
from foretoll.data import open_data
from foretoll.errors import DataError, UsageError
from foretoll.models import build_model
from foretoll.records import Offer, Toll, TrainingSettings
from foretoll.records.served_metric import served_metric
from foretoll.report.document import texts
from foretoll.report.life import prometheus
from foretoll.report.life_bill import bill_data
from foretoll.report.life_document import life_document
from foretoll.tasks import TargetScale, get_task
from foretoll.workflows import life as life_module
from foretoll.workflows.context import Runtime
from foretoll.workflows.life import Life
from foretoll.workflows.life_update import update_target
from foretoll.workflows.life_window import labelled_window
from foretoll.workflows.scoring import Scoring
from foretoll.workflows.train import train_model

from .worlds import ACCOUNTING

SETTINGS = TrainingSettings(max_epochs=15, lr=0.02, batch_size=32)
BATCHES = 6


def _numbers(n: int, moved: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A number in its unit that follows two others, and moves away from them."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 2)).astype(np.float32)
    return x, (50 + 10 * x[:, 0] - 6 * x[:, 1] + 12 * moved + draw.normal(size=n)).astype(np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    x, y = _numbers(400, 0, 0)
    np.savez(folder / "src.npz", x=x, y=y)
    parts = [_numbers(100, max(i - 1, 0), i + 1) for i in range(BATCHES)]
    for i, (x, y) in enumerate(parts):
        np.savez(folder / f"w{i}.npz", x=x, y=y)
        np.savez(folder / f"u{i}.npz", x=x)
    np.savez(folder / "stream.npz", **{k: np.concatenate([p[i] for p in parts]) for i, k in enumerate("xy")})
    train_model(
        partial(build_model, "foretoll:mlp?width=16"),
        f"npz:{folder}/src.npz",
        SETTINGS,
        Runtime(accounting=ACCOUNTING),
        out=folder / "m",
    )
    return folder


def _start(world: Path, folder: Path, **said: object) -> Life:
    given: dict[str, object] = {"worth": "0.001J", "settings": SETTINGS, "options": ("finetune",), **said}
    return Life.start(
        "shop",
        str(world / "m"),
        f"npz:{world}/src.npz",
        ledger=str(folder / "l.db"),
        accounting=ACCOUNTING,
        folder=folder / "life",
        **given,  # type: ignore[arg-type]
    )


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    def offers(life: Life, events: object) -> tuple[tuple[Offer, ...], Toll, str]:
        cost = 0.1 / 3.6e6
        return tuple(Offer(option=o, cost=cost, cost_high=2 * cost) for o in life.card.options), Toll(), ""

    monkeypatch.setattr(life_module, "estimate_offers", offers)
    monkeypatch.setattr(life_module, "rough_offers", lambda card, events: ())
    monkeypatch.setattr(life_module, "settled_offers", lambda *_: ())


def test_a_regression_is_watched_updated_and_shown_in_its_unit(
    world: Path, tmp_path: Path, cheap: None
) -> None:
    life = _start(world, tmp_path)
    assert life.card.settings.metric == "rmse" and (life.card.start_quality or 0) < 3
    decisions = []
    for i in range(BATCHES - 1):
        life.look(f"npz:{world}/u{i}.npz")
        served = life.label(f"npz:{world}/w{i}.npz")
        decisions.append(life.decide())
    x, y = (np.load(world / "w4.npz")[k] for k in "xy")
    with torch.no_grad():
        said = life.model()(torch.from_numpy(x))[:, 0].numpy()
    assert served.quality == pytest.approx(math.sqrt(np.mean((said - y) ** 2)), rel=1e-4)
    assert served.last_label == pytest.approx(math.sqrt(np.mean(np.diff(y) ** 2)), rel=1e-4)
    assert served.quality > 20 and served.confidence is None and (served.ks or 0) >= 0
    assert served.lead is not None and 5 < served.lead < served.quality, (
        "a head on the newest batches follows"
    )
    assert [d.action for d in decisions[:2]] == ["keep", "keep"] and decisions[-1].action == "update"
    assert "RMSE × samples that an update would have won" in decisions[-1].reason

    events = life.events()
    window = labelled_window(life, events)
    there = served_metric("rmse", "regression").metric
    target = update_target(life, events, window, life.model())
    assert window.card.task == "regression" and there.direction == "lower" and 0 < target < served.quality
    life.carry_out(decisions[-1])
    update = life.events()[-1]
    assert life.serving == "update-0001" and update.note.startswith("RMSE ") and "better by" in update.note
    assert update.earlier is not None and update.earlier.after > update.earlier.before, "it forgot what was"
    life.watch(f"npz:{world}/w5.npz")

    events = life.events()
    seen = " ".join(text for block in life_document(life.card, events).blocks for text in texts(block))
    for words in (
        "RMSE that was served",
        "lead, RMSE",
        "Worth of 1 RMSE on a sample",
        "Leads and qualities in RMSE",
    ):
        assert words in seen
    assert "points" not in seen and "right answer" not in seen
    bill = bill_data(life.card, events)
    assert bill["metric"] == "rmse"
    figures = prometheus(life.card, events)
    assert "RMSE of the newest labelled batch" in figures


def test_a_floor_of_an_error_is_the_largest_that_may_be_served(
    world: Path, tmp_path: Path, cheap: None
) -> None:
    life = _start(
        world, tmp_path, worth=None, floor=8.0, settings=SETTINGS.model_copy(update={"metric": "mae"})
    )
    decisions = [life.watch(f"npz:{world}/w{i}.npz") for i in range(4)]
    assert [d.action for d in decisions] == ["keep", "keep", "keep", "update"]
    assert "the served MAE is" in decisions[-1].reason and "above the floor of 8" in decisions[-1].reason


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"settings": TrainingSettings(metric="r2")}, "R² is no mean over samples: say --metric rmse or mae"),
        ({"policy": "confidence"}, "needs probabilities of classes"),
        ({"worth": None, "floor": 0.0}, "worse than the perfect 0"),
        ({"worth": None, "floor": -1.0}, "is no RMSE"),
    ],
)
def test_what_a_regression_cannot_have_is_refused(
    world: Path, tmp_path: Path, said: dict[str, object], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        _start(world, tmp_path, **said)
    assert not (tmp_path / "life").exists()


def test_a_batch_of_another_task_is_refused(world: Path, tmp_path: Path) -> None:
    life = _start(world, tmp_path)
    x, y = _numbers(30, 0, 9)
    with pytest.raises(DataError, match="2 targets, and the model 1 outputs"):
        life.watch((x, np.stack([y, y], 1)))
    with pytest.raises(DataError, match="say what its labels are with task=regression"):
        life.watch(open_data((x, (y > 50).astype(np.int64))))
    with pytest.raises(DataError, match="outputs that were handed in are 2 a sample"):
        life.watch(x, representations=np.ones((30, 3)), outputs=np.ones((30, 2)))
    assert not life.events()
    life.watch((x, y.round().astype(np.int64)))
    assert [e.kind for e in life.events()][:2] == ["look", "labels"], "whole numbers are numbers here"


def test_a_stream_of_numbers_is_replayed_in_points_of_progress(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (
        f"life replay --model {world}/m --source npz:{world}/src.npz --stream npz:{world}/stream.npz?every=100 "
        "--policy rent --policy floor:6 --max-epochs 15 --lr 0.02 --batch-size 32 --price 20 --window 2 --floor 20 "
        f"--energy watts:10 --region DE --quiet --folder {tmp_path}/kept --json"
    )
    found = []
    for _ in range(2):  # the second time nothing is trained
        monkeypatch.setattr("sys.argv", ["foretoll", *command.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    rows = {row["policy"]: row for row in found[0]["policies"]}
    assert set(rows) == {"rent", "floor:6", "keep", "every", "periodic:8", "last label"}
    assert all(row["above the best"] >= -1e-9 for row in rows.values())
    assert rows["every"]["mean RMSE"] < rows["keep"]["mean RMSE"] < rows["keep"]["largest"]
    assert rows["every"]["largest"] < rows["keep"]["largest"] and rows["keep"]["above the floor"] == 0.5


@pytest.mark.parametrize(
    ("task", "targets", "metric", "value"),
    [
        ("binary", [[1.0], [0.0], [1.0], [1.0]], "accuracy", 0.75),
        ("multilabel", [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]], "hamming_accuracy", 0.625),
        ("multilabel", [[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]], "exact_match", 0.25),
    ],
)
def test_labels_are_scored_by_their_task(
    task: str, targets: list[list[float]], metric: str, value: float
) -> None:
    y = np.array(targets, dtype=np.float32)
    named = (
        "accuracy" if metric == "hamming_accuracy" else metric
    )  # what settings have where nobody names one
    scoring = Scoring.of(_card(task, y.shape[1]), named)
    assert scoring.served.metric.name == metric
    outputs = np.array([[2.0, 1.0], [-1.0, 1.0], [3.0, -1.0], [1.0, 0.5]], dtype=np.float32)[:, : y.shape[1]]
    if task == "binary":
        outputs = np.array([[2.0], [-1.0], [-3.0], [1.0]], dtype=np.float32)
    scores = scoring.scores(outputs, y)
    assert scoring.value(scores) == value and (scores.dtype == bool) == (metric != "hamming_accuracy")
    perfect = scoring.scores((2 * y - 1), y)
    assert (
        scoring.value(perfect) == 1
        and scoring.no_worse(perfect, scores)
        and not scoring.no_worse(scores, perfect)
    )


def _card(task: str, width: int) -> object:
    data = open_data(
        (np.zeros((40, 2), np.float32), np.tile([0.0, 1.0], (20, width)).reshape(40, width)), task=task
    )
    return build_model("foretoll:mlp?width=4", data=data, seed=0).card


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30))
def test_the_last_number_seen_is_a_dummy_of_a_stream_and_not_of_sorted_rows(values: list[float]) -> None:
    y = np.array(values, dtype=np.float32)[:, None]
    scale = TargetScale(mean=(3.0,), std=(7.0,), edges=((0.0,),))
    scoring = Scoring(get_task("regression"), served_metric("rmse", "regression"), 1, scale)
    steps = np.diff(y[:, 0].astype(np.float64))
    moving = bool((steps != 0).any())
    if len(y) < 2 or (moving and ((steps >= 0).all() or (steps <= 0).all())):
        assert scoring.last_label(y) is None
    else:
        assert scoring.last_label(y) == pytest.approx(math.sqrt((steps**2).mean()), abs=1e-9)


def _labels(n: int, turned: float, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Three labels a sample, each of a half plane that turns."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 2)).astype(np.float32)
    angles = turned + np.arange(3) * 2 * np.pi / 3
    return x, (x @ np.stack([np.cos(angles), np.sin(angles)]) > -0.2).astype(np.float32)


def test_several_labels_are_watched_updated_and_shown_by_the_commands(
    tmp_path: Path, cheap: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETOLL_LEDGER", str(tmp_path / "l.db"))
    for name, count, turned, seed in (
        ("old", 500, 0.0, 0),
        *((f"w{i}", 200, 0.5 * i, i + 1) for i in range(4)),
    ):
        x, y = _labels(count, turned, seed)
        np.savez(f"{name}.npz", x=x, y=y)
    trained = "--max-epochs 12 --lr 0.02 --batch-size 32 --energy watts:10 --region DE --quiet"

    def run(command: str) -> str:
        monkeypatch.setattr("sys.argv", ["foretoll", *command.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, command
        return capsys.readouterr().out

    source = "npz:old.npz?task=multilabel"
    run(f"train --arch foretoll:mlp?width=16 --data {source} --out m {trained}")
    run(f"life start shop --model m --source {source} --worth 5J --skip-looks --watch-share 80% {trained}")
    found = [
        json.loads(
            run(f"life watch shop --batch npz:w{i}.npz?task=multilabel --carry-out --energy watts:10 --json")
        )
        for i in range(4)
    ]
    runs = [each["run"] for each in found if each["run"] is not None]
    assert found[0]["run"] is None and runs and runs[0]["target"]["task"] == "multilabel"
    life = Life.open("shop", ledger=str(tmp_path / "l.db"))
    assert (life.card.watch_share, life.card.skip_looks, life.serving[:6]) == (0.8, True, "update")
    served = [e.served for e in life.events() if e.kind == "labels" and e.served is not None]
    assert len(served) == 4 and served[0].quality is not None and served[0].quality > 0.85
    run("life report shop --out page.html")
    page = Path("page.html").read_text()
    assert "Hamming accuracy" in page and "update-0001" in page
