"""One story, three media: whatever a block says stands in the page, in Markdown and on the terminal."""

from __future__ import annotations

import html
import re
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretoll.report import document_of, story, write_report
from foretoll.report.document import (
    Column,
    Document,
    Figure,
    Headline,
    Line,
    Lines,
    Note,
    Outcome,
    Row,
    Section,
    Table,
    Warnings,
    texts,
)
from foretoll.report.html import page
from foretoll.report.ledger_list import ledger_blocks
from foretoll.report.markdown import escaped, markdown
from foretoll.report.terminal import Terminal, as_text


def squeezed(text: str) -> str:
    """Without spaces, which each medium sets as it needs, and in one case, as sentences begin with a capital."""
    return re.sub(r"[\s\N{NO-BREAK SPACE}\N{WORD JOINER}▸→]", "", text).casefold()


def of_page(text: str) -> str:
    return squeezed(html.unescape(re.sub(r"<[^>]*>", " ", text.split("</style>")[1])))


def of_markdown(text: str) -> str:
    plain = re.sub(r"</?(?:details|summary)>|<!-- -->", "", text)
    return squeezed(re.sub(r"\\([\\`*_{}\[\]#!|~$])", r"\1", html.unescape(plain)).replace("**", ""))


def made_document(examples: ModuleType, name: str) -> Document:
    if name.startswith("compare-"):
        return document_of(comparison=examples.comparisons()[name.removeprefix("compare-")])
    estimate, run = examples.pages()[name]
    return document_of(estimate=estimate, run=run)


def test_every_text_stands_in_every_medium(examples: ModuleType, page_name: str) -> None:
    document = made_document(examples, page_name)
    shown = {
        "page": of_page(page(document)),
        "markdown": of_markdown(markdown(document)),
        "terminal": squeezed(as_text(Terminal(lambda: document.blocks), width=2_000)),
    }
    for block in document.blocks:
        for text in texts(block):
            for medium, whole in shown.items():
                if isinstance(block, Headline) and not block.label and medium == "terminal":
                    continue  # the first table says the same
                if isinstance(block, Figure) and medium == "markdown" and block.repeated:
                    continue  # a picture alone, of what the tables hold
                if isinstance(block, Figure) and medium == "markdown" and text in dict(block.legend).values():
                    continue
                assert squeezed(text) in whole, (medium, text)


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_of_any_width_holds_every_word_and_number(
    examples: ModuleType, page_name: str, width: int
) -> None:
    document = made_document(examples, page_name)
    shown = as_text(Terminal(lambda: document.answer), width=width)
    wide = as_text(Terminal(lambda: document.answer), width=2_000)
    assert max(map(len, shown.splitlines())) <= width
    if page_name in ("malicious", "compare-nothing", "compare-two", "long"):
        return  # words longer than the terminal are broken within
    assert set(wide.split()) <= set(shown.split()), "nothing is cut"


@pytest.mark.parametrize("width", [80, 120])
def test_no_two_columns_of_a_comparison_have_one_name(examples: ModuleType, width: int) -> None:
    for found in examples.comparisons().values():
        for block in document_of(comparison=found).answer:
            if isinstance(block, Table):
                names = [column.name for column in block.columns]
                assert len(set(names)) == len(names)
    text = " ".join(
        as_text(
            Terminal(lambda: document_of(comparison=examples.measured_comparison()).answer), width=width
        ).split()
    )
    for fact in ("0.94 (0.89…0.98)", "0.928", "9.0 mWh (3.0…27)", "11 mWh", "1.8 s", "2.3 s", "84 %"):
        assert fact in text, fact


@given(st.text(max_size=60))
@example("\\[")
def test_markdown_has_no_markup_of_a_text(text: str) -> None:
    shown = escaped(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*_\[\]|]", shown), shown
    assert "<" not in shown.replace("<!-- -->", "") and "\n" not in shown
    assert of_markdown(shown) == squeezed(
        re.sub(r"</?(?:details|summary)>|<!-- -->", "", text).replace("**", "")
    )


def test_a_table_in_markdown_keeps_its_columns_whatever_stands_in_it() -> None:
    evil = "a | b\n| --- |\n@team #12 https://example.org ![x](y) <img src=x> `z`"
    block = Table((Column(evil), Column("n", number=True)), [Row((evil, "1"), note=evil)], evil)
    text = markdown(Document("", [Headline(evil, evil), block, Warnings([evil]), Section(evil), Note(evil)]))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {4}
    assert "<img" not in text and "https://" not in text and "@team" not in text and "![" not in text


def test_markdown_beside_the_page(examples: ModuleType, tmp_path: object) -> None:
    path = write_report(f"{tmp_path}/report.md", estimate=examples.estimate(), run=examples.run())
    text = path.read_text("utf-8")
    assert text.startswith("# Retraining cnn (94 k parameters) on digits with gaussian noise 0.3")
    basis = "power model, 0 % by counter; the truth may be 0.5 to 2.2 times this"
    assert f"| energy | 21 mWh | 9.0 … 40 | 19.0 mWh | {basis} |" in text
    assert "**Measured** It reached accuracy 0.92" in text
    assert text.count("<details>") == text.count("</details>") > 3


@pytest.mark.parametrize("width", range(20, 140, 7))
def test_a_table_fits_any_width_and_loses_no_cell(width: int) -> None:
    heads = [Column("name"), Column("one\nfact", number=True), Column("where", below=True), Column("why")]
    rows = [
        Row((f"row {i}", f"{i}.5 mWh", f"place number {i}", "for a reason of some length"), note=f"note {i}")
        for i in range(5)
    ]
    text = as_text(
        Terminal(lambda: [Table(heads, rows), Lines([Line("Why", ("so",))]), Outcome("done")]), width=width
    )
    assert max(map(len, text.splitlines())) <= width
    flat = squeezed(text)
    for row in rows:
        for cell in (row.cells[0], row.cells[1], row.note):
            assert squeezed(cell) in flat
    for word in ("place", "reason", "length", "Why", "done"):
        assert word in text


def test_an_interval_that_ends_at_the_budget_is_a_lower_bound_in_every_row(examples: ModuleType) -> None:
    estimate, run = examples.estimate(), examples.run()
    epochs = estimate.forecast.epochs.model_copy(update={"high": estimate.settings.max_epochs})
    open_ended = estimate.model_copy(
        update={"forecast": estimate.forecast.model_copy(update={"epochs": epochs})}
    )
    for width in (80, 120):
        text = as_text(Terminal(lambda: document_of(estimate=open_ended, run=run).answer), width=width)
        for row in ("epochs +2.4 +1.7 … ≥ 20", "duration +4.8 s +3.3 … ≥ 7.5", "energy +21 mWh +9.0 … ≥ 40"):
            assert re.search(rf"^{row} \(the limit\)", text, re.MULTILINE), (row, text)
        assert re.search(r"^gradient norm +3\.9 +2\.8 … 5\.5 ", text, re.MULTILINE), "no limit of its own"
        assert "(1.7 … ≥ 20, the limit)" in document_of(estimate=open_ended).answer[0].sentence
    beyond = estimate.forecast.epochs.model_copy(update={"median": 20.0, "low": 20.0, "high": 20.0})
    none = estimate.model_copy(update={"forecast": estimate.forecast.model_copy(update={"epochs": beyond})})
    assert re.search(
        r"^epochs +≥ 20 +≥ 20 \(the limit\)",
        as_text(Terminal(lambda: document_of(estimate=none).answer), width=80),
        re.M,
    )


def test_an_expected_accuracy_under_chance_is_no_forecast(examples: ModuleType) -> None:
    def low(median: float) -> object:
        return examples.interval(median, median / 2, 0.5)

    text = as_text(
        Terminal(lambda: document_of(estimate=examples.estimate(expected_quality=low(0.09))).answer),
        width=200,
    )
    assert "no forecast of the accuracy on test data: what the runs suggest lies below chance (0.10)" in text
    text = as_text(
        Terminal(lambda: document_of(estimate=examples.estimate(expected_quality=low(0.4))).answer), width=200
    )
    assert "accuracy 0.40 on test data (0.20 … 0.50)" in text
    keep, *others = examples.comparison().candidates
    found = examples.comparison(candidates=(keep.model_copy(update={"quality": low(0.02)}), *others))
    for width in (80, 120):
        shown = as_text(Terminal(lambda: document_of(comparison=found).answer), width=width)
        assert "under chance" in shown and "0.02" not in shown and "no better than guessing" in shown


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (0.928, "the difference is within the sampling error of 288 and 360 samples (± 0.034)"),
        (
            0.85,
            "where it is significantly below the target: the difference is larger than the sampling error of",
        ),
        (0.99, "the test data are the easier ones"),
    ],
)
def test_reached_is_said_on_both_splits_with_what_their_difference_means(
    examples: ModuleType, after: float, said: str
) -> None:
    run = examples.run()
    run = run.model_copy(update={"quality": run.quality.model_copy(update={"after": after})})
    text = " ".join(as_text(Terminal(lambda: document_of(run=run).answer), width=120).split())
    yes = "yes, but not on test data" if after == 0.85 else "yes"
    assert said in text and f"{yes}: 0.924 validation, {after:.3f} test" in text
    assert ("reached, not on test" in str(ledger_blocks([run]))) == (after == 0.85)


def test_of_a_metric_where_less_is_better_the_higher_figure_is_the_worse_one(examples: ModuleType) -> None:
    run = examples.run()
    settings = run.settings.model_copy(update={"metric": "rmse", "until": 4.0})
    curve = tuple(point.model_copy(update={"quality": 3.9}) for point in run.curve)
    quality = run.quality.model_copy(update={"metric": "rmse", "before": 9.0, "after": 5.2})
    found = run.model_copy(update={"settings": settings, "curve": curve, "quality": quality})
    text = story.both_qualities(found)
    assert "3.900 on the validation data" in text and "5.200 on test data" in text
    assert "expect the higher one in practice" in text, text
