"""How the data were read, and what the reading warns of, stands in every answer."""

from __future__ import annotations

from types import ModuleType

import pytest

from foretoll.records import Comparison, DataCard, Estimate, Run
from foretoll.report import comparison_table, document_of, estimate_table, run_table
from foretoll.report.document import Document
from foretoll.report.html import page
from foretoll.report.jsonfile import json_text
from foretoll.report.markdown import markdown
from foretoll.report.terminal import as_text
from foretoll.report.words import readings

SOURCE = "1,200 images, 3 classes, splits from folders, EXIF applied"
TARGET = "900 images, 3 classes, splits drawn 60/20/20"
NOTE = "columns left out: customer (texts that are all different)"


def read_as(card: DataCard, reading: str) -> DataCard:
    return card.model_copy(update={"reading": reading})


def answers(examples: ModuleType) -> dict[str, Estimate | Run | Comparison]:
    cards = {
        "source": read_as(examples.data_card(), SOURCE),
        "target": read_as(examples.data_card(), TARGET),
        "warnings": (NOTE,),
    }
    return {
        "estimate": examples.estimate(**cards),
        "run": examples.run(**cards),
        "comparison": examples.comparison(**cards),
    }


def terminal(record: Estimate | Run | Comparison) -> str:
    if isinstance(record, Comparison):
        return as_text(comparison_table(record), width=200)
    return as_text(estimate_table(record) if isinstance(record, Estimate) else run_table(record), width=200)


def told(record: Estimate | Run | Comparison) -> Document:
    if isinstance(record, Comparison):
        return document_of(comparison=record)
    return document_of(estimate=record) if isinstance(record, Estimate) else document_of(run=record)


@pytest.mark.parametrize("answer", ["estimate", "run", "comparison"])
def test_every_answer_shows_how_the_data_were_read(examples: ModuleType, answer: str) -> None:
    record = answers(examples)[answer]
    for text in (terminal(record), page(told(record)), markdown(told(record))):
        plain = text.replace("\N{NO-BREAK SPACE}", " ")
        assert f"ource: {SOURCE}" in plain and f"arget: {TARGET}" in plain
        assert NOTE in plain
    assert SOURCE in json_text(record) and TARGET in json_text(record) and NOTE in json_text(record)


def test_one_line_where_both_sides_were_read_the_same_way(examples: ModuleType) -> None:
    card = examples.data_card()
    same = read_as(card, SOURCE)
    assert readings(same, same) == (f"source and target: {SOURCE}",)
    assert readings(None, same) == (SOURCE,), "a model trained from nothing has no source"
    assert readings(card, card) == (), "records of before say nothing"
    assert readings(card, same) == (f"target: {SOURCE}",)
