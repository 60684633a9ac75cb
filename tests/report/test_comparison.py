"""A comparison as a table, as a page with its picture, and as JSON."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

from foretoll import write_report
from foretoll.errors import ForetollError, UsageError
from foretoll.report import comparison_table, document_of, read_comparison, write_json
from foretoll.report.comparison_plots import tradeoff_figure
from foretoll.report.html import page
from foretoll.report.terminal import as_text


def shown(examples: ModuleType, name: str, width: int = 120) -> str:
    return as_text(comparison_table(examples.comparisons()[name]), width=width)


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_table_has_a_line_a_candidate_and_marks_the_recommended_one(examples: ModuleType) -> None:
    text = shown(examples, "forecast")
    assert text.startswith(
        "Reusing cnn (94 k parameters) on digits with gaussian noise 0.3, to accuracy 0.92"
    )
    assert re.findall("^▸ (.*?)  ", text, re.MULTILINE) == ["lora"]
    for line in (
        r"^  keep +0 % +0\.31 \(0\.26…0\.35\) +2\.4 +0\.30 mWh \(0\.10…0\.90\)",
        r"^▸ lora +84 % +0\.94 \(0\.89…0\.98\) +2\.4 +9\.0 mWh \(3\.0…27\) +1\.8 s +3\.0 mg",
        r"^  scratch +99 % .* over budget: 175 mg expected",
        r"^Recommended +lora is predicted to reach 0\.92 with probability 84 %",
        r"^Otherwise +head would cost 2\.00 mWh",
        r"^recalibrate +cnn has no batch-norm statistics; use head",
    ):
        assert re.search(line, text, re.MULTILINE), line
    for piece in ("few runs of lora", "power model, 0 % by counter", "DE, 331 g/kWh", "took 12 s and 44 mWh"):
        assert piece in text


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["forecast", "measured", "served", "nothing", "unknown"])
def test_no_line_is_wider_than_the_terminal(examples: ModuleType, name: str, width: int) -> None:
    assert max(map(len, shown(examples, name, width).splitlines())) <= width


def test_measured_figures_stand_beside_the_forecasts(examples: ModuleType) -> None:
    text = shown(examples, "measured")
    assert re.search(
        r"^▸ lora +84 % +reached +0\.94 .*0\.928 +9\.0 mWh .* 11 mWh +1\.8 s +2\.3 s", text, re.MULTILINE
    )
    assert re.search(r"^  keep +0 % +not reached", text, re.MULTILINE)
    assert "The cheapest that reached accuracy 0.92 within the budget is lora;" in text
    assert "it is the recommended one" in text
    assert re.search("scratch +running it failed: the disk is full: name a folder that has room", text)
    other = examples.measured_comparison().model_copy(update={"measured_best": 4, "regret": 1.7})
    assert "the recommended lora took 1.7 times as much (regret)" in flat(as_text(comparison_table(other)))
    missed = other.model_copy(update={"regret": None})
    assert "the recommended lora did not reach it within the budget" in flat(
        as_text(comparison_table(missed))
    )


def test_the_picture_has_every_point_the_target_the_front_and_the_ring(examples: ModuleType) -> None:
    figure = tradeoff_figure(examples.comparisons()["forecast"])
    assert figure is not None
    svg = str(figure.svg)
    for option in ("keep", "head", "lora", "finetune", "scratch"):
        assert svg.count(f"<title>{option}: ") == 1
    assert "recalibrate" not in svg and svg.count('class="ring"') == 1 and ">target 0.92</text>" in svg
    assert "keep 0.31 ↓" in svg, "far below the target: on the lower edge, with its value"
    (front,) = re.findall(r'<polyline points="([^"]+)" class="line reference"', svg)
    xs = [float(point.split(",")[0]) for point in front.split()]
    assert len(xs) == 4 and xs == sorted(xs)
    measured = tradeoff_figure(examples.measured_comparison())
    assert measured is not None and str(measured.svg).count("measured: ") == 4
    assert tradeoff_figure(examples.comparisons()["unknown"]) is None


def test_labels_of_the_picture_do_not_overlap(examples: ModuleType) -> None:
    for name in ("forecast", "served", "two", "measured"):
        figure = tradeoff_figure(examples.comparisons()[name])
        assert figure is not None
        boxes = []
        for x, y, anchor, text in re.findall(
            r'<text x="([\d.]+)" y="([\d.]+)"(?: text-anchor="(\w+)")? class="name">([^<]+)<', str(figure.svg)
        ):
            wide = 7 * len(text)
            left = float(x) - {"": 0.0, "middle": wide / 2, "end": wide}[anchor]
            boxes.append((left, float(y) - 10, left + wide, float(y) + 2))
        assert len(boxes) >= 2
        for i, a in enumerate(boxes):
            assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[:i])


def test_the_page_says_what_the_table_says(examples: ModuleType, tmp_path: Path) -> None:
    found = examples.comparison()
    path = write_report(tmp_path / "report.html", comparison=found)
    text = path.read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")
    for piece in (
        "Recommended: lora is predicted to reach 0.92 with probability 84 %",
        "over budget: 175 mg expected",
        "cnn has no batch-norm statistics",
        "Quality against energy",
        "Probability of reaching the target",
        "What each candidate needs",
        "1.1 MB",
        "the truth may be 0.5 to 2.2 times this",
    ):
        assert piece in text, piece
    assert "No recommendation: " in page(document_of(comparison=examples.comparisons()["nothing"]))
    with pytest.raises(UsageError, match="write two pages"):
        write_report(path, comparison=found, run=examples.run())


def test_json_there_and_back_and_what_is_no_comparison(examples: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "comparison.json"
    for found in examples.comparisons().values():
        assert read_comparison(write_json(path, found)) == found
    with pytest.raises(
        ForetollError, match=r"cannot be read .*: write one with foretoll compare --out FOLDER"
    ):
        read_comparison(tmp_path / "gone.json")
    path.write_text(path.read_text().replace("foretoll.comparison/1", "foretoll.comparison/9"))
    with pytest.raises(
        ForetollError, match=r"is no comparison\.json of this version \(schema: .* foretoll compare"
    ):
        read_comparison(path)
