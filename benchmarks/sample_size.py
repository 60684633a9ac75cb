"""How much data an index needs: its value and interval against the number of samples, on three data sets.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 python benchmarks/sample_size.py

A small CNN is trained on each of MNIST, Fashion-MNIST and CIFAR-10 by foretoll. Every index that is computed
from a sample is computed on disjoint samples of 100 to 4,000 rows of each side, and on 8,000. The error of a
sample is its distance from the value on 8,000; its interval comes from half-samples drawn without repetition,
whose spread is that of the whole sample for a mean (and which repeat no row, unlike a plain bootstrap, whose
repeated rows falsify neighbours, kernels and probes). Writes benchmarks/results/sample_size.json, the tables of
docs/sample_size.md and docs/img/sample_size.svg; `--redraw` only the last two, from the first.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch

from foretoll.data import TaskData, open_data
from foretoll.indices.collect import DEFAULT_SAMPLES
from foretoll.indices.gradients import NTK_MOST_STEPS, gradient_norms, linearised_signals
from foretoll.indices.table import INDICES
from foretoll.models import Model
from foretoll.report.figures import Scale, Svg, axis_bottom
from lab import SETTINGS, Seen, look, look_renormalised, trained, uri, values
from pages import RESULTS, ROOT, markdown_table, replace_block, save_svg

SHIFTS = {
    "MNIST": "gaussian_noise:0.3",
    "Fashion-MNIST": "gaussian_blur:1.2",
    "CIFAR-10": "contrast:0.4",
}
LIMIT = 10_000  # of which 8,000 are the training part, which indices look at
SIZES = (100, 200, 500, 1000, 2000, 4000)
MOST_SUBSETS = 8
HALVES = 12
Z = 1.645
# Where zero is arbitrary or near, an error is a difference and not a share: accuracies, gaps, nats of evidence.
IN_POINTS = (
    "recoverability_gap", "probe_accuracy", "renormalised_probe_accuracy", "knn_accuracy", "doc", "atc",
    "calibration_error", "logme",
)  # fmt: skip
LEADING = ("recoverability_gap", "resque", "inv_ari", "preindex", "arm")
ALLOWED = {"share": 0.05, "points": 0.02}
SHORT = {
    "renormalised_probe_accuracy": "probe, re-estimated",
    "calibration_error": "calibration error",
    "inv_ari": "task form (1 − ARI)",
}
OWN_SAMPLE = ("initial_gradient_norm", "ntk_steps")


def study(name: str) -> dict[str, Any]:
    """All values on one data set."""
    model, source = trained(name, LIMIT)
    target = open_data(uri(name, f"part=2/2&limit={LIMIT}&shift={SHIFTS[name]}"))
    clean = open_data(uri(name, f"part=2/2&limit={LIMIT}"))
    here, there, before = (look(model, task.train) for task in (source, target, clean))
    until = 0.95 * before.accuracy
    again = look_renormalised(model, target.train)
    largest = values(here, there, until, clean=before, again=again)
    n = len(there.labels)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    position = torch.argsort(target.train.ids)  # row of a `Seen` → position in the split
    found: dict[str, Any] = {}
    for size in SIZES:
        subsets = []
        for k in range(min(n // size, MOST_SUBSETS)):
            rows = order[k * size : (k + 1) * size]
            again = look_renormalised(model, target.train.take(position[rows.sort().values]))
            part = [side.rows(rows.sort().values) for side in (here, there, before)]
            value = values(part[0], part[1], until, clean=part[2], again=again)
            entry = {"value": value}
            if k == 0:
                entry["sd"] = half_sample_spread(*part, again, until)
            subsets.append(entry)
        found[str(size)] = subsets
    return {
        "shift": SHIFTS[name],
        "quality": {"source": here.accuracy, "clean": before.accuracy, "target": there.accuracy},
        "largest": largest,
        "sizes": found,
        "own_sample": own_samples(model, target, until),
    }


def half_sample_spread(
    source: Seen, target: Seen, clean: Seen, again: Seen, until: float
) -> dict[str, float]:
    """Standard deviation of each index over random halves of the sample."""
    n = len(target.labels)
    drawn: dict[str, list[float]] = {}
    for seed in range(HALVES):
        generator = torch.Generator().manual_seed(seed)
        one, other = (torch.randperm(n, generator=generator)[: n // 2].sort().values for _ in range(2))
        found = values(
            source.rows(one), target.rows(other), until, clean=clean.rows(other), again=again.rows(other)
        )
        for key, value in found.items():
            drawn.setdefault(key, []).append(value)
    return {key: float(torch.tensor(each).std()) for key, each in drawn.items() if len(each) == HALVES}


def own_samples(model: Model, target: TaskData, until: float) -> dict[str, list[float]]:
    """Indices that look at a few samples of their own, whatever the sample size: values by seed."""
    found: dict[str, list[float]] = {name: [] for name in OWN_SAMPLE}
    for seed in range(MOST_SUBSETS):
        settings = SETTINGS.model_copy(update={"seed": seed})
        norms = gradient_norms(model, target.train, settings)
        found["initial_gradient_norm"].append(float(norms.mean()))
        steps = linearised_signals(model, target.train, settings, until=until)["ntk_steps"]
        found["ntk_steps"].append(float(steps or 0))
    return found


def error(name: str, value: float, reference: float) -> float:
    """Difference from the reference: as a share of it, or plain for those that are in points."""
    return value - reference if name in IN_POINTS else (value - reference) / abs(reference)


def root_mean_square(found: dict[str, Any], index: str, size: int) -> float:
    """Error of a sample of this size on one data set: bias and spread together."""
    each = [
        error(index, s["value"][index], found["largest"][index])
        for s in found["sizes"][str(size)]
        if index in s["value"]
    ]
    return (sum(e * e for e in each) / len(each)) ** 0.5


def names_of(results: dict[str, Any]) -> list[str]:
    """Indices of the table that every data set has, the leading ones first."""
    shared = set.intersection(*(set(found["largest"]) for found in results.values()))
    return [*LEADING, *(name for name in INDICES if name in shared and name not in LEADING)]


def derived_default(results: dict[str, Any]) -> int | None:
    """The smallest size at which every leading index keeps to ALLOWED on every data set; None if none does."""
    for size in SIZES:
        if all(
            root_mean_square(found, name, size) <= ALLOWED["points" if name in IN_POINTS else "share"]
            for found in results.values()
            for name in LEADING
        ):
            return size
    return None


def shown(name: str, value: float) -> str:
    """An error as text."""
    return f"{value:.3f}" if name in IN_POINTS else f"{value * 100:.{0 if value >= 0.0995 else 1}f} %"


def tables(results: dict[str, Any]) -> str:
    """Markdown of what was found."""
    names = names_of(results)
    worst = [
        [
            INDICES[name].title,
            " / ".join(f"{found['largest'][name]:.3g}" for found in results.values()),
            *(shown(name, max(root_mean_square(f, name, s) for f in results.values())) for s in SIZES),
            coverage(results, name),
        ]
        for name in names
    ]
    head = ["index", f"value at 8,000 ({' / '.join(results)})", *(f"{s:,}" for s in SIZES), "held"]
    own = []
    for name in OWN_SAMPLE:
        cells = []
        for found in results.values():
            drawn = torch.tensor(found["own_sample"][name], dtype=torch.float64)
            never = float(drawn.min()) >= NTK_MOST_STEPS
            spread = float(drawn.std() / drawn.mean()) * 100
            cells.append("never reached" if never else f"{float(drawn.mean()):.3g}, {spread:.0f} %")
        own.append([INDICES[name].title, *cells])
    each = []
    for name in LEADING:
        for data, found in results.items():
            cells = []
            for size in SIZES:
                first = found["sizes"][str(size)][0]
                cells.append(f"{first['value'][name]:.3f} ± {Z * first['sd'][name]:.3f}")
            each.append([INDICES[name].title, data, *cells, f"{found['largest'][name]:.3f}"])
    default = derived_default(results)
    rule = (
        f"By the rule the default is **{default:,} samples**"
        if default is not None
        else "By the rule **no size up to 4,000** is enough"
    )
    return "\n\n".join(
        [
            f"{rule}; `DEFAULT_SAMPLES` in `indices/collect.py` is {DEFAULT_SAMPLES:,}.",
            "Root mean square error against the value on 8,000 samples, the worst of the three data sets:",
            markdown_table(head, worst),
            "The leading indices: value of one sample ± 1.645 half-sample standard deviations (90 %):",
            markdown_table(["index", "data", *(f"{s:,}" for s in SIZES), "8,000"], each, left=2),
            "Two indices look at a few samples of their own (4 mini-batches of 64, and 48 samples), whatever the "
            "sample size. Mean over 8 draws, and the standard deviation of a draw:",
            markdown_table(["index", *results], own),
        ]
    )


def coverage(results: dict[str, Any], name: str) -> str:
    """How often value ± 1.645 half-sample deviations of the first sample of a size holds the value on 8,000."""
    held = total = 0
    for found in results.values():
        for size in SIZES:
            first = found["sizes"][str(size)][0]
            if name in first["value"] and name in first["sd"]:
                total += 1
                held += abs(first["value"][name] - found["largest"][name]) <= Z * first["sd"][name]
    return f"{held}/{total}"


def draw(results: dict[str, Any]) -> Svg:
    """A panel for each index: error of one sample with its interval against the sample size."""
    names = names_of(results)
    columns, width, height, top = 4, 232.0, 150.0, 44.0
    count = -(-len(names) // columns)
    svg = Svg(columns * width, top + count * height + 16, "Error of each index against the sample size")
    for i, data in enumerate(results):
        svg.marks([(20 + 205 * i, 16)], size=4, css=f"c{i}")
        svg.text(29 + 205 * i, 20.5, f"{data}, {results[data]['shift'].split(':')[0].replace('_', ' ')}")
    svg.text(
        columns * width - 8, 20.5, "difference from the value on 8,000 samples", anchor="end", css="tick"
    )
    for i, name in enumerate(names):
        panel(svg, results, name, (i % columns) * width, top + (i // columns) * height)
    return svg


def panel(svg: Svg, results: dict[str, Any], name: str, left: float, top: float) -> None:
    """One index: a line for each data set; the interval as a bar."""
    lines = []
    for found in results.values():
        points = []
        for size in SIZES:
            first, reference = found["sizes"][str(size)][0], found["largest"][name]
            if name in first["value"]:
                middle = error(name, first["value"][name], reference)
                spread = first["sd"].get(name, 0.0) / (1 if name in IN_POINTS else abs(reference))
                points.append((size, middle, Z * spread))
        lines.append(points)
    reach = min(max(abs(m) + s for points in lines for _, m, s in points), 1.0)
    step = next(v for v in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if v >= reach * 0.55 or v == 1.0)
    bound = max(step * 1.05, min(reach * 1.05, 2 * step))
    x = Scale(80, 5000, left + 52, left + 222, log=True)
    y = Scale(-bound, bound, top + 108, top + 20)
    svg.text(left + 52, top + 11, SHORT.get(name, INDICES[name].title), css="name")
    for tick in (-step, 0.0, step):
        svg.line(x.start, y(tick), x.end, y(tick), "axis" if tick == 0 else "grid")
        text = f"{tick:+g}" if name in IN_POINTS else f"{tick * 100:+.0f} %"
        svg.text(x.start - 5, y(tick) + 4, "0" if tick == 0 else text, anchor="end", css="tick")
    axis_bottom(svg, x, y.start, ticks=[(s, f"{s:,}") for s in (100, 500, 2000)] + [(4000.0, "")])
    for i, points in enumerate(lines):
        places = [(x(s * (0.93, 1.0, 1.07)[i]), y.clipped(m, m), m, d) for s, m, d in points]
        for px, _, middle, spread in places:
            svg.line(px, y.clipped(middle - spread, 0), px, y.clipped(middle + spread, 0), f"c{i} thin")
        svg.polyline([(px, py) for px, py, _, _ in places], css=f"c{i}")
        svg.marks([(px, py) for px, py, _, _ in places], size=2.4, css=f"c{i}")


def main() -> None:
    """Measure (or read what was measured), then write the page and the picture."""
    torch.set_num_threads(1)
    path = RESULTS / "sample_size.json"
    if "--redraw" not in sys.argv:
        start = time.perf_counter()
        results = {}
        for name in SHIFTS:
            results[name] = study(name)
            print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
        RESULTS.mkdir(exist_ok=True)
        path.write_text(json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    results = json.loads(path.read_text(encoding="utf-8"))
    replace_block(ROOT / "docs" / "sample_size.md", "results", tables(results))
    save_svg(draw(results), "sample_size")
    print(json.dumps({"default_samples": derived_default(results), "current": DEFAULT_SAMPLES}))


def rounded(value: Any) -> Any:
    """Floats with six digits, which is far below their spread."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
