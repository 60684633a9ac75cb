"""Correlations against scipy and closed forms; censored runs, groups, the repeat line, text."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from foretoll.cli import app
from foretoll.errors import UsageError
from foretoll.ledger import write_runs
from foretoll.records import (
    Outcome,
)
from foretoll.report.document import Document
from foretoll.report.html import page as page_of
from foretoll.report.markdown import markdown
from foretoll.report.terminal import Terminal, as_text
from foretoll.research import correlate
from foretoll.research.columns import REPEAT, columns
from foretoll.research.leave_out import rows_of
from foretoll.research.study_document import study_document
from foretoll.research.study_tables import study_blocks
from foretoll.research.tables import KIND, MODEL, POOLED, TARGET, study_tables
from foretoll.study.reading import runs_of

from .making import made, make_run


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 3)), min_size=3, max_size=25
    ).filter(lambda rows: sum(w for _, _, w in rows) > 2)
)
def test_weighted_ranks_are_those_of_the_repeated_sample(rows: list[tuple[int, int, int]]) -> None:
    x, y = (np.array([row[i] for row in rows], dtype=np.float64) for i in (0, 1))
    counts = np.array([w for _, _, w in rows])
    weights = counts[None].astype(np.float64)
    found = correlate.weighted_correlation(
        correlate.midranks(x, weights), correlate.midranks(y, weights), weights
    )[0]
    repeated_x, repeated_y = np.repeat(x, counts), np.repeat(y, counts)
    if np.ptp(repeated_x) == 0 or np.ptp(repeated_y) == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(scipy.stats.spearmanr(repeated_x, repeated_y).statistic, abs=1e-9)


def test_plain_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.integers(0, 5, size=40).astype(np.float64)
    assert correlate.spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert correlate.pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic)
    assert correlate.spearman(x, np.ones(40)) is None


def test_draws_take_whole_settings() -> None:
    weights = correlate.draws_of(["a", "a", "b", "c", "c"], draws=50, seed=1)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_the_spread_of_seeds_is_shown_where_a_setting_has_several() -> None:
    many = study_tables(made())
    spread = many.sections[0].spread
    titles = [getattr(block, "title", "") for block in study_blocks(many, ["epochs"])]
    assert spread.settings and "Spread of the seeds" in titles
    (section,) = many.sections
    alone = replace(many, sections=(replace(section, spread=replace(spread, settings=0, disagree=0)),))
    titles = [getattr(block, "title", "") for block in study_blocks(alone, ["epochs"])]
    assert titles and "Spread of the seeds" not in titles


def test_a_monotone_signal_orders_everything_and_censored_runs_stay_in() -> None:
    (section,) = study_tables(made()).sections
    assert section.runs == 120
    assert section.settings == 60
    assert 0 < section.censored < 60
    pooled = section.find("recoverability_gap", "epochs", POOLED)
    assert pooled is not None
    assert (pooled.runs, pooled.censored, pooled.groups) == (120, section.censored, 1)
    assert pooled.concordance == 1.0
    assert pooled.spearman is not None
    assert 0.98 < pooled.spearman < 1  # ties at the limit
    assert pooled.low is not None
    assert pooled.high is not None
    assert pooled.low < pooled.spearman <= pooled.high + 1e-9
    for scope, groups in ((MODEL, 2), (KIND, 3)):
        found = section.find("recoverability_gap", "epochs", scope)
        assert found is not None
        assert (found.groups, found.runs) == (groups, 120)
    # what promises ease is turned, and says so
    logme = section.find("logme", "epochs", POOLED)
    assert logme is not None
    assert logme.title == "− LogME"
    assert logme.spearman == pooled.spearman
    assert section.find("mmd", "epochs", POOLED) is None  # known of no run


def test_dropping_censored_runs_would_change_the_figure() -> None:
    runs = made(noise=4.0)
    whole = study_tables(runs).sections[0].find("recoverability_gap", "epochs", POOLED)
    part = study_tables([r for r in runs if r.outcome is Outcome.REACHED]).sections[0]
    reached = part.find("recoverability_gap", "epochs", POOLED)
    assert whole is not None
    assert reached is not None
    assert reached.runs < whole.runs
    assert abs((whole.spearman or 0) - (reached.spearman or 0)) > 0.02


def test_the_repeat_line_is_the_other_seed() -> None:
    (exact,) = study_tables(made()).sections
    repeat = exact.find(REPEAT, "epochs", POOLED)
    assert repeat is not None
    assert repeat.spearman == pytest.approx(1.0)
    assert exact.spread.settings == 60
    assert exact.spread.disagree == 0
    assert exact.spread.factor["epochs"] == 1.0
    (noisy,) = study_tables(made(noise=3.0)).sections
    repeat = noisy.find(REPEAT, "epochs", POOLED)
    assert repeat is not None
    assert repeat.spearman is not None
    assert repeat.spearman < 0.97
    assert (noisy.spread.factor["epochs"] or 0) > 1.1
    assert noisy.spread.disagree > 0


def test_the_interval_covers_what_the_study_was_drawn_from() -> None:
    """95 % intervals of small studies cover the correlation of a very large one most of the time."""
    truth = study_tables(made(300, noise=4.0, seed=99)).sections[0]
    expected = truth.find("recoverability_gap", "epochs", POOLED)
    assert expected is not None
    assert expected.spearman is not None
    inside = 0
    for seed in range(20):
        found = (
            study_tables(made(30, noise=4.0, seed=seed))
            .sections[0]
            .find("recoverability_gap", "epochs", POOLED)
        )
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= expected.spearman <= found.high
    assert inside >= 16


def test_costs_that_were_not_measured_are_left_out() -> None:
    runs = [
        run.model_copy(update={"toll": run.toll.model_copy(update={"energy_kwh": None})}) for run in made(20)
    ]
    (section,) = study_tables(runs).sections
    assert {a.cost for a in section.associations} == {"epochs", "gradient_norm", "parameter_change"}


def test_sorts_of_shift_have_sections_of_their_own() -> None:
    runs = made(12)
    for number in range(12):
        runs.append(
            make_run(
                500 + number,
                gap=number / 12,
                epochs=number,
                kind=None,
                target=("usps", "kmnist")[number % 2],
                task=True,
            )
        )
        runs.append(make_run(600 + number, gap=number / 12, epochs=12 - number, kind=None, target="svhn"))
    tables = study_tables(runs)
    assert [s.shift for s in tables.sections] == ["distribution", "natural", "task"]
    task = tables.sections[2]
    assert TARGET in task.scopes
    found = task.find("recoverability_gap", "epochs", TARGET)
    assert found is not None
    assert (found.groups, found.spearman) == (2, pytest.approx(1.0))
    natural = tables.sections[1].find("recoverability_gap", "epochs", POOLED)
    assert natural is not None
    assert natural.spearman == pytest.approx(-1.0, abs=0.01)
    assert natural.concordance == 0.0


def test_main_signals_come_first_and_all_on_demand() -> None:
    rows = rows_of(made(4))
    main = [column.name for column in columns(rows)]
    assert main[0] == "recoverability_gap"
    assert "initial_quality" not in main
    assert "initial_quality" in [column.name for column in columns(rows, everything=True)]


def test_text_fits_a_narrow_terminal_and_markdown_has_every_number() -> None:
    tables = study_tables(made())
    for width in (60, 80, 140):
        text = as_text(
            Terminal(lambda: study_blocks(tables, ["epochs", "energy_kwh"], by_kind=True)), width=width
        )
        assert max(map(len, text.splitlines())) <= width
        assert "120 runs" in " ".join(text.split())
        assert "repeat (another seed)" in " ".join(text.split())
    page = markdown(Document("", study_blocks(tables, ["epochs"], by_kind=True)))
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "gaussian noise" in page


def test_the_command_line(tmp_path: Path) -> None:
    export = tmp_path / "runs.jsonl.gz"
    write_runs(export, made())
    runner = CliRunner()
    done = runner.invoke(app, ["study", "table", str(export), "--json"])
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert data["runs"] == 120
    entry = data["sections"][0]["associations"][0]
    assert {"signal", "cost", "scope", "runs", "censored", "spearman", "low", "high"} <= entry.keys()
    done = runner.invoke(app, ["study", "table", str(export), "--cost", "all", "--markdown"])
    assert done.exit_code == 0
    assert "**Gradient norm: what orders it**" in done.stdout
    out = tmp_path / "page.html"
    done = runner.invoke(app, ["study", "plot", str(export), "--out", str(out)])
    assert done.exit_code == 0
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    wrong = runner.invoke(app, ["study", "table", str(export), "--cost", "epoch"])
    assert isinstance(wrong.exception, UsageError)
    assert "epochs" in str(wrong.exception)
    with pytest.raises(UsageError, match="is no ledger: give the folder of a study"):
        runs_of(str(tmp_path / "nothing"))


def test_the_page_is_self_contained_and_escapes(tmp_path: Path) -> None:
    runs = made(24)
    evil = "<script>alert(1)</script>"
    runs[0] = runs[0].model_copy(update={"tags": (f"study:{evil}", *runs[0].tags)})
    page = page_of(study_document(runs))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    for away in ("http://", "https://", "src=", "@import", "url("):
        assert away not in page
    assert page.count("<svg") > 3
    assert "Seed against seed" in page
    assert "hollow" in page.lower()


def test_an_empty_study_says_so() -> None:
    assert "0 finetune runs" in as_text(Terminal(lambda: study_blocks(study_tables([]), ["epochs"])))
    assert "too few to relate" in page_of(study_document(made(1)))
