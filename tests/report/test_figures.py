from __future__ import annotations

import re
from types import ModuleType
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.report.costs import cost_rows
from foretoll.report.figures import SHAPES, Scale, Svg, class_mark, fitted, range_bar, short, shortened
from foretoll.report.plots import forecast_figure


def parsed(svg: Svg) -> ElementTree.Element:
    return ElementTree.fromstring(str(svg.render()))


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.booleans())
def test_a_scale_maps_its_domain_onto_its_range(low: float, width: float, log: bool) -> None:
    if log:
        low = abs(low) + 1e-3
    scale = Scale(low, low + width, 20, 320, log=log)
    assert scale(low) == pytest.approx(20)
    assert scale(low + width) == pytest.approx(320)
    assert scale.clipped(low - 5 if not log else low / 2, 0) == pytest.approx(20)
    ticks = scale.ticks()
    assert all(low - 1e-6 * width <= tick <= low + width + 1e-6 * width for tick in ticks)
    assert ticks == sorted(ticks)
    assert len(ticks) <= 8


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.02, 0.11, [0.02, 0.04, 0.06, 0.08, 0.1])],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high, 0, 100).ticks() == pytest.approx(ticks)


def test_log_ticks_are_ones_twos_and_fives() -> None:
    assert Scale(0.9, 11, 0, 100, log=True).ticks() == [1, 2, 5, 10]
    assert Scale(1e-6, 1e6, 0, 100, log=True).ticks(5)[0] == 1e-6
    assert len(Scale(1e-6, 1e6, 0, 100, log=True).ticks(5)) <= 5


@pytest.mark.parametrize("values", [[], [3.0], [3.0, 3.0], [0.0], [-1.0, 2.0]])
@pytest.mark.parametrize("log", [False, True])
def test_a_fitted_scale_is_proper_whatever_the_values(values: list[float], log: bool) -> None:
    scale = fitted(values, 0, 100, log=log)
    assert scale.low < scale.high
    for value in values:
        if not log or value > 0:
            assert 0 <= scale(value) <= 100


def test_text_and_attributes_are_escaped() -> None:
    svg = Svg(10, 10, '<b>"title"</b>').text(1, 2, "</text><script>alert(1)</script>")
    svg.bar(0, 0, 5, 5, css='"><script>', title="<script>")
    root = parsed(svg)
    assert not [element for element in root.iter() if "script" in element.tag]
    assert root.attrib["aria-label"] == '<b>"title"</b>'
    assert "</text><script>alert(1)</script>" in "".join(root.itertext())


def test_a_range_bar_has_its_ends_where_the_numbers_are() -> None:
    svg = Svg(120, 20, "bar")
    range_bar(svg, Scale(0, 10, 10, 110), 10, low=2, median=4, high=6, measured=5)
    root = parsed(svg)
    bar = next(element for element in root if element.tag == "rect")
    assert (bar.attrib["x"], bar.attrib["width"]) == ("30", "40")
    median = next(element for element in root if element.tag == "line")
    assert median.attrib["x1"] == median.attrib["x2"] == "50"
    assert len([element for element in root if element.tag == "path"]) == 1  # the measured point, no arrows


@pytest.mark.parametrize(
    ("low", "high", "arrows"), [(2, None, 1), (None, 6, 1), (None, None, 2), (2, 6, 0), (-5, 60, 2)]
)
def test_an_open_end_is_drawn_as_an_arrow(low: float | None, high: float | None, arrows: int) -> None:
    svg = Svg(120, 20, "bar")
    range_bar(svg, Scale(0, 10, 10, 110), 10, low=low, median=4, high=high)
    heads = [element for element in parsed(svg) if element.tag == "path"]
    assert len(heads) == arrows


def test_an_interval_that_is_not_there_draws_nothing() -> None:
    svg = Svg(120, 20, "bar")
    range_bar(svg, Scale(0, 10, 10, 110), 10, low=None, median=None, high=None)
    assert [element.tag for element in parsed(svg)] == ["title"]


def test_fifty_classes_have_fifty_marks() -> None:
    marks = [class_mark(index) for index in range(50)]
    assert len(set(marks)) == 50
    assert {shape for _, shape in marks} == set(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_thousand_marks_are_one_small_path(shape: str) -> None:
    svg = Svg(100, 100, "points").marks([(i / 10, i / 20) for i in range(1000)], shape=shape)
    root = parsed(svg)
    (path,) = [element for element in root if element.tag == "path"]
    assert path.attrib["d"].count("M") == 1000
    assert re.fullmatch(r"[Mlhz0-9.,\-]+", path.attrib["d"])


def test_numbers_and_names_are_shortened() -> None:
    assert (short(1.0), short(0.26), short(-0.01), short(12.345), short("a")) == (
        "1",
        "0.3",
        "0",
        "12.3",
        "a",
    )
    assert shortened("abcdefghijkl", 8) == "abcde…kl"
    assert shortened("abc", 8) == "abc"


@pytest.mark.parametrize(("factor", "arrow"), [(1.5, False), (200.0, True), (1 / 200, True)])
def test_a_measured_value_beyond_the_scale_has_an_arrow(
    examples: ModuleType, factor: float, arrow: bool
) -> None:
    estimate = examples.estimate()
    toll = examples.run().toll.model_copy(update={"energy_kwh": factor * estimate.forecast.energy_kwh.median})
    figure = forecast_figure(cost_rows(estimate, examples.run(toll=toll)))
    assert figure is not None
    assert ("further out" in figure.caption) is arrow
    heads = [
        e
        for e in ElementTree.fromstring(str(figure.svg)).iter()
        if e.tag.endswith("path") and "l5,4l-5,4z" in e.get("d", "")
    ]
    assert bool(heads) is (factor > 100)
