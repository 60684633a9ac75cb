"""The page of a ledger: sums, calibration, search, escaping, and memory that does not grow with the runs."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from foretoll.cli import app
from foretoll.decide.money import Price
from foretoll.errors import UsageError
from foretoll.ledger import Ledger
from foretoll.records import Interval, Outcome, Run
from foretoll.report.html import page
from foretoll.report.jsonfile import badge
from foretoll.report.ledger_document import ledger_document
from foretoll.report.ledger_totals import BINS, LISTED, MOST_GROUPS, Calibration, LedgerTotals
from foretoll.report.markdown import markdown
from foretoll.report.terminal import Terminal, as_text


def made(examples: ModuleType, number: int, *, seed: int = 0) -> Iterator[Run]:
    """Runs that took so many times their forecast, in the order of their start."""
    draw = random.Random(seed)
    run, forecast = examples.run(), examples.estimate().made_forecast
    for i in range(number):
        factor = draw.lognormvariate(0, 0.5)
        toll = run.toll.model_copy(update={"energy_kwh": 2.1e-5 * factor})
        outcome = draw.choice([Outcome.REACHED, Outcome.REACHED, Outcome.CENSORED, Outcome.FAILED])
        changes = {
            "id": f"run-{i:06d}", "toll": toll, "outcome": outcome, "forecast": forecast,
            "started_at": examples.START + timedelta(days=i % 400, seconds=i),
            "model": examples.model_card(draw.choice(["foretoll:cnn", "timm:resnet18"])),
        }  # fmt: skip
        yield run.model_copy(update=changes)


def test_sums_are_those_of_the_runs(examples: ModuleType) -> None:
    runs = list(made(examples, 300))
    totals = LedgerTotals.of(runs)
    assert totals.everything.runs == 300 == sum(s.runs for s in totals.months.values())
    assert sum(s.runs for s in totals.groups.values()) + totals.others.runs == 300
    energy = sum(run.toll.energy_kwh or 0 for run in runs)
    assert totals.everything.energy_kwh == pytest.approx(energy)
    assert sum(s.energy_kwh for s in totals.months.values()) == pytest.approx(energy)
    ended = [run for run in runs if run.outcome in (Outcome.REACHED, Outcome.CENSORED)]
    assert totals.forecasts == len(ended) == sum(runs for runs, *_ in totals.chances.values())
    reached = [run for run in ended if run.outcome is Outcome.REACHED]
    found = totals.calibration["energy_kwh"]
    inside = [9e-6 <= (run.toll.energy_kwh or 0) <= 4e-5 for run in reached]
    assert (found.runs, found.held) == (len(reached), sum(inside))
    factors = found.factors()
    assert factors is not None and factors[0] == pytest.approx(1.0, abs=0.15)
    assert factors[1] == pytest.approx(2.718 ** (0.6745 * 0.5), rel=0.15), "the median of |N(0, 0.5)|"
    assert totals.calibration["epochs"].runs == len(ended), "of what did not reach, the epochs alone"


def test_a_budget_is_no_upper_end_when_forecasts_are_judged() -> None:
    expected = Interval(median=5.0, low=2.0, high=20.0)
    for value, complete, limit, held in (
        (25.0, True, None, 0), (20.0, False, 20.0, 1), (20.0, False, None, 1), (21.0, False, None, 0),
        (1.0, True, 20.0, 0), (1.0, False, 20.0, 1), (25.0, True, 20.0, 1),
    ):  # fmt: skip
        found = Calibration()
        found.add(expected, value, complete=complete, max_value=limit)
        assert (found.runs, found.held) == (1, held), (value, complete, limit)
        assert len(found.log_ratios) == complete
    assert Calibration().factors() is None


def test_memory_does_not_grow_with_the_runs(examples: ModuleType) -> None:
    def peak(number: int) -> int:
        tracemalloc.start()
        try:
            LedgerTotals.of(made(examples, number))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(LISTED + 500), peak(4 * LISTED)
    assert many < 1.2 * few, (few, many)


def test_many_cases_are_counted_together(examples: ModuleType) -> None:
    runs = [examples.run(target=examples.data_card(f"data {i}"), id=f"r{i}") for i in range(MOST_GROUPS + 20)]
    totals = LedgerTotals.of(runs)
    assert len(totals.groups) == MOST_GROUPS and totals.others.runs == 20
    text = as_text(Terminal(lambda: ledger_document(runs).blocks), width=200)
    assert f"The {MOST_GROUPS + 20 - 200} runs of other cases" in " ".join(text.split())


def test_the_page_searches_by_its_own_script_alone_and_escapes_the_rest(
    examples: ModuleType, chromium: Callable[..., str], tmp_path: Path
) -> None:
    evil = examples.MALICIOUS
    bad = examples.malicious()[1].model_copy(
        update={"started_at": examples.START, "id": f"bad{evil}", "option": "</script><script>x()</script>"}
    )
    runs = [*made(examples, 40), bad]
    text = page(ledger_document(runs, price=Price(0.3, "EUR"), unread=[evil]))
    assert text.count("<script>") == 1 and "script-src 'sha256-" in text and "<img" not in text
    for away in ("http://", "https://", "src=x", "@import", "url("):
        assert away not in re.sub(r"src=x (<[^>]*>)?onerror=alert\(1\)&gt;", "", text), away
    file = tmp_path / "ledger.html"
    file.write_text(text, encoding="utf-8")
    dom = chromium(file)
    assert "41 of 41" in dom, "the script ran, and its policy let it"
    assert "owned" not in dom.split("<title>")[1].split("</title>")[0]


@pytest.mark.parametrize("chosen", [("resnet18", "", 21), ("", "reached", 18), ("run-000003", "", 1)])
def test_search_and_choice_leave_the_right_rows(
    examples: ModuleType, chromium: Callable[..., str], tmp_path: Path, chosen: tuple[str, str, int]
) -> None:
    words, outcome, _ = chosen
    runs = list(made(examples, 40))
    wanted = [
        run
        for run in runs
        if words in f"{run.model.arch} {run.id}" and (not outcome or run.outcome.value == outcome)
    ]
    assert 0 < len(wanted) < 40
    act = (
        "<script>addEventListener('load', () => {"
        f"document.querySelector('input[type=search]').value = {json.dumps(words)};"
        "for (const s of document.querySelectorAll('select'))"
        f" if ([...s.options].some(o => o.value == {json.dumps(outcome)})) s.value = {json.dumps(outcome)};"
        "document.querySelector('form.search').dispatchEvent(new Event('input'));});</script>"
    )
    text = page(ledger_document(runs))
    policy = text[text.index("<meta http-equiv") : text.index(">", text.index("<meta http-equiv")) + 1]
    file = tmp_path / "ledger.html"
    file.write_text(text.replace(policy, "").replace("</body>", f"{act}</body>"), encoding="utf-8")
    assert f"{len(wanted)} of 40</output>" in chromium(file)


def test_the_same_facts_on_a_terminal_and_in_markdown(examples: ModuleType) -> None:
    document = ledger_document(made(examples, 30), price=Price(0.3, "EUR"))
    for text in (as_text(Terminal(lambda: document.blocks), width=160), markdown(document)):
        assert "How your forecasts came out" in text and "EUR" in text and "run-000029" in text
    bare = ledger_document([examples.run()])
    assert "No run keeps the forecast" in page(bare)
    assert "No runs yet" in page(ledger_document([]))


def test_the_command_and_its_anonymous_form(
    examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = "/srv/secret/models/new"
    ledger = Ledger(tmp_path / "l.db")
    for run in made(examples, 12):
        ledger.finish(run.model_copy(update={"model": examples.model_card(f"hf:{secret}")}))
    for words, there in ((["--price", "0.30EUR/kWh"], True), (["--anonymous", "--json"], False)):
        done = CliRunner().invoke(app, ["ledger", "page", "--ledger", str(tmp_path / "l.db"), *words])
        assert done.exit_code == 0, done.output
        text = (tmp_path / "ledger.html").read_text("utf-8")
        assert (secret in text) == there and ("EUR" in text) == there
    assert json.loads(done.stdout) == {"page": "ledger.html"}
    wrong = CliRunner().invoke(app, ["ledger", "page", "--price", "cheap"])
    assert isinstance(wrong.exception, UsageError) and "0.30/kWh" in str(wrong.exception)


def test_a_stream_gives_every_run_in_order_and_names_what_cannot_be_read(
    examples: ModuleType, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path / "l.db")
    assert list(ledger.stream()) == []
    runs = sorted(made(examples, 23), key=lambda run: (run.started_at, run.id))
    for run in runs:
        ledger.finish(run)
    for at_once in (1, 7, 23, 500):
        assert [getattr(run, "id", "") for run in ledger.stream(at_once=at_once)] == [run.id for run in runs]


@pytest.mark.parametrize(
    ("text", "price"),
    [("0.30/kWh", Price(0.3)), (" 0.3 EUR / kwh", Price(0.3, "EUR")), ("1€/kWh", Price(1.0, "€"))],
)
def test_prices(text: str, price: Price) -> None:
    assert Price.parse(text) == price
    assert price.text(2.0).startswith(f"{2 * price.per_kwh:.2f}")


def test_a_badge_says_what_an_update_costs(examples: ModuleType) -> None:
    assert badge(examples.estimate(), None) == {
        "schemaVersion": 1,
        "label": "retraining forecast",
        "message": "21 mWh, 7.0 mg CO2e",
        "color": "blue",
    }
    assert badge(examples.estimate(), examples.run())["color"] == "brightgreen"
    assert badge(None, examples.censored_run())["color"] == "orange"
    assert badge(examples.nothing_known(), None)["message"] == "not known"
    assert BINS[0] == 0.0 and BINS[-1] == 1.0
