"""Writing what a study found: blocks of a docs page that stand between two marks, and pictures for them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from foretoll.forecast.reference import RUNS, reference_runs
from foretoll.report.figures import Svg

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "img"
RESULTS = ROOT / "benchmarks" / "results"

# The page of a report gives its pictures their colours; a picture that stands alone brings its own.
STYLE = """
svg { background: #fff; font: 13px/1 Arial, "Liberation Sans", sans-serif; }
text { fill: #1b1d1f; } .tick { fill: #5c6368; font-size: 12px; } .name { font-weight: 700; }
.over, .name { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }
.grid { stroke: #e7e9ea; } .axis { stroke: #5c6368; } .reference { stroke: #5c6368; stroke-dasharray: 2 3; }
.goal { stroke: #a33b12; stroke-dasharray: 6 4; stroke-width: 1.5; }
.bar { fill: #0a6c74; } .bar2 { fill: #d98a00; } .range { fill: #b9d9db; } .measured { fill: #1b1d1f; stroke: #1b1d1f; }
.dots { fill: none; stroke-linecap: round; } .shapes { stroke: none; } .thin { stroke-width: 1; opacity: 0.55; }
.c0 { fill: #3584d6; stroke: #3584d6; } .c1 { fill: #d98a00; stroke: #d98a00; } .c2 { fill: #bd1f01; stroke: #bd1f01; }
.c3 { fill: #7f918e; stroke: #7f918e; } .c4 { fill: #832db6; stroke: #832db6; }
.muted { fill: #a2a9ad; stroke: #a2a9ad; }
text.c0, text.c1, text.c2, text.c3, text.c4 { stroke: none; }
polyline { fill: none !important; stroke-width: 1.8; stroke-linejoin: round; } .dots { fill: none !important; }
"""


def save_svg(svg: Svg, name: str) -> Path:
    """Write a picture to docs/img as a file that stands alone."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    text = str(svg.render())
    size = f'<svg xmlns="http://www.w3.org/2000/svg" width="{svg.width:g}" height="{svg.height:g}" '
    text = text.replace("<svg ", size, 1).replace("</title>", f"</title><style>{STYLE}</style>", 1)
    path = IMAGES / f"{name}.svg"
    path.write_text(text + "\n", encoding="utf-8")
    return path


def replace_block(page: Path, name: str, text: str) -> None:
    """Put `text` between `<!-- name: written by a script -->` and `<!-- end of name -->` of a page."""
    start, end = f"<!-- {name}: written by a script -->", f"<!-- end of {name} -->"
    old = page.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(old):
        raise SystemExit(f"{page} has no block {name!r}: write {start} and {end} where it belongs")
    new = pattern.sub(lambda _: f"{start}\n\n{text.strip()}\n\n{end}", old)
    page.write_text(new, encoding="utf-8")


def ledger_line() -> str:
    """Which ledger a block rests on: the one that ships, by its number of runs and its content."""
    digest = hashlib.sha256(RUNS.read_bytes()).hexdigest()[:12]
    return f"*From the ledger that ships: {len(reference_runs()):,} runs, {digest}.*"


def replace_ledger_block(page: Path, name: str, text: str) -> None:
    """As `replace_block`, for numbers from the ledger that ships; a test compares the line with that ledger."""
    replace_block(page, name, f"{text.strip()}\n\n{ledger_line()}")


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table; the first `left` columns are aligned to the left, the others to the right."""
    marks = ["---" if i < left else "---:" for i in range(len(head))]
    lines = [head, marks, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
