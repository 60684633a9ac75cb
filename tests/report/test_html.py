from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from foretoll.errors import ForetollError, UsageError
from foretoll.report import document_of, write_report
from foretoll.report.html import cell, page

COMPARED = ("compare-measured", "compare-two", "compare-served")
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that every element is closed in order; keeps tags, attributes and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute stands twice in <{tag}>: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open[-1:]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(
            " ".join(self.words).replace("\N{NO-BREAK SPACE}", " ").replace("\N{WORD JOINER}", "").split()
        )


def render_report(**told: object) -> str:
    return page(document_of(**told))  # type: ignore[arg-type]  # records of the examples


def rendered(examples: ModuleType, name: str) -> str:
    if name.startswith("compare-"):
        return render_report(comparison=examples.comparisons()[name.removeprefix("compare-")])
    estimate, run = examples.pages()[name]
    return render_report(estimate=estimate, run=run)


def test_every_page_is_balanced_small_and_loads_nothing(examples: ModuleType, page_name: str) -> None:
    text = rendered(examples, page_name)
    page = Page(text)
    assert len(text.encode()) < 150_000
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
    for tag, attributes in page.tags:
        loading = {"src", "href", "xlink:href", "srcset", "data", "action", "style"} & attributes.keys()
        assert not loading, (tag, loading)
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style
    assert "http://" not in text and "https://" not in text


def test_every_picture_has_a_name_and_every_page_one_heading(examples: ModuleType, page_name: str) -> None:
    page = Page(rendered(examples, page_name))
    for tag, attributes in page.tags:
        if tag == "svg":
            named = attributes.get("role") == "img" and attributes.get("aria-label")
            assert named or attributes.get("aria-hidden") == "true", attributes
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    assert dict(page.tags[0][1]).get("lang") == "en" or any(
        t == "html" and a.get("lang") == "en" for t, a in page.tags
    )


def test_no_missing_value_is_written_as_none_or_nan(examples: ModuleType, page_name: str) -> None:
    text = Page(rendered(examples, page_name)).text
    assert not re.search(r"\b(None|nan|NaN|inf|Interval\(|Undefined)\b", text)


def test_all_coordinates_are_finite_numbers(examples: ModuleType, page_name: str) -> None:
    for _, attributes in Page(rendered(examples, page_name)).tags:
        for name in ("x", "y", "x1", "x2", "y1", "y2", "width", "height", "points", "d"):
            value = attributes.get(name)
            if value is not None:
                assert "nan" not in value and "inf" not in value and "e" not in value, (name, value)
            if name in ("width", "height") and value is not None:
                assert float(value) >= 0


def test_the_answer_stands_first_and_the_numbers_below(examples: ModuleType) -> None:
    text = Page(rendered(examples, "both")).text
    headline = (
        "Retraining cnn on digits with gaussian noise 0.3 to accuracy 0.92 will take about 2.4 epochs (1.7 … 3.6), "
        "4.8 s, 21 mWh and 7.0 mg CO2e; the forecast gives it a probability of 97 % to reach accuracy 0.92 within "
        "20 epochs."
    )
    assert headline in text
    verdict = "It reached accuracy 0.92 and took 2.25 epochs, 4.40 s, 19.0 mWh and 6.30 mg CO2e"
    assert verdict in text
    assert (
        text.index(headline) < text.index(verdict) < text.index("Instead") < text.index("Most similar runs")
    )
    for piece in (
        *("9.0 … 40", "3.0 … 13", "0.0081", "0.0066 … 0.010", "0.00793", "3.9", "2.8 … 5.5", "4.21"),
        *("power model, 0 % by counter", "DE, 331 g/kWh (2022), PUE 1.0", "not recognised", "load × TDP"),
        *(
            "1,412 runs",
            "the 8 most similar differ from this case by up to 0.28 standard deviations of a signal",
            "held for 91 % of 412 runs",
            "reuse saves about 60 %",
        ),
        *(
            "900 ms",
            "3.1 mWh",
            "20 % of the time of the retraining",
            "the truth may be 0.5 to 2.2 times this",
        ),
        *(
            "modelled, not measured",
            "needs paired samples",
            "learning rate 0.001",
            "AMD EPYC 7B13",
            "ref-0006",
        ),
    ):
        assert piece in text, piece


def test_an_unreached_target_is_never_told_as_success(examples: ModuleType) -> None:
    text = rendered(examples, "censored")
    words = Page(text).text
    assert "It did not reach accuracy 0.92 within its budget and spent 20.0 epochs" in words
    assert "no, not reached: 0.754 validation" in words and "0.754, not reached" in words
    assert "no upper end" in words and "probability 8 %" in words and "Probability: of reaching" in words
    assert 'class="outcome bad"' in text and 'class="outcome good"' not in text
    # measured points of a run that did not get there are drawn open
    assert "spent shapes" in text
    assert "spent shapes" not in rendered(examples, "both")


@pytest.mark.parametrize("outcome", ["censored", "failed", "interrupted", "running"])
def test_only_a_reached_target_is_green(examples: ModuleType, outcome: str) -> None:
    run = examples.run(outcome=outcome, reason="out of memory")
    text = render_report(run=run)
    assert "outcome good" not in text
    assert "It reached" not in Page(text).text


def test_a_page_without_any_forecast_says_so_and_why(examples: ModuleType) -> None:
    text = Page(rendered(examples, "nothing")).text
    assert "to accuracy 0.92 has a cost that cannot be predicted." in text
    assert "no run of the ledger has this kind of data" in text
    assert "no energy meter was used" in text and "no grid region is known" in text


def test_missing_energy_and_an_unnamed_region_are_explained(examples: ModuleType) -> None:
    estimate, run = examples.no_energy()
    text = Page(render_report(estimate=estimate, run=run)).text
    assert "not measured (--energy none)" in text
    assert "no region was named, this is a default" in text
    told = estimate.model_copy(update={"forecast": examples.estimate().forecast})
    assert "no grid region was named" in Page(render_report(estimate=told)).text


def test_text_from_files_is_escaped_everywhere(examples: ModuleType) -> None:
    text = rendered(examples, "malicious")
    page = Page(text)
    # the parser sees no element and no attribute that the text tried to make
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert examples.MALICIOUS in page.text
    assert html.escape("<script>") in text and "<script" not in text
    assert "{{ 7 * 7 }}" in page.text and "49" not in page.text.split("{{")[0][-4:]
    titled = render_report(estimate=examples.estimate(), title=examples.MALICIOUS)
    assert "<script" not in titled


def test_many_classes_are_all_listed(examples: ModuleType) -> None:
    estimate = examples.task_shift()
    page = Page(render_report(estimate=estimate))
    for name in estimate.target.classes:
        assert name in page.text
    assert "for gtsrb (43 classes, from digits)" in page.text
    assert "19 smaller ones are not drawn" in page.text


def test_a_page_needs_a_record(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="estimate or a run"):
        write_report(tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_keeps_the_old_one(examples: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "report.html"
    assert write_report(path, run=examples.run()) == path
    before = path.read_text("utf-8")
    blocked = path / "report.html"  # a folder below a file
    with pytest.raises(ForetollError, match=r"cannot write .*report\.html"):
        write_report(blocked, run=examples.run())
    assert path.read_text("utf-8") == before
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]


def test_only_long_words_of_a_table_may_be_broken() -> None:
    assert cell("not reached & reprogram+head") == "not reached &amp; reprogram+head"
    long = "a" * 16
    assert cell(f"{long} <b>") == f'<span class="long">{long}</span> &lt;b&gt;'


# --- in a browser --------------------------------------------------------------------------------

MEASURE = """<script>addEventListener("load", () => {
  const root = document.documentElement, width = root.clientWidth;
  const wide = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > width + 1
    && getComputedStyle(e).position !== "absolute" && !e.closest(".hidden, thead"));
  const names = wide.slice(0, 3).map(e => e.outerHTML.slice(0, 90));
  parent.postMessage([location.search.slice(1), width, root.scrollWidth, names], "*");
});</script>"""
COLLECT = """<!doctype html><title>waiting</title><body><pre></pre><script>
addEventListener("message", event => {
  document.querySelector("pre").append(JSON.stringify(event.data) + "\\n");
});
</script>"""


def test_no_page_scrolls_sideways(examples: ModuleType, chromium: Callable[..., str], tmp_path: Path) -> None:
    """All awkward pages at phone, tablet and desktop width, each in a frame of its own in one browser."""
    asked, frames = {}, [COLLECT]
    for name in ("both", "censored", "task", "long", "malicious", "no_energy", *COMPARED):
        # only the copy that is measured carries a script, and no policy that forbids it
        text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", rendered(examples, name))
        text = text.replace("<details>", "<details open>").replace("</body>", f"{MEASURE}</body>")
        (tmp_path / f"{name}.html").write_text(text, encoding="utf-8")
        for width in (360, 768, 920, 1280):
            asked[f"{name}-{width}"] = width
            style = f"width:{width}px;height:740px;border:0;display:block"
            frames.append(f'<iframe src="{name}.html?{name}-{width}" style="{style}"></iframe>')
    page = tmp_path / "frames.html"
    page.write_text("\n".join(frames), encoding="utf-8")
    dom = chromium(page, "--hide-scrollbars", "--window-size=1400,900", "--virtual-time-budget=20000")
    listing = html.unescape(dom[dom.index("<pre>") + 5 : dom.index("</pre>")])
    measured = {row[0]: row[1:] for row in map(json.loads, listing.splitlines())}
    assert measured.keys() == asked.keys()
    for name, (width, scroll_width, wide) in measured.items():
        assert width == asked[name]
        assert scroll_width <= width, (name, wide)
        assert wide == [], (name, wide)


def test_a_browser_runs_nothing_and_reports_no_error(
    examples: ModuleType, chromium: Callable[..., str], tmp_path: Path
) -> None:
    estimate, run = examples.malicious()
    path = write_report(tmp_path / "report.html", estimate=estimate, run=run)
    dom = chromium(path)
    assert "<title>foretoll: " in dom
    assert "<script" not in dom and "<img" not in dom
    assert dom.count("<svg") == path.read_text("utf-8").count("<svg")
