from __future__ import annotations

import io
import re
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import pytest
from rich.console import Console

from foretoll.report import (
    comparison_table,
    estimate_table,
    indices_table,
    ledger_table,
    measured_table,
    run_table,
)
from foretoll.report.terminal import as_text


def shown(examples: ModuleType, name: str, width: int) -> str:
    if name.startswith("compare-"):
        return as_text(comparison_table(*examples.records(name)), width=width)
    estimate, run = examples.pages()[name]
    table = estimate_table(estimate, run) if estimate is not None else run_table(run)
    return as_text(table, width=width)


def test_forecast_interval_measurement_and_basis_stand_on_one_line(examples: ModuleType) -> None:
    lines = shown(examples, "both", 110).splitlines()
    row = {line.split("  ")[0]: re.split(r"\s{2,}", line) for line in lines if line}
    assert lines[0] == "Retraining cnn (94 k parameters) on digits with gaussian noise 0.3 to accuracy 0.92"
    assert row["target reached"][1:] == [
        "97 %",
        "yes: 0.924 validation, 0.928 test",
        "accuracy 0.92 within 20 epochs",
    ]
    assert row["epochs"][1:] == ["2.4", "1.7 … 3.6", "2.25"]
    assert row["duration"][1:] == ["4.8 s", "3.3 … 7.5", "4.40 s"]
    assert row["energy"][1:] == ["21 mWh", "9.0 … 40", "19.0 mWh", "power model, 0 % by counter;"]
    assert "the truth may be 0.5 to 2.2 times this" in " ".join(" ".join(lines).split())
    assert row["CO2e emissions"][1:] == ["7.0 mg", "3.0 … 13", "6.30 mg", "DE, 331 g/kWh (2022), PUE 1.0"]
    assert row["parameter change"][1:] == ["0.0081", "0.0066 … 0.010", "0.00793"]
    assert row["gradient norm"][1:] == ["3.9", "2.8 … 5.5", "4.21"]
    for title in ("Why", "Instead", "Rests on", "Self-cost"):
        assert title in row


@pytest.mark.parametrize("width", [60, 80, 110])
def test_no_line_is_wider_than_the_terminal_and_no_number_leaves_its_unit(
    examples: ModuleType, page_name: str, width: int
) -> None:
    text = shown(examples, page_name, width)
    for line in text.splitlines():
        assert len(line) <= width
        assert not re.match(r"\s*(%|(kWh|Wh|mWh|mg)\b|CO2e\b(?! emissions))", line), line
    assert "None" not in text and "nan" not in text


def test_a_narrow_terminal_breaks_only_between_words(examples: ModuleType) -> None:
    wide, narrow = shown(examples, "both", 400), shown(examples, "both", 60)
    assert set(narrow.split()) - set(wide.split()) <= set()


def test_a_censored_run_says_so_and_is_never_green(examples: ModuleType) -> None:
    stream = io.StringIO()
    console = Console(
        file=stream, width=110, force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    console.print(estimate_table(examples.unlikely(), examples.censored_run()))
    console.print(ledger_table([examples.censored_run()]))
    text = stream.getvalue()
    assert "\x1b[32m" not in text and "\x1b[1;32m" not in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert (
        "no, not reached: 0.754 validation, 0.744 test" in plain and "It did not reach accuracy 0.92" in plain
    )
    assert "no upper end" in plain and "not reached" in plain


def test_no_colour_where_there_is_no_terminal(examples: ModuleType) -> None:
    stream = io.StringIO()
    Console(file=stream, width=100).print(estimate_table(*examples.pages()["censored"]))
    assert "\x1b" not in stream.getvalue()
    assert str(run_table(examples.run())) == as_text(run_table(examples.run()))


def test_a_text_is_a_text_in_a_notebook_too(examples: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = as_text(run_table(examples.run()))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert as_text(run_table(examples.run())) == usual == str(run_table(examples.run()))


def test_the_quality_on_the_source_stands_beside_that_on_the_target(examples: ModuleType) -> None:
    signals = examples.estimate().signals
    text = as_text(estimate_table(examples.estimate(signals={**signals, "source_quality": 0.984})), width=200)
    assert "accuracy on the target before any update: 0.561, against 0.984 on the source" in text


def test_what_was_said_of_a_forecast_is_not_said_again(examples: ModuleType) -> None:
    estimate = examples.estimate(warnings=("said before",))
    run = examples.run().model_copy(update={"warnings": ("said before", "only now")})
    text = as_text(measured_table(estimate, run))
    whole = as_text(estimate_table(estimate, run))
    for line in ("epochs ", "energy ", "Outcome ", "Self-cost "):
        (found,) = (row for row in text.splitlines() if row.startswith(line))
        assert found.split() in [row.split() for row in whole.splitlines()]
    assert "only now" in text and not any(
        word in text for word in ("said before", "Why", "Rests on", "Read ")
    )


def test_missing_values_are_dashes_with_their_reason(examples: ModuleType) -> None:
    text = shown(examples, "nothing", 110)
    assert re.search(r"energy +– +– +no energy meter was used", text)
    assert re.search(r"CO2e emissions +– +– +no grid region is known", text)
    assert "no run of the ledger has this kind of data" in text
    text = shown(examples, "no_energy", 200)
    assert re.search(r"energy +– +– +– +not measured \(--energy none\)", text)


def test_text_from_files_is_no_markup(examples: ModuleType) -> None:
    warned = examples.estimate(warnings=("[red]not markup[/red] [/]",))
    assert "[red]not markup[/red] [/]" in as_text(estimate_table(warned), width=110)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_ledger_keeps_what_matters_at_every_width(examples: ModuleType, width: int) -> None:
    first, second = (
        examples.run(id="aaaaaaaa-1"),
        examples.censored_run().model_copy(update={"id": "aaaaaaaa-2"}),
    )
    text = as_text(ledger_table([first, second, examples.long_names()[1]]), width=width)
    assert all(len(line) <= width for line in text.splitlines())
    plain_text = " ".join(text.split())
    assert "efficient_backbones_v2:build_large_variant_with_attention" in plain_text.replace(" ", "")
    name = "warehouse_camera_17_north_entrance_after_the_lamps_were_replaced_2026"
    assert name in plain_text.replace(" ", "")
    assert plain_text.count("2026-03-14 09:26") == 3 and plain_text.count("gaussian noise 0.3") == 2
    assert "aaaaaaaa-1" in text and "aaaaaaaa-2" in text  # as long as it takes to tell them apart
    for word in ("finetune", "not reached", "2.25", "20.0"):
        assert word in text
    assert "19.0 mWh" in text and "0.928" in text and "…" not in text


def test_an_empty_ledger_says_what_to_do() -> None:
    assert "foretoll retrain" in as_text(ledger_table([]))


def test_indices_may_be_mappings_dataclasses_or_named_tuples() -> None:
    @dataclass
    class Index:
        name: str
        needs_labels: bool

    class Other(NamedTuple):
        name: str
        needs_labels: bool | None

    rows = [
        Index("resque", True),
        Other("arm", None),
        {"name": "logme", "needs_labels": False, "source": "a [b]"},
    ]
    lines = as_text(indices_table(rows), width=80).splitlines()
    assert lines[0].split() == ["name", "needs", "labels", "source"]
    assert [line.split() for line in lines[1:]] == [
        ["resque", "yes", "–"],
        ["arm", "–", "–"],
        ["logme", "no", "a", "[b]"],
    ]
