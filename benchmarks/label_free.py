"""RESQUE without the target's labels: how far its two forms are from the labelled value.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 python benchmarks/label_free.py

Twelve shifts of MNIST, Fashion-MNIST and CIFAR-10, 2,000 samples a side, one small CNN each, trained by
foretoll. Writes benchmarks/results/label_free.json, the tables of docs/label_free.md and docs/img/label_free.svg;
`--redraw` only the last two, from the first.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from foretoll.data import open_data
from foretoll.indices.functional import resque_distribution, resque_predicted, resque_transport
from foretoll.report.figures import Scale, Svg, axis_bottom, axis_left
from lab import Seen, look, trained, uri
from pages import RESULTS, ROOT, markdown_table, replace_block, save_svg

SHIFTS = (
    "gaussian_noise:0.1", "gaussian_noise:0.3", "salt_and_pepper:0.08", "gaussian_blur:0.8", "gaussian_blur:1.7",
    "contrast:0.4", "contrast:0.12", "brightness:0.3", "rotation:20", "translation:0.13", "occlusion:0.12",
    "inversion:0.6",
)  # fmt: skip
DATA = ("MNIST", "Fashion-MNIST", "CIFAR-10")
FORMS = {"resque_predicted": "predicted classes", "resque_transport": "transport"}
SAMPLES = 2500  # of which 2,000 are the training part


def study(name: str) -> list[dict[str, Any]]:
    """The forms for every shift of one data set; the first is no shift at all."""
    model, _ = trained(name, 10_000)
    source = look(model, open_data(uri(name, f"part=1/2&limit={SAMPLES}")).train)
    found = []
    for shift in (None, *SHIFTS):
        query = f"part=2/2&limit={SAMPLES}" + (f"&shift={shift}" if shift else "")
        target = look(model, open_data(uri(name, query)).train)
        thin = target.rows(thinned(target.labels))
        found.append({"shift": shift or "none", "accuracy": target.accuracy, **forms(source, target)})
        found[-1]["thinned"] = forms(source, thin)
        found[-1]["halved"] = forms(source, target.rows((target.labels < 5).nonzero().flatten()))
    return found


def forms(source: Seen, target: Seen) -> dict[str, float]:
    """The labelled value and both label-free ones."""
    sides = (source.representations, source.labels, target.representations)
    return {
        "resque": resque_distribution(*sides, target.labels),
        "resque_predicted": resque_predicted(*sides, target.logits),
        "resque_transport": resque_transport(*sides),
    }


def thinned(labels: Tensor) -> Tensor:
    """Rows of an unbalanced sample: the upper half of the classes keeps a tenth."""
    drawn = torch.rand(len(labels), generator=torch.Generator().manual_seed(0))
    return ((labels < 5) | (drawn < 0.1)).nonzero().flatten()


def summary(rows: list[dict[str, Any]], form: str) -> tuple[float, float, float, float]:
    """Mean and largest absolute difference, mean difference, and Spearman's correlation with the labelled value."""
    labelled, other = ([row[key] for row in rows] for key in ("resque", form))
    difference = [b - a for a, b in zip(labelled, other, strict=True)]
    absolute = [abs(d) for d in difference]
    rank = float(spearmanr(labelled, other).statistic)
    return sum(absolute) / len(rows), max(absolute), sum(difference) / len(rows), rank


def tables(results: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown of what was found."""
    lines = []
    every = [row for rows in results.values() for row in rows]
    groups = [
        *results.items(),
        ("all", every),
        ("all, unbalanced", [row["thinned"] for row in every]),
        ("all, half of the classes missing", [row["halved"] for row in every]),
    ]
    for form, title in FORMS.items():
        for name, rows in groups:
            mean, most, bias, rank = summary(rows, form)
            lines.append([title, name, f"{mean:.3f}", f"{most:.3f}", f"{bias:+.3f}", f"{rank:.2f}"])
    head = ["form", "data", "mean absolute difference", "largest", "mean difference", "Spearman"]
    each = [
        [name, row["shift"].replace("_", " ").replace(":", " "), f"{row['accuracy']:.2f}"]
        + [f"{row[key]:.3f}" for key in ("resque", *FORMS)]
        for name, rows in results.items()
        for row in rows
    ]
    detail = markdown_table(["data", "shift", "accuracy", "labelled", *FORMS.values()], each, left=2)
    return "\n\n".join([markdown_table(head, lines, left=2), "Every shift:", detail])


def draw(results: dict[str, list[dict[str, Any]]]) -> Svg:
    """Labelled against label-free, one panel for each form."""
    svg = Svg(760, 390, "RESQUE without labels against the labelled value")
    for i, name in enumerate(results):
        svg.marks([(60 + 140 * i, 16)], size=4, css=f"c{i}", shape=("circle", "square", "triangle")[i])
        svg.text(70 + 140 * i, 20.5, name)
    most = max(row[key] for rows in results.values() for row in rows for key in ("resque", *FORMS)) * 1.06
    for k, (form, title) in enumerate(FORMS.items()):
        left = 52 + 375 * k
        x, y = Scale(0, most, left, left + 310), Scale(0, most, 340, 52)
        axis_left(svg, y, left, right=x.end)
        axis_bottom(svg, x, 340, label="RESQUE with the target's labels", top=52)
        svg.line(x(0), y(0), x(most), y(most), "reference")
        svg.text(left + 8, 68, f"by {title}", css="name")
        for i, rows in enumerate(results.values()):
            points = [(x(row["resque"]), y(row[form])) for row in rows]
            svg.marks(points, size=4, css=f"c{i}", shape=("circle", "square", "triangle")[i])
    return svg


def main() -> None:
    """Measure (or read what was measured), then write the page and the picture."""
    torch.set_num_threads(1)
    path = RESULTS / "label_free.json"
    if "--redraw" not in sys.argv:
        found = {name: study(name) for name in DATA}
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    replace_block(ROOT / "docs" / "label_free.md", "results", tables(results))
    save_svg(draw(results), "label_free")
    rows = [row for found in results.values() for row in found]
    print(
        json.dumps(
            {
                form: dict(zip(("mean", "most", "bias", "spearman"), summary(rows, form), strict=True))
                for form in FORMS
            }
        )
    )


if __name__ == "__main__":
    main()
