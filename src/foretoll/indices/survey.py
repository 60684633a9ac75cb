"""Everything cheap that can be known of a (model, source, target) before any retraining: indices and signals.

One sweep over a bounded sample of the source, one over the target, a pass over a part of it and another sweep where
batch-norm statistics can be re-estimated, one over the unshifted target where it is known, and a few backward passes.
The target's *training* part is looked at: neither the data that stop a run nor those that report it are touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from foretoll.data import ArraySplit, stratified_sample
from foretoll.errors import DataError, ForetollError, ModelError, shown
from foretoll.indices.collect import (
    BATCH,
    DEFAULT_SAMPLES,
    Collector,
    Part,
    PartCollection,
    PartRequest,
    collect,
)
from foretoll.indices.fewer import WholeLook
from foretoll.indices.gradients import gradient_norms, linearised_signals
from foretoll.indices.preindex import PreIndex
from foretoll.indices.recoverability import (
    Probe,
    gap_of_probes,
    gap_value,
    linear_probe_accuracy,
    linear_probe_progress,
)
from foretoll.indices.resque import resque_task
from foretoll.indices.scores import SideSample, scores
from foretoll.indices.separability import linear_cka
from foretoll.models import comparable_layers
from foretoll.records import IndexValue, Projection
from foretoll.representation import renormalised
from foretoll.tasks import TargetScale, Task, Whole, known_metric

if TYPE_CHECKING:
    from foretoll.data import Split, TaskData
    from foretoll.models import Model
    from foretoll.models.rows import Order
    from foretoll.records import TrainingSettings

NORMALISED = 512  # samples that normalisation statistics are estimated from (benchmarks/statistics_size.py)
PROJECTED = 300
ENOUGH_PER_CLASS = 5  # samples, for a probe to be read whatever it says
MANY_CLASSES = 100
Signals = dict[str, float | None]


@dataclass(frozen=True)
class Survey:
    """Indices with their uncertainty, signals as plain numbers, and a picture of the shift."""

    indices: dict[str, IndexValue]
    signals: Signals
    projection: Projection | None
    source_samples: int
    target_samples: int
    warnings: tuple[str, ...]
    # by number of samples, what a look at so few would have said; None: too few for a probe
    of_fewer: dict[int, Signals | None] = field(default_factory=dict)


def survey(
    model: Model,
    source: TaskData | None,
    target: TaskData,
    settings: TrainingSettings,
    *,
    task_shift: bool,
    clean: TaskData | None = None,
    linearised: bool = False,
    samples: int = DEFAULT_SAMPLES,
    collector: Collector = collect,
    fewer: Sequence[int] = (),
) -> Survey:
    """Look at source and target through `model`; at most `samples` samples of each.

    `clean`: the target before its shift, sample by sample, where it is known; PreIndex needs such pairs.
    `linearised`: also the steps of the linearised network, which cost a backward pass per sample.
    For an unlabelled target RESQUE's clusters take the place of classes; what needs labels is left out, and a
    warning says so. `source` None, or unlabelled: what needs it is left out, and a warning says so.
    `collector`: where the sweeps run. `fewer`: numbers of samples for each of which the probes are fitted anew to a
    part of what was seen (`Survey.of_fewer`).
    """
    device = model.device
    layers, notes = _layers(model)
    here = None if source is None else stratified_sample(source.train, samples, seed=0)
    there = stratified_sample(target.train, samples, seed=0)
    labelled = there.labels is not None
    known = source is not None and here is not None and here.labels is not None
    sides = _sides(model, source if known else None, target, task_shift=task_shift)
    groups = model.task.group_names(model.classes, sides["source"][1])
    classes = len(groups) if known and groups and not task_shift else None

    def look(split: Split, part: Part) -> PartCollection:
        # one capacity on both sides, so that their accumulators can be joined
        of_classes = None if part == "clean" else classes
        wanted = PartRequest(part, max(samples, 1), of_classes, layers, *sides[part])
        return collector(model, split, wanted, device=device)

    of_source = None if here is None else look(here, "source")
    of_target = look(there, "target")
    kept_source = _kept(source, of_source, *sides["source"]) if source and of_source else None
    kept_target = _kept(target, of_target, *sides["target"])

    indices: dict[str, IndexValue] = {}
    of_fewer: dict[int, Signals | None] = {}
    notes += [
        *([] if known else [_unknown_source(source)]),
        *([] if labelled else [_unlabelled(target, predicted=known)]),
        *_without_classes(kept_target.task),
    ]
    signals: Signals = {} if task_shift else _outputs_of_both(model, kept_source, kept_target, settings)
    if of_source is not None:
        notes += _of_both(indices, of_source, of_target, groups, labelled=labelled)
    if clean is not None and layers:
        unshifted = stratified_sample(clean.train, samples, seed=0)
        # where the target is the source shifted, the sweep of the source has seen them
        same = here is not None and _same_samples(unshifted, here)
        paired = of_source if same and of_source is not None else look(unshifted, "clean")
        try:
            index, signals["cka"] = _pairs(paired, of_target, kept_target, model.card.num_classes)
            indices[index.name] = index
        except DataError as error:
            notes.append(_unknown("preindex", error))
    signals |= scores(kept_source, kept_target, task_shift=task_shift, outputs_of=model.task)
    if not labelled:
        indices |= _by_transport(indices.get("resque"), signals.get("resque_transport"))
    else:
        if kept_target.task.groups_are:
            notes += _try(indices, "inv_ari", lambda: _clusters(kept_target))
        try:
            quality, readable, said, again = _readable(
                model, target, there, kept_target, settings, signals.get("initial_quality"), collector
            )
            notes += said
            signals, indices = signals | quality, indices | readable
            of_fewer = _whole(kept_target, again, settings, len(there), signals).of_fewer(fewer)
        except DataError as error:
            notes.append(_unknown("the linear probe", error))
        start = model.with_head_for(target, seed=settings.seed) if task_shift else model
        notes += _gradients(signals, start, target.train, settings, device)
        if linearised and settings.until is not None and start.task.name == "classification":
            signals |= linearised_signals(
                start.to(device), there, settings, until=settings.until, device=device
            )
    signals |= {name: index.value for name, index in indices.items()}
    return Survey(
        indices=indices,
        signals=signals,
        projection=_projection(kept_source, kept_target),
        source_samples=0 if here is None else len(here),
        target_samples=len(there),
        warnings=tuple(notes),
        of_fewer=of_fewer,
    )


def _whole(
    kept: SideSample,
    again: SideSample | None,
    settings: TrainingSettings,
    samples: int,
    signals: Signals,
) -> WholeLook:
    """What fewer samples of the target would have said is read from this."""
    own_quality = signals.get("initial_quality")
    return WholeLook(
        kept,
        again,
        samples,
        None if settings.until is None else settings.progress(settings.until),
        lambda side: _probe(side, settings),
        lambda side, probe: (
            starved(side.labels, [_probe_index("probe_accuracy", probe)], own_quality) is not None
        ),
    )


def _sides(
    model: Model, source: TaskData | None, target: TaskData, *, task_shift: bool
) -> dict[Part, tuple[str, TargetScale | None]]:
    """Of which task each side's targets are, and their scale; of the same task it is the source's on both sides.

    Without labels of the source it is the model's.
    """
    card = model.card if source is None else source.card
    own = (card.task, card.targets)
    other = (target.card.task, target.card.targets) if task_shift else own
    return {"source": own, "target": other, "clean": other}


def _kept(data: TaskData, found: PartCollection, task: str, scale: TargetScale | None) -> SideSample:
    """What was kept of a side, refused where the model represents all of it alike."""
    kept = SideSample.of(found.kept.compute(), task, scale)
    _check_told_apart(data, kept)
    return kept


def _gradients(
    signals: Signals, model: Model, split: Split, settings: TrainingSettings, device: torch.device | str
) -> list[str]:
    """Add the first gradients' norms; a warning where none reaches the model, which may be kept all the same."""
    try:
        norms = gradient_norms(model, split, settings, device=device)
    except ModelError as error:
        return [_unknown("the first gradients", error)]
    signals["initial_gradient_norm"] = float(norms.mean())
    signals["initial_gradient_norm_std"] = float(norms.std(correction=0))
    return []


def _outputs_of_both(
    model: Model, source: SideSample | None, target: SideSample, settings: TrainingSettings
) -> Signals:
    sides = {"source": source, "initial": target}
    return {
        f"{name}_{k}": v
        for name, kept in sides.items()
        if kept is not None
        for k, v in _outputs(model, kept, settings).items()
    }


def _outputs(model: Model, kept: SideSample, settings: TrainingSettings) -> Signals:
    """Quality (as progress), loss and confidence of the outputs; quality and loss None without labels."""
    task, metric = model.task, known_metric(settings.metric, model.task.name)
    assert metric is not None  # noqa: S101  (for the type checker)
    confidence = None
    if task.has_probabilities:
        confidence = float(kept.logits.softmax(dim=1).amax(dim=1).mean())
    if not kept.labelled:
        return {"quality": None, "loss": None, "confidence": confidence}
    tally = Whole() if metric.whole else task.tally(kept.logits.shape[1])
    tally.update(kept.logits, kept.targets)
    return {
        "quality": settings.progress(metric.compute(tally)),
        "loss": float(task.loss(kept.logits, kept.targets, model.card.targets)),
        "confidence": confidence,
    }


def _without_classes(task: Task) -> list[str]:
    """What a task without classes means for the indices that were made for them."""
    if task.name == "classification":
        return []
    said = f"samples of {task.title} have no classes: "
    if task.groups_are:
        said += f"indices of classes (RESQUE, 1 − ARI, LogME, neighbours and others) take {task.groups_are} for them"
    else:
        said += "indices of classes (RESQUE, 1 − ARI, LogME, neighbours and others) are left out"
    return [said if task.has_probabilities else f"{said}; those of class probabilities are left out"]


def _of_both(
    indices: dict[str, IndexValue],
    source: PartCollection,
    target: PartCollection,
    groups: tuple[str, ...],
    *,
    labelled: bool,
) -> list[str]:
    """Add the indices that are sums over both sides; sentences on what they lack. The target joins the source."""
    notes: list[str] = []
    if source.resque is not None and target.resque is not None:
        source.resque.merge_state(target.resque)
        resque = source.resque
        notes += _try(indices, "resque", lambda: _named_classes(resque.compute(), groups))
        notes += _missing(indices.get("resque")) if labelled else []
    if source.arm is not None and target.arm is not None:
        source.arm.merge_state(target.arm)
        notes += _try(indices, "arm", source.arm.compute)
    return notes


def _same_samples(first: Split, second: Split) -> bool:
    """Whether two splits are known to hold the same samples without reading a file."""
    if first is second:
        return True
    if not isinstance(first, ArraySplit) or not isinstance(second, ArraySplit):
        return False
    a, b = first.inputs, second.inputs
    if not isinstance(a, torch.Tensor) or not isinstance(b, torch.Tensor):
        return False
    return torch.equal(first.ids, second.ids) and a.dtype == b.dtype and torch.equal(a, b)


def _pairs(
    clean: PartCollection, shifted: PartCollection, kept: SideSample, num_classes: int
) -> tuple[IndexValue, float]:
    """PreIndex's distance and CKA between the clean and the shifted form of the same samples."""
    before, after = clean.layers(), shifted.layers()
    if not torch.equal(before.ids, after.ids):
        raise DataError(
            "the clean data are not the target's samples one by one: pass the target before its shift, or no clean"
        )
    preindex = PreIndex(num_classes=num_classes)
    for start in range(0, len(before), BATCH):  # the histograms of all samples at once would be large
        rows = slice(start, start + BATCH)
        first, second = ({n: x[rows] for n, x in side.tensors.items()} for side in (before, after))
        preindex.update(first, second, ids=after.ids[rows])
    index = preindex.compute().model_copy(update={"name": "preindex"})
    return index, linear_cka(
        clean.kept.compute().tensors["representations"].double().cpu(), kept.representations
    )


def _readable(
    model: Model,
    target: TaskData,
    split: Split,
    kept: SideSample,
    settings: TrainingSettings,
    own_quality: float | None,
    collector: Collector,
) -> tuple[Signals, dict[str, IndexValue], list[str], SideSample | None]:
    """What is still linearly readable, with the model's and with re-estimated normalisation statistics.

    `own_quality`: of the model's own head on these samples; None on a new task. Where there are too few samples to
    say, the indices are left out and a sentence says so. Also what was kept with the re-estimated statistics.
    """
    signals: Signals = {"renormalised_quality": None, "renormalised_loss": None}
    device, plain = model.device, _probe(kept, settings)
    indices = {"probe_accuracy": _probe_index("probe_accuracy", plain)}
    fresh = renormalised(model, split, samples=NORMALISED, device=device)
    better, again = None, None
    if fresh is not None:
        sides = (kept.task.name, kept.scale)
        wanted = PartRequest("target", len(split), None, (), *sides)
        again = SideSample.of(collector(fresh, split, wanted, device=device).kept.compute(), *sides)
        better = _probe(again, settings)
        indices["renormalised_probe_accuracy"] = _probe_index("renormalised_probe_accuracy", better)
        if own_quality is not None:
            outputs = _outputs(model, again, settings)
            signals = {
                "renormalised_quality": outputs["quality"],
                "renormalised_loss": outputs["loss"],
            }
    if (why := starved(kept.labels, indices.values(), own_quality)) is not None:
        return signals | {"knn_accuracy": None}, {}, [why], again  # neighbours are as few
    if settings.until is None:
        return signals, indices, [], again
    gap = gap_of_probes(plain, better, settings.progress(settings.until))
    left_out = tuple(target.classes[c] for c in gap.probe.left_out)
    indices["recoverability_gap"] = gap_value(gap).model_copy(update={"missing_classes": left_out})
    return signals, indices, [], again


def _probe(kept: SideSample, settings: TrainingSettings) -> Probe:
    """The task's probe of one side: of classes their accuracy, else progress in the settings' metric."""
    if kept.task.name == "classification":
        return linear_probe_accuracy(kept.representations, kept.labels, ids=kept.ids)
    metric = known_metric(settings.metric, kept.task.name)
    assert metric is not None  # noqa: S101  (for the type checker)
    return linear_probe_progress(
        kept.representations,
        kept.targets,
        task=kept.task,
        metric=metric,
        progress=settings.progress,
        scale=kept.scale,
        groups=kept.labels,
        ids=kept.ids,
    )


def starved(labels: Tensor, probes: Iterable[IndexValue], own_quality: float | None) -> str | None:
    """Why probes of so few samples a class say nothing of what is readable, as a sentence; None where they do.

    The model's own head reads the same representation: where it is right more often than a probe of a few samples a
    class is likely to be, the probe had too few, and a gap to the target must not be read from it. With hundreds of
    classes the same holds where no head is there to compare with.
    """
    classes = len(torch.unique(labels))
    if len(labels) >= ENOUGH_PER_CLASS * classes:
        return None
    best = max((probe.high or 0.0 for probe in probes if probe.name.endswith("probe_accuracy")), default=0.0)
    more = own_quality is not None and own_quality > best
    if not more and classes <= MANY_CLASSES:
        return None
    seen = f"; the model itself is right on {own_quality:.2g} of them" if more else ""
    return (
        f"{len(labels):,} samples are too few for {classes:,} classes to fit a linear probe{seen}: "
        "recoverability gap and neighbours are left out; "
        f"give --samples {2 * ENOUGH_PER_CLASS * classes} where there are as many"
    )


def _probe_index(name: str, probe: Probe) -> IndexValue:
    spread = 1.645 * probe.standard_error  # 90 %
    return IndexValue(
        name=name,
        value=probe.accuracy,
        low=max(probe.accuracy - spread, 0.0),
        high=min(probe.accuracy + spread, 1.0),
        samples=probe.samples,
    )


def _try(indices: dict[str, IndexValue], name: str, compute: Callable[[], IndexValue]) -> list[str]:
    """Add an index, or, where its data do not allow it, return the sentence that says so."""
    try:
        indices[name] = compute()
    except DataError as error:
        return [_unknown(name, error)]
    return []


def _unknown(what: str, error: ForetollError) -> str:
    return f"{what} could not be computed: {error}"


def _missing(index: IndexValue | None) -> list[str]:
    """The warning that classes are on one side only."""
    if index is None or not index.missing_classes:
        return []
    names = ", ".join(index.missing_classes[:5]) + (", …" if len(index.missing_classes) > 5 else "")
    return [f"classes on one side only ({names}): RESQUE is the mean over the others"]


def _check_told_apart(data: TaskData, kept: SideSample) -> None:
    """Refuse a side whose samples all look the same to the model: no index has a meaning there."""
    rows = kept.representations
    if len(rows) > 1 and bool((rows == rows[0]).all()):
        raise DataError(
            f"the model represents all {len(rows)} samples of {data.card.uri} alike: check the data and the "
            "weights, or name another layer with --embedding-layer"
        )


def _clusters(kept: SideSample) -> IndexValue:
    return IndexValue(
        name="inv_ari", value=resque_task(kept.representations, kept.labels), samples=len(kept.labels)
    )


def _named_classes(index: IndexValue, classes: tuple[str, ...]) -> IndexValue:
    """The same index with class names in place of numbers."""
    return index.model_copy(
        update={
            "detail": {classes[int(c)]: value for c, value in index.detail.items()},
            "missing_classes": tuple(classes[int(c)] for c in index.missing_classes),
        }
    )


def _by_transport(predicted: IndexValue | None, value: float | None) -> dict[str, IndexValue]:
    """RESQUE of an unlabelled target: nearer to the labelled value than by predicted class (docs/label_free.md).

    The floor is the source's own and stays; interval and angles are those of predicted classes and go.
    """
    if predicted is None or value is None:
        return {}
    note = "the target has no labels: by clusters that optimal transport matches with the classes"
    kept = {"name": "resque", "floor": predicted.floor, "samples": predicted.samples}
    return {"resque": IndexValue.model_validate({**kept, "value": value, "note": note})}


def _layers(model: Model) -> tuple[dict[str, Order], list[str]]:
    """The layers for ARM and PreIndex, and the note on those that they cannot compare."""
    found = comparable_layers(model)
    count = len(found.left_out)
    if not count:
        return found.rows, []
    names = ", ".join(shown(name, 60) for name in found.left_out[:3]) + (", …" if count > 3 else "")
    have, are = ("layer has", "is") if count == 1 else ("layers have", "are")
    return found.rows, [
        f"{count} {have} no rows that belong to the samples (such as tables of positions) and {are} left out of ARM "
        f"and PreIndex: {names}"
    ]


def _unlabelled(target: TaskData, *, predicted: bool) -> str:
    clusters = "RESQUE takes clusters for its classes; " if predicted else ""
    return (
        f"{target.name} has no labels: {clusters}accuracy, loss, "
        "gradient norm and the linear probe could not be computed"
    )


def _unknown_source(source: TaskData | None) -> str:
    """What is not known where nobody has labelled data of the source."""
    without = "and the forecast is made without them"
    if source is None:
        return (
            "there are no data of the source: the angle of RESQUE, the distances from source to target (MMD, Fréchet, "
            f"sliced Wasserstein, ARM) and the quality on the source could not be computed, {without}"
        )
    return (
        f"the source {source.name} has no labels: the angle of RESQUE, ATC, DoC and the quality on it could not be "
        f"computed, {without}"
    )


def _projection(source: SideSample | None, target: SideSample) -> Projection:
    """First two principal components of both sides together, fitted on what is drawn."""
    b = target.representations[:PROJECTED]
    a = b[:0] if source is None else source.representations[:PROJECTED]
    both = torch.cat([a, b])
    centred = both - both.mean(dim=0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    if plane.shape[1] < 2:
        plane = F.pad(plane, (0, 2 - plane.shape[1]))
    energy = singular.square()
    points = [(float(x), float(y)) for x, y in plane]
    return Projection(
        source=tuple(points[: len(a)]),
        source_labels=() if source is None else tuple(source.labels[:PROJECTED].tolist()),
        target=tuple(points[len(a) :]),
        target_labels=tuple(target.labels[:PROJECTED].tolist()),
        explained=min(float(energy[:2].sum() / energy.sum()), 1.0) if energy.sum() > 0 else 0.0,
    )
