"""How far forecasts can be relied on: by option, kind of data, size of job and forecast chance, data sets left out.

    OMP_NUM_THREADS=1 python benchmarks/reliability.py

What a user without runs of their own would read of each open run of the ledger that ships, by any option that takes
steps, where no run from or to its source's data set was learned from; some 20 CPU minutes. A line for each run is kept
in benchmarks/results/reliability.jsonl.gz, a data set at a time, and a second call goes on from there; all lines of
another ledger are dropped. Writes the block `reliability` of docs/forecasts.md and docs/img/reliability.svg. Last
line: one JSON object.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from foretoll.forecast.case import CLASSIFICATION
from foretoll.forecast.forecaster import HARD, UNLIKE
from foretoll.forecast.reference import RUNS, reference_runs
from foretoll.options.table import traits_of
from foretoll.report.figures import Scale, Svg, axis_bottom, axis_left
from foretoll.report.life_quality import wilson
from foretoll.report.score_tables import COSTS
from foretoll.research.leave_out import Fold, Row, rows_of, splits_of
from foretoll.research.open_runs import Told, interval_measures, tell_left_out, warning_measures
from interval_scores import cell
from pages import RESULTS, ROOT, markdown_table, replace_ledger_block, save_svg

KEPT = RESULTS / "reliability.jsonl.gz"
PAGE = ROOT / "docs" / "forecasts.md"
COMMAND = "OMP_NUM_THREADS=1 python benchmarks/reliability.py"
LEFT_OUT = "data sets"
FEWEST = 20  # runs of a group that are enough to say that its intervals hold too little
AIM, LEAST = 0.9, 0.8
BANDS = ((0.05, "under 5 %"), (0.35, "5 to 35 %"), (0.65, "35 to 65 %"), (0.95, "65 to 95 %"))
SUREST = "over 95 %"
BINS = 10
Z95 = 1.96


@dataclass(frozen=True)
class Seen:
    """An open run, what was forecast of it, and whether that held."""

    data_set: str  # of the source, which was left out
    option: str
    kind: str  # of the target's data
    size: str
    new_task: bool
    chance: float | None
    reached: bool
    unlike: float | None
    hardness: float | None
    error: float | None  # |log| of the factor that the epochs were off by; None: it did not reach its target
    costs: dict[str, tuple[bool, float]]  # whether the 90 % interval held the cost, and its width


Group = tuple[str, list[Seen]]


def look() -> list[Seen]:
    """What was forecast of every open run; data sets of which it is kept are not forecast again."""
    digest = hashlib.sha256(RUNS.read_bytes()).hexdigest()[:12]
    kept = _kept(digest)
    rows = rows_of(reference_runs(), task=CLASSIFICATION)
    splits = {split.name: split for split in splits_of(rows)}
    for name in sorted({row.case.source_name for row in rows} - kept.keys()):
        told = tell_left_out(rows, _only(splits[LEFT_OUT], name))
        kept[name] = [_seen(k, told, rows, splits["sizes"]) for k in told]
        lines = [{"ledger": digest, "data_set": each, "runs": len(seen)} for each, seen in kept.items()]
        text = "\n".join(
            json.dumps(line) for line in [*lines, *(asdict(s) for v in kept.values() for s in v)]
        )
        KEPT.write_bytes(gzip.compress(text.encode(), mtime=0))
        print(f"{name}: {len(told)} open runs", flush=True)
    return [seen for each in kept.values() for seen in each]


def _kept(digest: str) -> dict[str, list[Seen]]:
    if not KEPT.exists():
        return {}
    lines = [json.loads(line) for line in gzip.decompress(KEPT.read_bytes()).decode().splitlines()]
    kept: dict[str, list[Seen]] = {line["data_set"]: [] for line in lines if line.get("ledger") == digest}
    for line in lines:
        if "ledger" not in line and line["data_set"] in kept:
            costs = {cost: (bool(held), width) for cost, (held, width) in line["costs"].items()}
            kept[line["data_set"]].append(Seen(**line | {"costs": costs}))
    return kept


def _only(split: Fold, name: str) -> Fold:
    """The split with one fold alone, of which the options that take steps are forecast."""

    def fold(row: Row) -> str | None:
        return name if split.fold(row) == name and traits_of(row.case.option).takes_steps else None

    return replace(split, fold=fold)


def _seen(k: int, told: Told, rows: Sequence[Row], sizes: Fold) -> Seen:
    """Everything about one run, by the measures of groups, of a group of one."""
    row, made, alone = rows[k], told[k][0], {k: told[k]}
    intervals, warned = interval_measures(alone, rows), warning_measures(alone, rows)
    factor = warned["median_factor_warned"] or warned["median_factor_not"]
    return Seen(
        data_set=row.case.source_name,
        option=row.case.option,
        kind=row.run.target.kind,
        size=sizes.fold(row) or "",
        new_task=row.case.task_shift,
        chance=_short(made.reach_probability),
        reached=not row.censored,
        unlike=_short(made.unlike),
        hardness=_short(made.hardness),
        error=None if factor is None else _short(math.log(factor)),
        costs={cost: (bool(m["held"]), float(f"{m['width']:.4g}")) for cost, m in intervals.items()},
    )


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def groupings(seen: Sequence[Seen]) -> dict[str, list[Group]]:
    """All runs by option, kind of data, size, same or new task, and forecast chance."""
    sizes = ["up to 400 samples", "401 to 2,000", "2,001 to 5,000", "over 5,000"]
    return {
        "option": _by(seen, lambda s: s.option),
        "kind of data": _by(seen, lambda s: s.kind),
        "training samples": _by(seen, lambda s: s.size, sizes),
        "task": _by(seen, lambda s: "a new task" if s.new_task else "the same task"),
        "forecast chance of reaching": _by(seen, _band, [*(name for _, name in BANDS), SUREST, ""]),
    }


def _band(seen: Seen) -> str:
    if seen.chance is None:
        return ""
    chance = seen.chance
    return next((name for most, name in BANDS if chance < most), SUREST)


def _by(seen: Sequence[Seen], name: Callable[[Seen], str], order: Sequence[str] = ()) -> list[Group]:
    """Runs of one name together: in the given order, or the largest group first."""
    counts = Counter(name(s) for s in seen)
    names = [each for each in order if each in counts] or [each for each, _ in counts.most_common()]
    return [(each, [s for s in seen if name(s) == each]) for each in names]


def intervals_of(seen: Sequence[Seen]) -> dict[str, dict[str, float]]:
    """Per cost: runs with an interval, share held, and median width."""
    found = {}
    for cost in COSTS:
        pairs = [s.costs[cost] for s in seen if cost in s.costs]
        if pairs:
            held, width = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
            found[cost] = {
                "runs": float(len(pairs)), "held": float(held.mean()), "width": float(np.median(width)),
            }  # fmt: skip
    return found


def interval_table(title: str, groups: Sequence[Group]) -> str:
    """A group a row: its runs, and each cost's share held and median width."""
    rows = []
    for name, group in groups:
        found, off = intervals_of(group), [s.error for s in group if s.error is not None]
        factor = f"{math.exp(float(np.median(off))):.2f}" if off else "–"
        rows.append(
            [name, f"{len(group):,}", str(len({s.data_set for s in group})), f"{len(off):,}", factor]
            + [cell(cost, found.get(cost)) for cost in COSTS]
        )
    head = [title, "open runs", "data sets", "that reached", "median factor", *COSTS.values()]
    return markdown_table(head, rows)


def too_narrow(groups: Mapping[str, Sequence[Group]]) -> list[tuple[str, str, float, float]]:
    """Groups of enough runs whose intervals hold less than they may: group, cost, share held, runs."""
    return [
        (f"{title}: {name}", COSTS[cost], found["held"], found["runs"])
        for title, each in groups.items()
        for name, group in each
        for cost, found in intervals_of(group).items()
        if found["runs"] >= FEWEST and found["held"] < LEAST
    ]


def crossed(groups: Mapping[str, Sequence[Group]]) -> dict[str, tuple[int, int]]:
    """Of the groups of any two of the groupings at once, with enough runs: how many there are of each cost, how many
    hold less than `LEAST`."""
    found = dict.fromkeys(COSTS, (0, 0))
    names = list(groups)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            for _, one in groups[first]:
                for _, other in groups[second]:
                    inside = {id(s) for s in other}
                    for cost, got in intervals_of([s for s in one if id(s) in inside]).items():
                        if got["runs"] >= FEWEST:
                            many, few = found[cost]
                            found[cost] = many + 1, few + (got["held"] < LEAST)
    return found


@dataclass(frozen=True)
class Bin:
    """Runs of nearly the same forecast chance, and the share of them that reached."""

    name: str
    runs: int
    chance: float
    share: float
    low: float
    high: float


def diagram(seen: Sequence[Seen]) -> list[Bin]:
    """Ten bands of the forecast chance; the interval is Wilson's of 95 %, as if runs were independent."""
    bins = []
    for k in range(BINS):
        inside = [(s.chance, s.reached) for s in seen if s.chance is not None and _bin(s.chance) == k]
        if inside:
            chance, met = np.array(inside, dtype=float).T
            low, high = wilson(float(met.mean()), len(inside), Z95)
            name = f"{k * 100 // BINS} to {(k + 1) * 100 // BINS} %"
            bins.append(Bin(name, len(inside), float(chance.mean()), float(met.mean()), low, high))
    return bins


def _bin(chance: float) -> int:
    return min(int(chance * BINS), BINS - 1)


def chance_measures(seen: Sequence[Seen]) -> dict[str, float]:
    """Mean forecast chance, share that reached, and the Brier score beside that of always telling this share."""
    chance, met = np.array([(s.chance, s.reached) for s in seen if s.chance is not None], dtype=float).T
    share = float(met.mean())
    return {
        "runs": float(len(met)), "forecast": float(chance.mean()), "reached": share,
        "brier": float(((chance - met) ** 2).mean()), "base_rate": share * (1 - share),
    }  # fmt: skip


def chance_tables(seen: Sequence[Seen], groups: Mapping[str, Sequence[Group]]) -> str:
    """The reliability diagram as a table, and the Brier score of all groups."""
    bins = [
        [b.name, f"{b.runs:,}", f"{b.chance:.0%}", f"{b.share:.0%}", f"{b.low:.0%} … {b.high:.0%}"]
        for b in diagram(seen)
    ]
    all_of = [("all", list(seen))]
    listed = [*all_of, *(g for title, each in groups.items() if "chance" not in title for g in each)]
    rows = []
    for name, group in listed:
        if any(s.chance is not None for s in group):
            m = chance_measures(group)
            better = f"{1 - m['brier'] / m['base_rate']:+.0%}" if m["base_rate"] else "–"
            cells = [f"{m['runs']:,.0f}", *(f"{m[key]:.0%}" for key in ("forecast", "reached"))]
            rows.append([name, *cells, *(f"{m[key]:.3f}" for key in ("brier", "base_rate")), better])
    head = ["open runs", "runs", "mean chance", "reached", "Brier score", "always the base rate", "better by"]
    return "\n\n".join(
        (
            markdown_table(["forecast chance", "runs", "mean chance", "reached", "95 % interval"], bins),
            markdown_table(head, rows),
        )
    )


def _unlike(seen: Seen) -> bool:
    return (seen.unlike or 0.0) > UNLIKE


def _hard(seen: Seen) -> bool:
    return (seen.hardness or 0.0) > HARD


def warnings_of(seen: Sequence[Seen]) -> dict[str, dict[str, float | None]]:
    """Of each kind of warning, how often it stands and how far off forecasts are where it does and where not."""
    kinds: dict[str, Callable[[Seen], bool]] = {
        "unlike all runs": _unlike,
        "like runs that were forecast badly": _hard,
        "either": lambda s: _unlike(s) or _hard(s),
    }
    found = {}
    for name, warned in kinds.items():
        with_it, without = (
            [s.error for s in seen if s.error is not None and warned(s) is said] for said in (True, False)
        )
        off, usual = (float(np.median(e)) if e else None for e in (with_it, without))
        found[name] = {
            "warned": float(np.mean([warned(s) for s in seen])),
            "runs": float(len(with_it)),
            "factor_warned": None if off is None else math.exp(off),
            "factor_not": None if usual is None else math.exp(usual),
            "ratio": off / usual if off is not None and usual else None,
        }
    return found


def warning_table(seen: Sequence[Seen]) -> str:
    """The warnings, a kind a row, and how well what they rest on orders the errors."""
    rows = []
    for name, found in warnings_of(seen).items():
        factors = [found[key] for key in ("factor_warned", "factor_not", "ratio")]
        said = ["–" if f is None else f"{f:.2f}" for f in factors]
        rows.append([name, f"{found['warned']:.1%}", f"{found['runs']:.0f}", *said])
    head = [
        "warning",
        "warned",
        "of these reached",
        "median factor there",
        "elsewhere",
        "ratio of the log errors",
    ]
    ordered = []
    for words, name in (("distance", "unlike"), ("usual error of such runs", "hardness")):
        pairs = [(getattr(s, name), s.error) for s in seen if s.error is not None]
        told, off = np.array([pair for pair in pairs if pair[0] is not None], dtype=float).T
        ordered.append(f"{words} {float(spearmanr(told, off).statistic):.2f}")
    return f"{markdown_table(head, rows)}\n\nSpearman with the log error of runs that reached: {', '.join(ordered)}."


def draw(seen: Sequence[Seen]) -> Svg:
    """The share that reached against the forecast chance; below, how many runs were told so."""
    bins = diagram(seen)
    svg = Svg(470, 520, "Share of open runs that reached their target against the forecast chance of it")
    x, y = Scale(0, 1, 58, 448), Scale(0, 1, 370, 32)
    axis_left(svg, y, x.start, right=x.end)
    axis_bottom(svg, x, y.start, top=y.end)
    svg.text(x.start, 18, "share that reached, with 95 % interval", css="name")
    svg.line(x(0), y(0), x(1), y(1), "reference")
    for b in bins:
        svg.line(x(b.chance), y(b.low), x(b.chance), y(b.high), "c0")
        svg.marks(
            [(x(b.chance), y(b.share))], size=4.5, css="c0",
            title=f"{b.name}: {b.share:.0%} of {b.runs} runs reached",
        )  # fmt: skip
    svg.polyline([(x(b.chance), y(b.share)) for b in bins], css="c0")
    most = Scale(0, max(b.runs for b in bins), 478, 412)
    for k, b in ((int(b.name.split()[0]) * BINS // 100, b) for b in bins):
        left = x(k / BINS) + 2
        svg.bar(left, most(b.runs), x((k + 1) / BINS) - 2 - left, most.start - most(b.runs), css="range")
        svg.text(left + 17, most(b.runs) - 3, f"{b.runs:,}", anchor="middle", css="tick")
    axis_bottom(svg, x, most.start, label="forecast chance of reaching the target; bars: open runs")
    return svg


def main() -> None:
    """Look, write, draw."""
    seen = look()
    groups = groupings(seen)
    narrow = too_narrow(groups)
    said = "; ".join(f"{cost} of {name} ({held:.0%} of {runs:.0f})" for name, cost, held, runs in narrow)
    cells = ", ".join(
        f"{COSTS[cost]} {few} of {many}" for cost, (many, few) in crossed(groups).items() if many
    )
    text = [
        f"`{COMMAND}`: {len(seen):,} open runs of {len({s.data_set for s in seen})} data sets, each left out in turn.",
        interval_table("all", [("all", list(seen))]),
        *(interval_table(title, each) for title, each in groups.items()),
        f"Held under {LEAST:.0%}, of groups of at least {FEWEST} runs: {said or 'none'}.",
        f"Of the groups by two of these at once, with at least {FEWEST} runs, so many held under {LEAST:.0%}: {cells}.",
        "![Share of open runs that reached their target against the forecast chance](img/reliability.svg)",
        "The same as a table, and by group:",
        chance_tables(seen, groups),
        warning_table(seen),
    ]
    replace_ledger_block(PAGE, "reliability", "\n\n".join(text))
    save_svg(draw(seen), "reliability")
    print(
        json.dumps(
            {"runs": len(seen), "intervals": intervals_of(seen), "chance": chance_measures(seen)}
            | {"warnings": warnings_of(seen), "under": narrow}
        )
    )


if __name__ == "__main__":
    main()
