"""Pictures of what each family of indices does not see, for docs/indices.md; every number in them is computed here.

    FORETOLL_DATA=… OMP_NUM_THREADS=1 python benchmarks/shift_pool.py    # once: shifts of real data
    OMP_NUM_THREADS=1 python benchmarks/blind_spots.py                   # the pictures, some seconds

Those of shifts are drawn from benchmarks/results/shift_pool.json; the others from data that are made here.
Writes docs/img/blind_*.svg.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from foretoll.indices import functional as f
from foretoll.indices.ntk import functional_model, ntk_gram, ntk_modes
from foretoll.report.figures import Scale, Svg, axis_bottom, axis_left, fitted
from pages import RESULTS, save_svg

SHAPES = ("circle", "square", "triangle")
WIDTH = 760.0


def generator(seed: int) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator().manual_seed(seed)


def scatter(
    svg: Svg, x: Tensor, classes: Tensor, box: tuple[float, float, float, float], reach: float
) -> None:
    """Points (n, 2) in a framed square, marked by class."""
    left, top, width, height = box
    a, b = Scale(-reach, reach, left, left + width), Scale(-reach, reach, top + height, top)
    svg.add("rect", x=left, y=top, width=width, height=height, fill="none", class_="grid")
    for c in classes.unique().tolist():
        inside = x[classes == c].clamp(-0.97 * reach, 0.97 * reach)  # a far point is drawn at the frame
        points = [(a(p), b(q)) for p, q in inside.tolist()]
        svg.marks(points, shape=SHAPES[c % 3], size=2.2, css=f"c{(0, 2, 1)[c % 3]}")


def lines_of(svg: Svg, x: float, y: float, rows: Sequence[tuple[str, str]], *, indent: float = 150) -> None:
    """Name and value, one below the other."""
    for i, (name, value) in enumerate(rows):
        svg.text(x, y + 18 * i, name)
        svg.text(x + indent, y + 18 * i, value, anchor="end", css="name")


def shifts_plot(
    pool: Mapping[str, Any],
    pairs: Sequence[tuple[str, str, str, str]],
    title: str,
    name: str,
    *,
    diagonal: bool = False,
) -> None:
    """Panels of one quantity against another over all shifts: (x, y, label of x, label of y)."""
    svg = Svg(WIDTH, 360, title)
    for i, data in enumerate(pool):
        svg.marks([(60 + 130 * i, 16)], size=4, css=f"c{i}", shape=SHAPES[i])
        svg.text(70 + 130 * i, 20.5, data)
    for k, (xs, ys, x_label, y_label) in enumerate(pairs):
        left = 58 + 375 * k
        every = [row for found in pool.values() for row in found["shifts"].values()]
        a = fitted([row[xs] for row in every], left, left + 300)
        b = fitted([row[ys] for row in every], 310, 60)
        axis_left(svg, b, left, right=a.end)
        axis_bottom(svg, a, 310, label=x_label, top=60)
        svg.text(left - 30, 46, y_label, css="tick")
        if diagonal:
            low, high = max(a.low, b.low), min(a.high, b.high)
            svg.line(a(low), b(low), a(high), b(high), "reference")
        for i, found in enumerate(pool.values()):
            points = [(a(row[xs]), b(row[ys])) for row in found["shifts"].values()]
            svg.marks(points, size=4, css=f"c{i}", shape=SHAPES[i])
        rank = spearmanr([row[xs] for row in every], [row[ys] for row in every]).statistic
        svg.text(a.end, 46, f"Spearman {rank:+.2f}", anchor="end", css="name")
    save_svg(svg, name)


def angles(pool: Mapping[str, Any]) -> None:
    """RESQUE: shifts in an order that their cost does not have, and equal angles at another cost."""
    svg = Svg(WIDTH, 370, "RESQUE against the recoverability gap, with the cost of four retrainings")
    shown = [data for data, found in pool.items() if "retrained" in found]
    for k, data in enumerate(shown):
        found, left = pool[data], 62.0 + 375 * k
        rows = found["shifts"]
        a = fitted([row["resque"] for row in rows.values()], left, left + 300, margin=0.08)
        b = fitted([row["recoverability_gap"] for row in rows.values()], 314, 60, margin=0.12)
        svg.text(left - 40, 20, data, css="name")
        svg.text(left - 40, 42, "recoverability gap", css="tick")
        axis_left(svg, b, left, right=a.end)
        axis_bottom(svg, a, 314, label="RESQUE", top=60)
        svg.line(left, b(0), a.end, b(0), "axis")
        for shift, row in rows.items():
            x, y, runs = a(row["resque"]), b(row["recoverability_gap"]), found["retrained"].get(shift)
            svg.marks([(x, y)], size=5 if runs else 3.5, css="c2" if runs else "muted")
            if runs:
                end = x > left + 150
                side = {"anchor": "end" if end else "start", "css": "name"}
                name = shift.split(":", maxsplit=1)[0].replace("_", " ")
                svg.text(x + 4 if end else x - 4, y - 24, name, **side)
                side["css"] = "tick over"
                svg.text(x + 4 if end else x - 4, y - 9, cost_of(runs), **side)
    save_svg(svg, "blind_angles")


def cost_of(runs: Sequence[Mapping[str, Any]]) -> str:
    """Epochs of the retrainings, one for each seed."""
    each = [f"{run['epochs']:.2f}" if run["outcome"] == "reached" else "not reached" for run in runs]
    return f"retrained: {' and '.join(each)} epochs"


def task_form() -> None:
    """1 − ARI: classes that a line tells apart, but that are no round clusters."""
    y = torch.arange(400) % 2
    spread = torch.randn(400, 2, generator=generator(0), dtype=torch.float64)
    long = torch.stack([8.0 * spread[:, 0], 1.6 * (2.0 * y - 1) + 0.35 * spread[:, 1]], 1)
    round_ = torch.stack([6.0 * (2.0 * y - 1) + 1.6 * spread[:, 0], 1.6 * spread[:, 1]], 1)
    svg = Svg(WIDTH, 250, "RESQUE's task form on round and on long classes")
    for i, (x, title) in enumerate(((round_, "round classes"), (long, "long classes"))):
        left = 14 + 375 * i
        svg.text(left, 18, title, css="name")
        scatter(svg, x, y, (left, 30, 190, 190), 24)
        probe = f.linear_probe_accuracy(x, y, ids=torch.arange(400)).accuracy
        rows = [("1 − ARI", f"{f.resque_task(x, y):.2f}"), ("linear probe", f"{probe:.2f}")]
        lines_of(svg, left + 204, 60, rows, indent=138)
    save_svg(svg, "blind_task")


def histograms() -> None:
    """PreIndex: a mirrored histogram (released), and channels that change places (both modes)."""
    channels = 512
    clean = -torch.log(torch.rand(1, channels, generator=generator(1), dtype=torch.float64)).clamp(max=5.0)
    mirrored = clean.max() + clean.min() - clean
    permuted = clean[:, torch.randperm(channels, generator=generator(2))]
    svg = Svg(
        WIDTH, 262, "Histograms of one sample's channels: mirrored, and with channels that change places"
    )
    for i, (other, title) in enumerate(((mirrored, "mirrored"), (permuted, "channels change places"))):
        left = 14 + 375 * i
        svg.text(left, 18, title, css="name")
        for k, (values, css) in enumerate(((clean, "bar"), (other, "bar2"))):
            top = 30 + 92 * k
            counts = torch.histc(values, bins=24, min=float(clean.min()), max=float(clean.max()))
            height = Scale(0, float(counts.max()), 0, 76)
            for b, count in enumerate(counts.tolist()):
                svg.bar(left + 8 * b, top + 80 - height(count), 7, height(count), css=css)
            svg.text(left + 190, top + 14, ("clean", "shifted")[k], anchor="end", css="tick over")
        rows = []
        for mode in ("released", "corrected"):
            value = f.preindex_distance({"layer": clean}, {"layer": other}, mode=mode, bins=16)
            rows.append((f"PreIndex, {mode}", f"{value:.3f}"))
        cosine = float(torch.nn.functional.cosine_similarity(clean, other))
        rows.append(("angle over π", f"{math.acos(cosine) / math.pi:.3f}"))
        lines_of(svg, left + 200, 60, rows, indent=164)
    svg.text(14, 250, "activation of a channel, 512 channels of one sample", css="tick")
    save_svg(svg, "blind_histograms")


def marginals() -> None:
    """ARM: each channel keeps its distribution, and the samples fall apart."""
    y = torch.arange(600) % 3
    centres = torch.tensor([[-7.0, -7.0], [7.0, -7.0], [0.0, 7.5]], dtype=torch.float64)
    x = centres[y] + 2.0 * torch.randn(600, 2, generator=generator(3), dtype=torch.float64)
    apart = torch.stack([x[torch.randperm(600, generator=generator(4 + k)), k] for k in range(2)], 1)
    svg = Svg(WIDTH, 250, "ARM sees one channel at a time")
    for i, (points, title) in enumerate(((x, "source"), (apart, "each channel shuffled by itself"))):
        svg.text(14 + 240 * i, 18, title, css="name")
        scatter(svg, points, y, (14 + 240 * i, 30, 190, 190), 14)
    probe = [f.linear_probe_accuracy(p, y, ids=torch.arange(600)).accuracy for p in (x, apart)]
    rows = [
        ("ARM", f"{f.arm({'layer': x}, {'layer': apart}):.3f}"),
        ("Fréchet distance", f"{f.frechet(x, apart):.2f}"),
        ("MMD", f"{f.mmd(x, apart):.3f}"),
        ("linear probe, source", f"{probe[0]:.2f}"),
        ("linear probe, shuffled", f"{probe[1]:.2f}"),
    ]
    lines_of(svg, 500, 60, rows, indent=200)
    save_svg(svg, "blind_marginals")


def separability() -> None:
    """LogME, H-score, GBC and the probe on classes of two clusters each; neighbours see them."""
    cluster = torch.arange(480) % 4
    centres = torch.tensor([[-6.0, -6.0], [6.0, 6.0], [-6.0, 6.0], [6.0, -6.0]], dtype=torch.float64)
    x = centres[cluster] + 1.7 * torch.randn(480, 2, generator=generator(6), dtype=torch.float64)
    svg = Svg(WIDTH, 250, "Separability scores on classes of one and of two clusters")
    # clusters 0 and 2 lie on the left, 0 and 1 on a diagonal
    for i, (y, title) in enumerate(
        (((cluster == 1) | (cluster == 3), "sides"), (cluster > 1, "diagonals (XOR)"))
    ):
        left = 14 + 375 * i
        labels = y.long()
        svg.text(left, 18, f"classes are {title}", css="name")
        scatter(svg, x, labels, (left, 30, 190, 190), 13)
        probe = f.linear_probe_accuracy(x, labels, ids=torch.arange(480)).accuracy
        rows = [
            ("LogME", f"{f.logme(x, labels):+.2f}"),
            ("H-score", f"{f.h_score(x, labels):.2f}"),
            ("GBC", f"{f.gbc(x, labels):+.2f}"),
            ("linear probe", f"{probe:.2f}"),
            ("neighbours", f"{f.knn_accuracy(x, labels, metric='euclidean'):.2f}"),
        ]
        lines_of(svg, left + 204, 60, rows, indent=138)
    save_svg(svg, "blind_separability")


def transport() -> None:
    """Fréchet: another distribution with the same mean and covariance; all three: classes that change names."""
    n = 800
    normal = torch.randn(n, 2, generator=generator(7), dtype=torch.float64)
    sign = (torch.arange(n) % 2 * 2 - 1).double()
    noise = torch.randn(n, 2, generator=generator(8), dtype=torch.float64)
    two = torch.stack([0.97 * sign + math.sqrt(1 - 0.97**2) * noise[:, 0], noise[:, 1]], 1)
    # made to agree exactly: both get mean 0 and the unit matrix as covariance
    normal, two = (5.0 * white(side) for side in (normal, two))
    svg = Svg(WIDTH, 250, "Distances between two distributions with equal mean and covariance")
    for i, (points, title) in enumerate(((normal, "source: one cluster"), (two, "target: two clusters"))):
        svg.text(14 + 240 * i, 18, title, css="name")
        scatter(svg, points, torch.full((n,), 2 * i), (14 + 240 * i, 30, 190, 190), 20)
    other = 5.0 * white(torch.randn(n, 2, generator=generator(9), dtype=torch.float64))
    for x, text in ((650, "no shift"), (720, "target")):
        svg.text(x, 60, text, anchor="end", css="tick")
    calls = {
        "Fréchet": lambda a, b: f.frechet(a, b, shrink=False),
        "MMD": f.mmd,
        "sliced Wasserstein": f.sliced_wasserstein,
    }
    for i, (name, call) in enumerate(calls.items()):
        svg.text(490, 82 + 20 * i, name)
        svg.text(650, 82 + 20 * i, f"{call(normal, other):.3f}", anchor="end", css="name")
        svg.text(720, 82 + 20 * i, f"{call(normal, two):.3f}", anchor="end", css="name")
    save_svg(svg, "blind_transport")


def white(x: Tensor) -> Tensor:
    """Mean 0 and unit covariance."""
    centred = x - x.mean(0)
    root = torch.linalg.cholesky(centred.T @ centred / (len(x) - 1))
    return torch.linalg.solve_triangular(root, centred.T, upper=False).T


def linearised() -> None:
    """NTK: the linearised descent beside the real one, for two widths of the weights' scale."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.tensor(digits.data[:100], dtype=torch.float64) / 16
    y = torch.nn.functional.one_hot(torch.tensor(digits.target[:100]), 10).double()
    svg = Svg(WIDTH, 350, "Loss of the linearised and of the real training")
    steps, every = 3000, 25
    for i, hidden in enumerate((16, 1024)):
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(64, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, 10)
        ).double()
        call, parameters = functional_model(net)
        modes = ntk_modes((net(x) - y).detach(), ntk_gram(call, parameters, x))
        rate = 0.5 / float(modes.eigenvalues.max())
        real, foretold = [], []
        for step in range(steps + 1):
            loss = 0.5 * (net(x) - y).square().sum() / len(x)
            if step % every == 0:
                real.append(loss.item())
                foretold.append(modes.loss(step, rate))
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for weight in net.parameters():
                    weight.sub_(rate * weight.grad)
        left = 58 + 375 * i
        a, b = Scale(0, steps, left, left + 300), fitted([*real, *foretold], 300, 50, log=True)
        axis_left(svg, b, left, right=a.end)
        axis_bottom(svg, a, 300, label="steps of full-batch gradient descent", top=50)
        svg.text(left, 38, f"{hidden} hidden units", css="name")
        for css, curve in (("c0", foretold), ("c2", real)):
            svg.polyline([(a(every * k), b(v)) for k, v in enumerate(curve)], css=css)
        target = 0.1
        told = modes.steps_to(target, rate)
        met = next((every * k for k, v in enumerate(real) if v <= target), None)
        svg.text(
            a.end, 66, f"to a loss of {target}: forecast {told}, real {met}", anchor="end", css="tick over"
        )
    for k, (css, text) in enumerate((("c0", "linearised at the start"), ("c2", "real"))):
        svg.marks([(60 + 180 * k, 14)], size=4, css=css)
        svg.text(70 + 180 * k, 18.5, text)
    save_svg(svg, "blind_linearised")


def main() -> None:
    """Draw all."""
    torch.set_num_threads(1)
    pool = json.loads((RESULTS / "shift_pool.json").read_text(encoding="utf-8"))
    angles(pool)
    task_form()
    histograms()
    marginals()
    separability()
    transport()
    linearised()
    shifts_plot(
        pool,
        [
            ("doc", "initial_quality", "accuracy forecast by DoC", "accuracy"),
            ("atc", "initial_quality", "accuracy forecast by ATC", "accuracy"),
        ],
        "Forecast against real accuracy on shifted data",
        "blind_confidence",
        diagonal=True,
    )
    shifts_plot(
        pool,
        [
            ("nce", "probe_accuracy", "NCE, nats", "linear probe"),
            ("leep", "probe_accuracy", "LEEP, nats", "linear probe"),
        ],
        "Scores of the outputs against what the representation still holds",
        "blind_outputs",
    )
    shifts_plot(
        pool,
        [
            ("initial_gradient_norm", "recoverability_gap", "initial gradient norm", "recoverability gap"),
            ("initial_loss", "recoverability_gap", "initial loss, nats", "recoverability gap"),
        ],
        "Gradient norm and loss at the start against the recoverability gap",
        "blind_gradients",
    )


if __name__ == "__main__":
    main()
