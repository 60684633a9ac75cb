"""The life of a model: looks, labels as they come, decisions, updates that are judged, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from foretoll import cli
from foretoll.decide.budget import parse_budget
from foretoll.decide.offers import ESTIMATE_S, HANDED_IN, bounded_offers, rough_offers, settled_offers
from foretoll.decide.policies import Spending, get_policy
from foretoll.decide.policies.rent import avoidable_loss
from foretoll.errors import DataError, ForetollError, LedgerError, UsageError
from foretoll.ledger import Ledger, LifeBook
from foretoll.models import load_model
from foretoll.quality import evaluate
from foretoll.records import Decision, LifeEvent, Looking, Offer, Toll
from foretoll.report.document import texts
from foretoll.report.life import decision_lines, life_blocks
from foretoll.workflows import life as life_module
from foretoll.workflows import life_update, life_watch
from foretoll.workflows.life import Life
from foretoll.workflows.life_folder import LifeFolder, packed, unpacked
from foretoll.workflows.life_watch import aware, some_rows
from foretoll.workflows.look import Look

from .worlds import ACCOUNTING, build, samples, start


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    build(folder)
    return folder


@pytest.fixture
def here(world: Path, tmp_path: Path) -> Path:
    for path in world.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)  # type: ignore[operator]
    return tmp_path


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Updates are taken to cost one joule, without an estimate; how often one was asked for."""
    asked: list[int] = []

    def offers(life: Life, events: list[LifeEvent]) -> tuple[tuple[Offer, ...], Toll, str]:
        asked.append(len(events))
        cost = 1 / 3.6e6
        return tuple(Offer(option=o, cost=cost, cost_high=2 * cost) for o in life.card.options), Toll(), ""

    monkeypatch.setattr(life_module, "estimate_offers", offers)
    monkeypatch.setattr(life_module, "rough_offers", lambda card, events: ())
    monkeypatch.setattr(life_module, "settled_offers", lambda *_: ())
    return asked


def test_a_model_is_watched_updated_when_it_pays_and_served(here: Path, cheap: list[int]) -> None:
    life = start(here)
    assert life.serving == "start" and (life.card.start_quality or 0) > 0.9
    first = life.watch(f"npz:{here}/w0.npz")
    assert first.action == "keep" and not cheap, "nothing is estimated while nothing can be won"
    decisions = [life.watch(f"npz:{here}/w{i}.npz") for i in range(1, 5)]
    assert decisions[-1].action == "update" and decisions[-1].option == "finetune" and len(cheap) == 1
    assert decisions[-1].figures["lead"] is not None and decisions[-1].figures["lead"] > 0.1
    run = life.carry_out(decisions[-1])
    assert life.serving == "update-0001" and run.target.uri == "life:shop"
    assert run.id in {r.id for r in Ledger.open(here / "ledger.db").runs()}
    served = load_model(str(life.folder.served))
    assert served.card.run_id == run.id, "a serving process reads the new model through the link"

    update = next(e for e in life.events() if e.kind == "update")
    assert update.promoted and update.run_id == run.id and update.spent is not None
    assert (update.spent.energy_kwh or 0) >= (run.toll.energy_kwh or 0) > 0
    later = life.watch(f"npz:{here}/w5.npz")
    assert later.after == 5 and life.events()[-3].model == "update-0001"
    seen = [e.served for e in life.events() if e.kind == "labels" and e.served is not None]
    assert (seen[5].quality or 0) > (seen[4].quality or 0), "the update followed the drift"
    assert len(cheap) == 1, "what the update really cost is known now"
    assert not list(life.folder.path.glob("waiting-*")) and not list(life.folder.path.glob("result-*"))


def test_labels_that_come_late_say_the_same_as_labels_at_once(here: Path, cheap: list[int]) -> None:
    at_once, late = start(here, "once"), start(here, "late")
    for i in range(4):
        at_once.watch(f"npz:{here}/w{i}.npz")
        assert late.watch(f"npz:{here}/u{i}.npz").action == "keep"
    assert len(list(late.folder.path.glob("waiting-*"))) == 4
    assert all(e.served is None or e.served.quality is None for e in late.events() if e.kind == "look")
    for i in range(4):
        late.label(f"npz:{here}/w{i}.npz")
    assert [e.served for e in late.events() if e.kind == "labels"] == [
        e.served for e in at_once.events() if e.kind == "labels"
    ]
    assert late.decide().action == at_once.decide().action
    assert late.label(f"npz:{here}/w2.npz").number == 2, "labels that are known already change nothing"
    assert sum(e.kind == "labels" for e in late.events()) == 4


def test_a_batch_that_is_left_out_counts_trains_and_is_said(
    here: Path, cheap: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        life_watch, "samples_to_look_at", lambda card, events, n: 0 if len(events) % 2 else n // 2
    )
    life = start(here, look=Looking(share=0.01, skip=True))
    for i in range(5):
        life.look(f"npz:{here}/w{i}.npz")
        life.append("decision", str(i), at=datetime.now(UTC))  # an odd number of events a batch
    seen = [e.served for e in life.events() if e.kind == "labels" and e.served is not None]
    assert [(b.looked, b.labelled, b.quality is None, b.samples) for b in seen] == [
        (50, 50, False, 100) if i % 2 == 0 else (0, 0, True, 100) for i in range(5)
    ]
    looks = [e for e in life.events() if e.kind == "look"]
    assert "not looked at" in looks[1].note and looks[1].spent is None and not looks[0].note
    window = life_update.labelled_window(life, life.events())
    assert sum(len(part) for part in (window.train, window.validation, window.test)) == 500
    decision = life.decide()
    assert decision.action == "update" and life.carry_out(decision) and life.serving == "update-0001"
    events = [e for e in life.events() if e.kind != "offers"]  # whose cost this world does not know
    said = " ".join(text for block in life_blocks(life.card, events) for text in texts(block))
    assert "2 of them were not looked at" in said and "2 batches were not looked at" in said
    assert "than the 1 % that it was to take, since 200 samples of one batch in 8 are looked at" in said
    assert "Keeping to it would save what " in said and "answers were lost, and more are where" in said
    assert decision_lines(life.card, decision, looks[1])[0].startswith("look     not looked at")
    for lead, said in (
        (0.0004, "is no better"),
        (-0.0004, "is no better"),
        (0.0006, "is +0.1 points better"),
    ):
        lines = decision_lines(life.card, decision.model_copy(update={"figures": {"lead": lead}}))
        assert f"figures  a model fitted to the newest data {said}" in lines


def test_a_process_that_was_killed_between_look_and_labels_looks_again(
    here: Path, cheap: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = start(here, "whole"), start(here, "killed")
    for life in (whole, killed):
        life.watch(f"npz:{here}/w0.npz")
    with monkeypatch.context() as broken:
        broken.setattr(Life, "_take_labels", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            killed.watch(f"npz:{here}/w1.npz")
    for life in (whole, killed):
        life.watch(f"npz:{here}/w1.npz")
        assert not list(life.folder.path.glob("waiting-*")), "labels that come with a batch wait nowhere"
    found = [[e.served for e in each.events() if e.kind == "labels"] for each in (whole, killed)]
    assert found[0] == found[1] and len(found[0]) == 2


def test_sums_that_another_process_wrote_are_read_again(here: Path, cheap: list[int]) -> None:
    one = start(here)
    one.watch(f"npz:{here}/w0.npz")
    Life.open("shop", ledger=str(here / "ledger.db"), accounting=ACCOUNTING).watch(f"npz:{here}/w1.npz")
    one.watch(f"npz:{here}/w2.npz")
    assert len(one.folder.shadow("start", 8).batches) == 3 and len(one.folder.earlier(500)) > 300


def test_the_same_batch_twice_changes_nothing(here: Path, cheap: list[int]) -> None:
    life = start(here)
    for i in (0, 1, 1, 0, 1):
        life.watch(f"npz:{here}/w{i}.npz")
    assert [e.kind for e in life.events()].count("look") == 2
    assert [e.kind for e in life.events()].count("labels") == 2


def test_a_batch_that_is_handed_in_with_outputs_costs_no_forward_pass(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(here)
    x, y = samples(100, 0.1, 50)
    model = life.model()
    import torch

    from foretoll.data.splits import ArraySplit
    from foretoll.workflows.look import look_at

    look = look_at(model, ArraySplit(torch.from_numpy(x)))
    monkeypatch.setattr(Life, "model", lambda self: pytest.fail("the model was loaded"))
    life.watch((x, y), representations=look.representations, outputs=look.outputs)
    found = next(e.served for e in life.events() if e.kind == "labels")
    assert found is not None and found.quality == (look.outputs.argmax(1) == y).mean()
    began = time.process_time()
    for _ in range(3):
        life.view(life.events(), ())
    assert time.process_time() - began < 5  # it is far below; nothing is trained in a view
    with pytest.raises(DataError, match="100 samples and 99 outputs"):
        life.watch((x + 1, y), representations=look.representations[1:], outputs=look.outputs[1:])


def test_arrays_are_not_kept_and_are_asked_for_when_an_update_is_due(here: Path, cheap: list[int]) -> None:
    life = start(here)
    given = [samples(100, 0.25 * i, i + 1) for i in range(6)]
    decision = None
    for batch in given:
        decision = life.watch(batch)
    assert decision is not None and decision.action == "update"
    with pytest.raises(DataError, match="handed in as arrays and no batch is kept"):
        life.carry_out(decision)
    assert not any(e.kind == "claim" for e in life.events())
    life.carry_out(decision, data=given)
    assert life.serving == "update-0001"


def test_a_worse_model_is_paid_for_and_not_served(
    here: Path, cheap: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(here, policy="every")
    for i in range(2):
        life.watch(f"npz:{here}/w{i}.npz")
    monkeypatch.setattr(life_update, "_gate", lambda *_: (False, "rejected: 1 of 20 answers right"))
    run = life.carry_out(life.decide())
    update = life.events()[-1]
    assert life.serving == "start" and update.promoted is False and update.run_id == run.id
    assert (update.spent.energy_kwh if update.spent else 0) and "rejected" in update.note
    assert life.watch(f"npz:{here}/w2.npz").after == 2


def test_an_update_that_breaks_off_is_on_the_bill_and_keeps_no_later_one_out(
    here: Path, cheap: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(here, policy="every")
    decision = None
    for i in range(2):
        decision = life.watch(f"npz:{here}/w{i}.npz")
    assert decision is not None and decision.action == "update"
    for name in ("_gate", "save_checkpoint", "_look_back"):
        with monkeypatch.context() as broken:
            broken.setattr(life_update, name, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                life.carry_out(decision)
        update = life.events()[-1]
        assert update.kind == "update" and update.promoted is False and "ZeroDivisionError" in update.note
        assert update.run_id is not None and update.spent is not None and (update.spent.energy_kwh or 0) > 0
    assert life.serving == "start"
    life.carry_out(decision)
    assert life.serving == "update-0004"


def test_the_gate_compares_on_samples_that_training_never_saw(here: Path, cheap: list[int]) -> None:
    life = start(here)
    for i in range(3):
        life.watch(f"npz:{here}/w{i}.npz")
    window = life_update.labelled_window(life, life.events())
    assert (len(window.train), len(window.validation), len(window.test)) == (192, 48, 60)
    last = np.load(here / "w2.npz")["x"][-60:]
    np.testing.assert_array_equal(window.test.all().inputs.numpy(), last)


def test_the_budget_is_kept_and_said(here: Path, cheap: list[int]) -> None:
    life = start(here, policy="every", budget="0.5J/10")
    life.watch(f"npz:{here}/w0.npz")
    found = life.watch(f"npz:{here}/w1.npz")
    assert found.action == "keep" and "budget" in found.reason


def test_a_floor_in_place_of_a_worth(here: Path, cheap: list[int]) -> None:
    life = start(here, worth=None, floor=0.8)
    decisions = [life.watch(f"npz:{here}/w{i}.npz") for i in range(6)]
    assert decisions[-1].action == "update" and "under the floor of 0.8" in decisions[-1].reason
    assert life_update.wanted_quality(life, life.events()) == 0.8


def test_an_update_trains_where_the_served_model_is_still_good_on_the_older_batches(
    here: Path, cheap: list[int]
) -> None:
    """Its validation data are older than the newest batch, so it aims above what the served model has on them."""
    life = start(here, policy="every")
    for i, turn in enumerate([0, 0, 0, 0, 0, 0, 0, 2]):
        x, y = samples(100, turn, 50 + i)
        np.savez(here / f"n{i}.npz", x=x, y=y)
        decision = life.watch(f"npz:{here}/n{i}.npz")
    events = life.events()
    window = life_update.labelled_window(life, events)
    until = life_update.update_target(life, events, window, life.model())
    served = evaluate(life.model(), window.validation).quality
    assert served >= life_update.wanted_quality(life, events), (
        "the served model still meets what is wanted there"
    )
    assert until > served
    run = life.carry_out(decision)
    assert run.settings.until == until and (run.toll.epochs or 0) > 0


@pytest.mark.slow
def test_the_first_update_is_estimated_and_the_estimate_is_on_the_bill(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretoll.decide.offers.ESTIMATE_S", 0.0)  # no update is too small for an estimate
    monkeypatch.setattr(life_module, "settled_offers", lambda *_: ())
    life = start(here, worth="500J")
    for i in range(5):
        life.watch(f"npz:{here}/w{i}.npz")
    made = [e for e in life.events() if e.kind == "offers"]
    assert len(made) == 1 and made[0].offers[0].option == "finetune"
    assert 0 < made[0].offers[0].cost <= made[0].offers[0].cost_high and 0 < made[0].offers[0].share <= 1
    assert made[0].spent is not None and (made[0].spent.energy_kwh or 0) > 0
    assert life.spent(life.events()) > (made[0].spent.energy_kwh or 0)


def test_an_update_that_takes_less_than_an_estimate_is_not_estimated_and_the_note_says_why(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Life] = []
    monkeypatch.setattr(life_module, "estimate_offers", lambda life, events: asked.append(life))
    monkeypatch.setattr("foretoll.decide.offers.ESTIMATE_S", 1e6)  # on a slow machine too
    life = start(here, worth="500J")
    for i in range(5):
        life.watch(f"npz:{here}/w{i}.npz")
    (made,) = [e for e in life.events() if e.kind == "offers"]
    assert made.note == "no estimate was made: by what looks took, an update costs less than one"
    assert not asked and made.spent is None and 0 < made.offers[0].cost < made.offers[0].cost_high


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"worth": None}, "give one of them"),
        ({"floor": 0.8}, "give one of them"),
        ({"worth": None, "floor": 1.5}, "no quality"),
        ({"worth": "much"}, "is no worth"),
        ({"budget": "2kWh"}, "no horizon"),
        ({"budget": "2kWh/soon"}, "no horizon"),
        ({"budget": "50g/90d"}, "different kinds"),
        ({"policy": "rentt"}, "rent"),
        ({"options": ("finetun",)}, "finetune"),
    ],
)
def test_bad_starts_are_refused_before_any_work(here: Path, said: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        start(here, **said)
    assert not (here / "life-shop").exists()


def test_bad_batches_are_refused_and_change_nothing(here: Path, cheap: list[int]) -> None:
    life = start(here)
    now = datetime(2026, 10, 12, tzinfo=UTC)
    life.watch(f"npz:{here}/w0.npz", at=now)
    before = life.events()
    x, y = samples(20, 0.0, 77)
    bad = {
        "order in which they were served": lambda: life.watch(
            f"npz:{here}/w1.npz", at=now - timedelta(days=1)
        ),
        "never seen this batch": lambda: life.label(f"npz:{here}/w3.npz"),
        "has no labels": lambda: life.label(f"npz:{here}/u0.npz"),
        "no output for": lambda: life.watch((x, np.where(y == 0, 7, y))),
        "samples of shape": lambda: life.watch((x[:, :1], y)),
        "NaN": lambda: life.watch((np.full_like(x, np.nan), y)),
    }
    for says, call in bad.items():
        with pytest.raises(ForetollError, match=says):
            call()
    assert life.events() == before
    with pytest.raises(UsageError, match="nothing to run"):
        life.carry_out(Decision(policy="keep", action="keep", reason="", after=0))


def test_a_name_is_taken_once_and_an_unknown_one_is_said(here: Path) -> None:
    start(here)
    with pytest.raises(UsageError, match="another name"):
        start(here)
    with pytest.raises(LedgerError, match=r"no life 'shopp' .*there are 'shop'"):
        Life.open("shopp", ledger=str(here / "ledger.db"))


def test_a_model_folder_that_is_gone_is_said(here: Path) -> None:
    life = start(here)
    shutil.rmtree(life.folder.model("start"))
    with pytest.raises(LedgerError, match="is gone from"):
        life.watch(f"npz:{here}/w0.npz")


def test_sums_that_are_damaged_are_said(here: Path, cheap: list[int]) -> None:
    life = start(here)
    life.watch(f"npz:{here}/w0.npz")
    path = life.folder.path / "shadow-start.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ForetollError, match="damaged"):
        life.watch(f"npz:{here}/w1.npz")


def test_a_budget_has_a_horizon() -> None:
    limit, days, batches = parse_budget("2kWh/90d")
    assert (limit.cost, limit.most, days, batches) == ("energy_kwh", 2.0, 90.0, None)
    assert parse_budget("50g/52")[1:] == (None, 52)
    for text in ("2kWh/", "2kWh/-3", "2kWh/0d", "2kWh/nand", "/5"):
        with pytest.raises(UsageError):
            parse_budget(text)


def test_an_event_of_a_newer_foretoll_is_left_out_and_the_others_count(here: Path, cheap: list[int]) -> None:
    import sqlite3
    from contextlib import closing

    life = start(here)
    life.watch(f"npz:{here}/w0.npz")
    count = len(life.events())
    with closing(sqlite3.connect(here / "ledger.db")) as connection, connection:
        connection.execute(
            "INSERT INTO life_event VALUES ('shop', 99, 'dream', 'x', '2030', ?)",
            (json.dumps({"kind": "dream"}),),
        )
    assert len(life.events()) == count
    assert life.watch(f"npz:{here}/w1.npz").after == 1


def test_events_are_read_on_from_where_they_were_read_and_anew_in_another_ledger(
    here: Path, cheap: list[int], tmp_path: Path
) -> None:
    life, other = start(here), start(here, "other")
    other.watch(f"npz:{here}/w7.npz")
    for i in range(3):
        decision = life.watch(f"npz:{here}/w{i}.npz")
        Life.open("shop", ledger=str(here / "ledger.db")).append(
            "decision", str(i), at=aware(None), decision=decision
        )
        assert life.events() == life.book.events("shop") != life.events()[:-1], "of another process too"
    book = life.book
    assert book.events("shop", book.events("other")) == book.events("shop"), (
        "what was known is of another life"
    )
    with book.held():
        assert book.events("shop") == life.events() and book.append("shop", life.events()[0]) is None
        with book.held():
            life.append("decision", "held", at=aware(None))
        book.let_go()
        assert book.events("shop")[-1].key == "held"


def test_the_life_of_another_time_is_read_with_equal_decisions(here: Path, cheap: list[int]) -> None:
    life = start(here)
    for i in range(4):
        life.watch(f"npz:{here}/w{i}.npz")
    again = Life.open("shop", ledger=str(here / "ledger.db"), accounting=ACCOUNTING)
    one, other = life.decide(), again.decide()
    assert one == other and LifeBook(str(here / "ledger.db")).names() == ["shop"]


def test_the_commands(here: Path, cheap: list[int], monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(here)
    monkeypatch.setenv("FORETOLL_LEDGER", str(here / "ledger.db"))

    def call(command: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["foretoll", *command.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out + shown.err

    begun = (
        "life start shop --model m --source npz:src.npz --worth 5J --energy watts:10 --region DE --lr 0.02"
    )
    code, shown = call(f"{begun} --max-epochs 10 --batch-size 16 --quiet")
    assert code == 0 and "life watch shop" in shown
    codes = []
    for i in range(5):
        code, shown = call(
            f"life watch shop --batch npz:u{i}.npz --energy watts:10 --region DE --exit-code --quiet"
        )
        assert "decision " in shown and code in (0, 3)
        code, shown = call(f"life label shop --labels npz:w{i}.npz")
        assert f"batch {i}: served with" in shown and code == 0
        code, shown = call(
            f"life watch shop --batch npz:w{i}.npz --energy watts:10 --region DE --exit-code --quiet"
        )
        codes.append(code)
    assert codes[0] == 0 and codes[-1] == 3 and "decision update by finetune" in shown
    flags = "--energy watts:10 --region DE --quiet --textfile life.prom"
    code, shown = call(f"life watch shop --batch npz:w5.npz --carry-out --exit-code {flags}")
    assert code == 0 and "update   served now" in shown
    text = (here / "life.prom").read_text()
    assert 'foretoll_life_update_due{life="shop"} 1' in text and "# TYPE foretoll_life_quality gauge" in text
    code, shown = call("life show shop")
    assert code == 0 and "update by finetune" in shown and "Bill" in shown and "updates" in shown
    code, shown = call("life show shop --json")
    data = json.loads(shown)
    assert data["life"]["name"] == "shop" and {e["kind"] for e in data["events"]} >= {
        "look",
        "labels",
        "claim",
        "update",
    }
    assert call("life show")[1].strip() == "shop"
    code, shown = call("life watch shopp --batch npz:w0.npz")
    assert code == 1 and "there are 'shop'" in shown


def test_a_stream_is_replayed_under_policies(here: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(here)
    monkeypatch.setenv("FORETOLL_LEDGER", str(here / "ledger.db"))
    parts = [np.load(here / f"w{i}.npz") for i in range(8)]
    np.savez(
        here / "stream.npz",
        x=np.concatenate([p["x"] for p in parts]),
        y=np.concatenate([p["y"] for p in parts]),
    )
    command = (
        "life replay --model m --source npz:src.npz --stream npz:stream.npz?every=100 --policy rent --policy cara:0.5 "
        "--max-epochs 10 --lr 0.02 --batch-size 16 --price 20 --delay 1 --window 3 --energy watts:10 --region DE "
        "--folder kept --floor 0.8 --quiet --json"
    )
    found = []
    for _ in range(2):  # the second call trains nothing
        monkeypatch.setattr("sys.argv", ["foretoll", *command.split()])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    rows = {row["policy"]: row for row in found[0]["policies"]}
    assert set(rows) == {"rent", "cara:0.5", "keep", "every", "periodic:8", "last label"}
    assert rows["keep"]["updates"] == 0 and rows["keep"]["under the floor"] > rows["every"]["under the floor"]
    assert all(row["above the best"] >= -1e-9 for row in rows.values())
    assert rows["rent"]["loss"] < rows["keep"]["loss"]


def test_where_looks_say_that_an_update_is_cheap_no_estimate_is_made(here: Path) -> None:
    life = start(here)
    for i in range(2):
        life.watch(f"npz:{here}/w{i}.npz")
    toll = Toll(energy_kwh=1e-7, emissions_kg=4e-8, duration_s=1e-3)
    events = [e.model_copy(update={"spent": toll}) if e.kind == "look" else e for e in life.events()]
    (offer,) = rough_offers(life.card, events)
    # 200 labelled samples, each gone through by 10 epochs of training and validation, and once by the gate
    passes = 200 * (10 * (4 * 0.6 + 0.2) + 1)
    assert offer.cost_high == pytest.approx(1e-9 * passes) and offer.cost == pytest.approx(
        offer.cost_high / 3
    )
    slow = toll.model_copy(update={"duration_s": 1.01 * ESTIMATE_S / passes * 100})
    assert not rough_offers(
        life.card, [e.model_copy(update={"spent": slow}) if e.spent else e for e in events]
    )
    handed = [e.model_copy(update={"note": HANDED_IN}) if e.kind == "look" else e for e in events]
    assert not rough_offers(life.card, handed), "what a look without a forward pass took says nothing"


def test_an_estimate_that_cannot_change_the_decision_is_not_made(here: Path) -> None:
    life = start(here, worth="5J")
    for i in range(5):
        life.look(f"npz:{here}/w{i}.npz")
    events, card = life.events(), life.card
    most = bounded_offers(card, events)[0].cost_high
    lost = avoidable_loss(life.view(events, ()))

    def settled(policy: str, worth: float = 1.0, budget: float | None = None) -> tuple[Offer, ...]:
        spending = None if budget is None else Spending(budget, 0.0, 1.0)

        def decide(offers: Sequence[Offer]) -> Decision:
            view = replace(life.view(events, offers), worth=worth, spending=spending)
            return get_policy(policy).decide(view)

        return settled_offers(card, events, decide)

    (offer,) = settled("every")
    assert offer.cost_high == most and 0 < offer.cost <= most / 3, "it updates whatever that costs"
    assert settled("every", budget=1.01 * most) and not settled("every", budget=0.99 * most)
    assert settled("rent", worth=1.1 * most / lost) and not settled("rent", worth=0.9 * most / lost)
    assert not settled("keep")


def test_an_estimate_that_was_spared_is_made_when_it_matters(
    here: Path, cheap: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    life = start(here, policy="every")
    life.look(f"npz:{here}/w0.npz")
    monkeypatch.setattr(life_module, "settled_offers", settled_offers)
    assert life.watch(f"npz:{here}/w1.npz").action == "update" and not cheap
    (spared,) = [e for e in life.events() if e.kind == "offers"]
    assert "the decision is the same" in spared.note and spared.spent is None
    monkeypatch.setattr(life_module, "settled_offers", lambda *_: ())
    assert life.decide().figures["cost"] == pytest.approx(1 / 3.6e6) and len(cheap) == 1


def test_of_a_large_batch_some_samples_are_looked_at_spread_over_its_time(
    here: Path, cheap: list[int]
) -> None:
    x, y = samples(300, 0.3, 50)
    whole, some, late = (
        start(here, "whole", look=0),
        start(here, "some", look=40),
        start(here, "late", look=40),
    )
    whole.look((x, y))
    seen: list[int] = []
    handle = some._served("start").network.register_forward_hook(
        lambda _m, args, _o: seen.append(len(args[0]))
    )
    name = some.look((x, y))
    handle.remove()
    rows = some_rows(name, 300, 40)
    assert rows is not None and sum(seen) <= 41 and len(rows) == 40
    assert np.diff(rows).min() > 0 and np.diff(rows).max() <= 15
    late.look(x)
    late.label((x, y))
    found = [next(e.served for e in life.events() if e.kind == "labels") for life in (whole, some, late)]
    assert found[1] == found[2], "labels that come later are those of the same samples"
    all_of, part = found[:2]
    assert all_of is not None and part is not None
    assert (all_of.labelled, part.labelled, part.samples) == (300, 40, 300)
    assert part.last_label == all_of.last_label, "the dummy needs no model"
    right = whole.scoring.scores(whole_look(whole, x), y)
    assert part.quality == right[rows].mean() and all_of.quality == right.mean()
    assert len(some.folder.shadow("start", 8).batches) == 1 and some.folder.shadow("start", 8).samples == 40
    with pytest.raises(UsageError, match="says nothing"):
        start(here, "one", look=1)


def whole_look(life: Life, x: np.ndarray) -> np.ndarray:
    import torch

    from foretoll.data.splits import ArraySplit
    from foretoll.workflows.look import look_at

    return look_at(life.model(), ArraySplit(torch.from_numpy(x))).outputs


def test_what_a_killed_process_left_half_written_is_cleared(here: Path, cheap: list[int]) -> None:
    life = start(here)
    dead = subprocess.run(
        [sys.executable, "-c", f"""
import os, sys
from pathlib import Path
from foretoll.atomic import own_name
folder = Path({str(life.folder.path)!r})
for name in ("result-update-0030.json", "shadow-start.npz", "served"):
    (folder / own_name(f".{{name}}.", ".part")).touch()
"""], check=True)  # fmt: skip
    assert dead.returncode == 0 and len(list(life.folder.path.glob(".*.part"))) == 3
    life.recover()
    assert not list(life.folder.path.glob(".*.part"))


def test_a_claim_of_another_machine_runs_out_after_a_day(here: Path, cheap: list[int]) -> None:
    life = start(here)
    for i in range(5):
        decision = life.watch(f"npz:{here}/w{i}.npz")
    assert decision.action == "update"
    stamp = {"host": "elsewhere", "boot_id": "b", "pid_namespace": "n", "pid": 7, "started": "1"}
    now = datetime.now(UTC)
    claim = {"decision": decision, "note": json.dumps(stamp)}
    life.append("claim", "update-0001", at=now - timedelta(hours=23), **claim)
    with pytest.raises(UsageError, match=r"wait for it, or until \d{4}-"):
        life.carry_out(decision)
    assert life.serving == "start"
    life.append("claim", "update-0002", at=now - timedelta(hours=25), **claim)
    life.recover()
    ended = {e.key: e for e in life.events() if e.kind == "update"}
    assert set(ended) == {"update-0002"} and ended["update-0002"].promoted is False
    assert "another machine" in ended["update-0002"].note


def test_files_hold_many_arrays_as_two_and_those_of_older_lives_are_read(tmp_path: Path) -> None:
    folder = LifeFolder(tmp_path)
    draw = np.random.default_rng(0)
    look = Look(draw.normal(size=(5, 3)).astype(np.float32), draw.normal(size=(5, 2)).astype(np.float32))
    folder.keep_waiting("start", "a", look)
    path = tmp_path / "waiting-start-a.npz"
    with np.load(path, allow_pickle=False) as stored:
        assert len(stored.files) == 2
    again = folder.waiting("start", "a")
    assert again is not None and (again.outputs == look.outputs).all()
    np.savez(path, representations=look.representations, probabilities=look.outputs)
    again = folder.waiting("start", "a")
    assert again is not None and (again.representations == look.representations).all()

    arrays = {
        "none": np.zeros((0, 3)),
        "one": np.array(7),
        "names": np.array(["a", "bc"]),
        "x": draw.random((2, 3)),
    }
    found = unpacked(packed(arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert (found[name] == array).all()
    np.savez(path, packed=np.zeros(8, np.uint8), index=np.array('[["representations", "|O", [1], 0]]'))
    with pytest.raises(ForetollError, match="is damaged"):
        folder.waiting("start", "a")
