"""The page and the bill of a life: what they say adds up, and every medium says it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll import cli
from foretoll.ledger import LifeBook
from foretoll.records import LifeCard, LifeEvent, Offer, ServedBatch, Toll
from foretoll.report import write_life
from foretoll.report.document import texts
from foretoll.report.life_bill import bill_data, days_of, export_lines, spent_by_kind, years
from foretoll.report.life_document import life_document
from foretoll.report.life_quality import served_quality, wilson
from foretoll.workflows import life as life_module

from .worlds import build, start

DAY = timedelta(days=1)
OFFER = Offer(option="finetune", cost=1e-7, cost_high=2e-7)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A life of twelve weeks over a new year: labels two batches late, updates where they are due."""
    folder = tmp_path_factory.mktemp("lived")
    build(folder, 9)
    life = start(folder, policy="periodic:4", budget="3Wh/26")
    for i in range(9):
        at = datetime(2026, 12, 1, tzinfo=UTC) + 7 * i * DAY
        life.look(f"npz:{folder}/u{i}.npz", at=at)
        if i >= 2:
            life.label(f"npz:{folder}/w{i - 2}.npz")
    with (
        pytest.MonkeyPatch.context() as patch
    ):  # what an estimate says is tested elsewhere, and takes its time
        patch.setattr(life_module, "rough_offers", lambda card, events: ())
        patch.setattr(life_module, "settled_offers", lambda *_: ())
        patch.setattr(
            life_module, "estimate_offers", lambda life, events: ((OFFER,), Toll(energy_kwh=1e-9), "")
        )
        decision = life.decide(at=at)
    assert decision.action == "update"
    life.carry_out(decision)
    return folder


@pytest.fixture
def told(lived: Path) -> tuple[LifeCard, list[LifeEvent]]:
    book = LifeBook(str(lived / "ledger.db"))
    return book.card("shop"), book.events("shop")


def test_the_bill_adds_up_by_kind_and_by_year(told: tuple[LifeCard, list[LifeEvent]]) -> None:
    card, events = told
    whole = sum(e.spent.energy_kwh or 0.0 for e in events if e.spent is not None)
    kinds, each = spent_by_kind(events), years(events)
    assert sum(s.energy_kwh for s in kinds.values()) == pytest.approx(whole)
    assert sum(y.spent.energy_kwh for y in each.values()) == pytest.approx(whole)
    assert sum(y.batches for y in each.values()) == 9 and set(each) >= {2026, 2027}
    assert sum(y.updates for y in each.values()) == 1
    data = bill_data(card, events)
    by_year = data["by_year"]
    assert isinstance(by_year, dict) and sum(y["samples"] for y in by_year.values()) == 900
    assert days_of(events) == pytest.approx(63)


def test_every_medium_says_what_the_page_says(told: tuple[LifeCard, list[LifeEvent]], tmp_path: Path) -> None:
    document = life_document(*told)
    page = unescape(write_life(tmp_path / "shop.html", *told).read_text()).replace("\N{NO-BREAK SPACE}", " ")
    markdown = write_life(tmp_path / "shop.md", *told).read_text()
    titles = [text for block in document.blocks for text in list(texts(block))[:1]]
    assert {"Quality that was served", "What was spent", "Bill", "By year", "The next update"} <= set(titles)
    for title in titles:
        assert title in page.replace("\N{WORD JOINER}", ""), title
    for title in ("Quality that was served", "Bill", "By year", "Updates, forecast beside measurement"):
        assert title in markdown
    assert "://" not in page and "default-src 'none'" in page, "the page loads nothing"


def test_commands_write_page_bill_and_export(
    lived: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = ["--ledger", str(lived / "ledger.db")]

    def call(words: list[str]) -> int:
        monkeypatch.setattr("sys.argv", ["foretoll", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    assert call(["life", "report", "shop", "--out", str(tmp_path / "a.html"), *ledger]) == 0
    assert (tmp_path / "a.html").read_text().startswith("<!")
    capsys.readouterr()
    assert call(["life", "bill", "shop", "--json", *ledger]) == 0
    bill = json.loads(capsys.readouterr().out)
    assert bill["by_kind"]["looks"]["number"] == 9
    assert call(["life", "bill", "shop", *ledger]) == 0
    assert "By year" in capsys.readouterr().out
    assert call(["life", "export", "shop", "--out", str(tmp_path / "a.jsonl"), *ledger]) == 0
    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert LifeCard.model_validate_json(lines[0]).name == "shop"
    events = [LifeEvent.model_validate_json(line) for line in lines[1:]]
    book = LifeBook(str(lived / "ledger.db"))
    assert events == book.events("shop") and export_lines(book.card("shop"), events) == lines


def _look(number: int, quality: float | None, labelled: int, samples: int = 100) -> list[LifeEvent]:
    batch = ServedBatch(name=f"b{number}", number=number, samples=samples)
    at = datetime(2026, 1, 1, tzinfo=UTC) + number * DAY
    look = LifeEvent(
        number=2 * number, kind="look", key=batch.name, at=at, model="start", served=batch, spent=Toll()
    )
    if quality is None:
        return [look]
    known = batch.model_copy(update={"quality": quality, "labelled": labelled})
    return [
        look,
        LifeEvent(number=2 * number + 1, kind="labels", key=batch.name, at=at, model="start", served=known),
    ]


@given(
    st.lists(st.integers(0, 100), min_size=2, max_size=8),
    st.integers(1, 6),
    st.integers(1, 100),
)
def test_quality_is_exact_where_all_labels_are_there_and_an_interval_where_they_are_late_or_few(
    right: list[int], late: int, labelled: int
) -> None:
    events = [e for i, r in enumerate(right) for e in _look(i, r / 100, 100)]
    events += [e for i in range(late) for e in _look(len(right) + i, None, 0)]
    found = served_quality(events)
    for point, r in zip(found, right, strict=False):
        assert point.low == point.high == point.value == r / 100
    for point in found[len(right) :]:
        assert point.low is not None and point.high is not None and point.value == right[-1] / 100
        assert 0 <= point.low <= point.value <= point.high <= 1 and point.high > point.low
    some = served_quality(_look(0, right[0] / 100, labelled))[0]
    low, high = wilson(right[0] / 100, labelled)
    assert some.low is not None and some.high is not None
    assert some.high - some.low == pytest.approx((1 - labelled / 100) * (high - low))


@given(st.floats(0, 1), st.integers(1, 5000))
def test_wilsons_interval_is_where_the_score_test_has_its_level(share: float, n: int) -> None:
    for end in wilson(share, n):
        if 1e-6 < end < 1 - 1e-6:
            z = abs(share - end) / math.sqrt(end * (1 - end) / n)
            assert z == pytest.approx(1.6449, abs=1e-3)


def test_a_cost_that_was_not_measured_is_told_as_a_lower_bound() -> None:
    events = [*_look(0, 0.5, 100), *_look(1, 0.5, 100)]
    events[0] = events[0].model_copy(update={"spent": Toll(energy_kwh=1e-3, duration_s=2.0)})
    looks = spent_by_kind(events)["look"]
    assert looks.text("energy_kwh") == "≥ 1.00 Wh" and looks.text("emissions_kg") == "–"
