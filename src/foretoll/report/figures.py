"""A few primitives for small inline SVG pictures: scales, axes, marks, lines, range bars.

Our own, because a page that carries a plotting library is forty times as large. Colours are CSS variables of
the page, so that a picture follows its light and dark variant. All text is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

SHAPES = ("circle", "square", "triangle", "diamond", "cross")
COLOURS = 10
"""Number of class colours `--c0` … `--c9` (after Petroff 2021, distinct with impaired colour vision)."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Maps [low, high] of the data to [start, end] of the picture, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The position of a value; a value outside of the domain lies outside of the range."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def clipped(self, value: float | None, missing: float) -> float:
        """The position, moved to the nearer end where it lies outside; None counts as `missing`."""
        value = missing if value is None else value
        return self(min(max(value, self.low), self.high))

    def ticks(self, number: int = 5) -> list[float]:
        """About `number` round values inside the domain."""
        return _log_ticks(self.low, self.high, number) if self.log else _ticks(self.low, self.high, number)


def fitted(
    values: Iterable[float], start: float, end: float, *, log: bool = False, margin: float = 0.05
) -> Scale:
    """A scale over all values with a margin; one value alone, or none, still gives a proper scale.

    With `log`, values that are not positive are left out.
    """
    known = [value for value in values if math.isfinite(value) and (not log or value > 0)]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    if log:
        spread = (high / low) ** margin if high > low else 2.0
        return Scale(low / spread, high * spread, start, end, log=True)
    spread = (high - low) * margin if high > low else abs(high) * 0.1 or 0.5
    return Scale(low - spread, high + spread, start, end)


def _ticks(low: float, high: float, number: int) -> list[float]:
    rough = (high - low) / max(number, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, number: int) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [round(f * 10.0**p, 12) for p in powers for f in factors if low <= f * 10.0**p <= high]
        if len(ticks) <= number:
            return ticks
    return ticks[:: math.ceil(len(ticks) / number)]


class Svg:
    """One picture of `width` × `height` units, with a title that assistive technology reads out."""

    def __init__(self, width: float, height: float, title: str, *, css: str = "") -> None:
        self.width = width
        self.height = height
        self._parts: list[Markup] = []
        self._title = title
        self._css = css

    def add(self, tag: str, text: str | None = None, /, *, title: str = "", **attributes: object) -> Svg:
        """Append an element; `class_` becomes class, `_` becomes `-`, numbers are shortened, None is left out."""
        written = Markup("").join(
            Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), short(value))
            for name, value in attributes.items()
            if value is not None
        )
        inner = (Markup("<title>{}</title>").format(title) if title else Markup("")) + escape(text or "")
        # the tag's name is ours, everything else is escaped by now
        start = Markup("<" + tag) + written  # noqa: S704
        end = Markup(">") + inner + Markup("</" + tag + ">") if inner else Markup("/>")  # noqa: S704
        self._parts.append(start + end)
        return self

    def text(self, x: float, y: float, text: str, *, anchor: str = "start", css: str | None = None) -> Svg:
        """A line of text; `anchor` is start, middle or end."""
        return self.add("text", text, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=css)

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str = "axis") -> Svg:
        """A straight line."""
        return self.add("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=css)

    def polyline(self, points: Sequence[Point], css: str = "line") -> Svg:
        """A line through all points."""
        return self.add("polyline", points=" ".join(f"{short(x)},{short(y)}" for x, y in points), class_=css)

    def bar(
        self, x: float, y: float, width: float, height: float, *, css: str = "bar", title: str = ""
    ) -> Svg:
        """A filled rectangle; never narrower than a hairline, so that a zero can be seen."""
        return self.add("rect", title=title, x=x, y=y, width=max(width, 1.0), height=height, class_=css)

    def marks(
        self,
        points: Sequence[Point],
        *,
        shape: str = "circle",
        size: float = 3,
        css: str = "",
        title: str = "",
    ) -> Svg:
        """All points as one path, which keeps thousands of them small."""
        path = "".join(_mark(x, y, size, shape) for x, y in points)
        # a circle is a zero-length stroke with a round cap, of twice the size's width
        return self.add(
            "path",
            title=title,
            d=path,
            class_=f"{css} {'dots' if shape == 'circle' else 'shapes'}".strip(),
            stroke_width=2 * size if shape == "circle" else None,
        )

    def render_hidden(self) -> Markup:
        """The element as a mere ornament beside text that says the same: assistive technology skips it."""
        head = Markup('<svg viewBox="0 0 {} {}" aria-hidden="true" class="key">').format(
            short(self.width), short(self.height)
        )
        return head + Markup("").join(self._parts) + Markup("</svg>")

    def render(self) -> Markup:
        """The element, ready to be put into a page."""
        head = Markup(
            '<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="{}"><title>{}</title>'
        ).format(short(self.width), short(self.height), self._title, self._css, self._title)
        return head + Markup("").join(self._parts) + Markup("</svg>")


def _mark(x: float, y: float, size: float, shape: str) -> str:
    at, s = f"{short(x)},{short(y)}", size
    if shape == "circle":
        return f"M{at}h0"
    corners: dict[str, tuple[Point, ...]] = {
        "square": ((-0.9, -0.9), (1.8, 0), (0, 1.8), (-1.8, 0)),
        "triangle": ((0, -1.2), (1.15, 2.1), (-2.3, 0)),
        "diamond": ((0, -1.35), (1.35, 1.35), (-1.35, 1.35), (-1.35, -1.35)),
        "cross": (
            *((-0.4, -1.2), (0.8, 0), (0, 0.8), (0.8, 0), (0, 0.8), (-0.8, 0)),
            *((0, 0.8), (-0.8, 0), (0, -0.8), (-0.8, 0), (0, -0.8), (0.8, 0)),
        ),
    }
    (dx, dy), *rest = corners[shape]
    start = f"M{short(x + dx * s)},{short(y + dy * s)}"
    return start + "".join(f"l{short(a * s)},{short(b * s)}" for a, b in rest) + "z"


def short(value: object) -> str:
    """A number with one decimal at most, which is a tenth of a pixel; anything else as text."""
    if isinstance(value, float):
        text = f"{value:.1f}".removesuffix(".0")
        return "0" if text == "-0" else text
    return str(value)


def shortened(text: str, length: int) -> str:
    """The text, with an ellipsis in its middle where it is longer than `length`."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 3
    return f"{text[: length - 1 - tail]}…{text[-tail:]}"


def class_mark(index: int) -> tuple[str, str]:
    """Colour and shape of a class: ten colours, then the same colours with the next shape."""
    return f"c{index % COLOURS}", SHAPES[(index // COLOURS) % len(SHAPES)]


def axis_bottom(
    svg: Svg,
    scale: Scale,
    y: float,
    *,
    label: str = "",
    ticks: Sequence[tuple[float, str]] | None = None,
    top: float | None = None,
) -> None:
    """A horizontal axis at `y`, with grid lines up to `top` where that is given."""
    for value, text in ticks if ticks is not None else _labelled(scale):
        x = scale(value)
        if top is not None:
            svg.line(x, top, x, y, "grid")
        svg.text(x, y + 15, text, anchor="middle", css="tick")
    svg.line(scale.start, y, scale.end, y)
    if label:
        svg.text((scale.start + scale.end) / 2, y + 33, label, anchor="middle", css="tick")


def axis_left(svg: Svg, scale: Scale, x: float, *, right: float | None = None) -> None:
    """A vertical axis at `x`: tick labels, and grid lines to `right` where that is given."""
    for value, text in _labelled(scale):
        y = scale(value)
        if right is not None:
            svg.line(x, y, right, y, "grid")
        svg.text(x - 6, y + 4.5, text, anchor="end", css="tick")


def _labelled(scale: Scale) -> list[tuple[float, str]]:
    return [(value, f"{value:g}") for value in scale.ticks()]


def range_bar(
    svg: Svg,
    scale: Scale,
    y: float,
    *,
    low: float | None,
    median: float | None,
    high: float | None,
    measured: float | None = None,
    title: str = "",
) -> None:
    """A forecast as a bar from low to high with a tick at the median, and the measured point as a diamond.

    An end that is None, or outside of the scale, is drawn open: the bar runs to the edge with an arrow head.
    """
    if low is not None or median is not None or high is not None:
        left, right = scale.clipped(low, scale.low), scale.clipped(high, scale.high)
        svg.bar(left, y - 4, right - left, 8, css="range", title=title)
        if high is None or high > scale.high:
            svg.add("path", d=f"M{short(right)},{short(y - 6)}l6,6l-6,6z", class_="range")
        if low is None or low < scale.low:
            svg.add("path", d=f"M{short(left)},{short(y - 6)}l-6,6l6,6z", class_="range")
        if median is not None and scale.low <= median <= scale.high:
            svg.line(scale(median), y - 7, scale(median), y + 7, "median")
    if measured is not None:
        svg.marks([(scale.clipped(measured, measured), y)], shape="diamond", size=4.5, css="measured")
