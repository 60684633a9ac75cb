"""What a page owes those who see little or nothing: numbers for each picture, and colours that can be told apart."""

from __future__ import annotations

import re
from importlib import resources
from types import ModuleType

import pytest

from foretoll.report import document_of
from foretoll.report.document import Document, Figure
from foretoll.report.html import page
from foretoll.report.projection import projection_figure

CSS = resources.files("foretoll.report").joinpath("templates/report.css").read_text("utf-8")
SCHEMES = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)[:2]
LIGHT, DARK = (dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", scheme)) for scheme in SCHEMES)


def luminance(colour: str) -> float:
    """Relative luminance, by WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_marks_stand_out_from_the_paper(colours: dict[str, str]) -> None:
    for name in ("ink", "soft", "accent", "alert"):
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for name in ("ink", "soft"):  # on a field to type in
        assert contrast(colours[name], colours["wash"]) >= 4.5, name
    for name in ("ink", "accent", "alert"):  # marks over the bar of an interval
        assert contrast(colours[name], colours["tint"]) >= 3, name


def figures(document: Document) -> list[Figure]:
    return [block for block in document.blocks if isinstance(block, Figure)]


def test_every_picture_has_its_numbers_beside_it(examples: ModuleType, page_name: str) -> None:
    if page_name.startswith("compare-"):
        document = document_of(comparison=examples.comparisons()[page_name.removeprefix("compare-")])
    else:
        estimate, run = examples.pages()[page_name]
        document = document_of(estimate=estimate, run=run)
    shown = figures(document)
    assert page(document).count('<details class="numbers">') == len(shown)
    for figure in shown:
        assert figure.numbers.rows, figure.title
        widths = {len(row.cells) for row in figure.numbers.rows}
        assert widths == {len(figure.numbers.columns)}, figure.title


def test_the_numbers_of_a_picture_are_those_that_it_draws(examples: ModuleType) -> None:
    estimate = examples.estimate()
    found = projection_figure(estimate)
    assert found is not None and estimate.projection is not None
    label = min(estimate.projection.target_labels)
    points = [
        p
        for p, of in zip(estimate.projection.target, estimate.projection.target_labels, strict=True)
        if of == label
    ]
    mean = [sum(values) / len(points) for values in zip(*points, strict=True)]
    cells = found.numbers.rows[0].cells
    assert cells[1] == str(len(points))
    told = [float(part.replace("−", "-")) for part in cells[3].split(", ")]
    assert told == pytest.approx(mean, rel=0.06, abs=0.01)
    options = next(f for f in figures(document_of(estimate=estimate)) if f.title.startswith("Reuse"))
    text = re.sub(r"<[^>]*>", " ", options.svg)
    for row in options.numbers.rows:
        assert row.cells[0] in text and row.cells[3] in text
