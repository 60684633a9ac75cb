"""The laws of a task: what every one that is registered must keep, and one of your own too."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foretoll.indices.recoverability import linear_probe_progress
from foretoll.quality import scale_of
from foretoll.tasks import TASKS, Metric, Tally, Task, Whole
from foretoll.testing.laws import hold

NEAR = 1e-6
DRAWS = 5


def check_task(task: Task, targets: Tensor, perfect: Tensor, *, seed: int = 0) -> None:
    """Hold a registered task against its laws, on `targets` (n, …) and outputs (n, width) that predict them perfectly.

    The targets must differ, and be 40 or more. Raises ContractError that names the law.
    """
    _law(TASKS.get(task.name) is task, task, "it is registered (register_task) before it is checked")
    random = torch.Generator().manual_seed(seed)
    _reading(task, targets)
    _loss(task, targets, perfect, random)
    for metric in task.metrics:
        _metric(task, metric, targets, perfect, random)
    _groups(task, targets, perfect)
    _probe(task, targets, perfect, random)


def _law(holds: bool, task: Task, law: str) -> None:
    hold(holds, f"the task {task.name} breaks a law: {law}")


def _reading(task: Task, targets: Tensor) -> None:
    values, names = task.read(targets.numpy(), "targets")
    again, same = task.read(values, "targets", names=names)
    _law(bool((values == again).all()) and names == same, task, "what was read reads as itself")
    _law(len(names) == task.width(names) and all(names), task, "every output of the head has a name")


def _loss(task: Task, targets: Tensor, perfect: Tensor, random: torch.Generator) -> None:
    scale = task.scale(targets)
    least = task.losses(perfect, targets, scale)
    _law(least.shape == (len(targets),), task, "each sample has one loss")
    mean = float(task.loss(perfect, targets, scale))
    mass = task.mass(targets).to(least)
    weighted = float((least * mass).sum() / mass.sum())
    _law(
        math.isclose(mean, weighted, abs_tol=NEAR), task, "the loss is the mean of the losses, by their mass"
    )
    spread = float(perfect.std())
    for _ in range(DRAWS):
        other = perfect + spread * torch.randn(perfect.shape, generator=random)
        loss = float(task.loss(other, targets, scale))
        _law(mean <= loss + NEAR, task, "no prediction has a lower loss than the perfect one")
    constant = task.constant(targets, perfect.shape[1]).to(perfect.dtype)
    best = float(task.loss(task.everywhere(constant, targets), targets, scale))
    for _ in range(DRAWS):
        moved = constant + 0.1 * spread * torch.randn(constant.shape, generator=random)
        loss = float(task.loss(task.everywhere(moved, targets), targets, scale))
        _law(best <= loss + NEAR, task, "no constant prediction has a lower loss than `constant`")


def _tally(task: Task, metric: Metric, width: int) -> Tally:
    return Whole() if metric.whole else task.tally(width)


def _value(task: Task, metric: Metric, outputs: Tensor, targets: Tensor, *sizes: int) -> float:
    return metric.compute(_filled(task, metric, outputs, targets, *sizes))


def _filled(task: Task, metric: Metric, outputs: Tensor, targets: Tensor, *sizes: int) -> Tally:
    tally = _tally(task, metric, outputs.shape[1])
    for part, truth in zip(torch.split(outputs, list(sizes)), torch.split(targets, list(sizes)), strict=True):
        tally.update(part, truth)
    return tally


def _metric(task: Task, metric: Metric, targets: Tensor, perfect: Tensor, random: torch.Generator) -> None:
    n, width = perfect.shape[:2]
    guess = perfect + 2 * perfect.std() * torch.randn(perfect.shape, generator=random)
    whole = _value(task, metric, guess, targets, n)
    _law(metric.low <= whole <= metric.high, task, f"{metric.name} lies within its range")

    def same(other: float) -> bool:
        return math.isclose(whole, other, rel_tol=1e-9, abs_tol=1e-9)

    _law(
        same(_value(task, metric, guess, targets, 1, n // 2, n - n // 2 - 1)),
        task,
        f"{metric.name}: any batches",
    )
    order = torch.randperm(n, generator=random)
    _law(same(_value(task, metric, guess[order], targets[order], n)), task, f"{metric.name}: any order")
    first, second, none = (_tally(task, metric, width) for _ in range(3))
    first.update(guess[: n // 3], targets[: n // 3])
    second.update(guess[n // 3 :], targets[n // 3 :])
    none.merge(first)
    none.merge(second)
    _law(none.samples == n and same(metric.compute(none)), task, f"{metric.name}: merged parts are the whole")
    best = _value(task, metric, perfect, targets, n)
    _law(
        math.isclose(best, metric.best, abs_tol=1e-5),
        task,
        f"{metric.name}: the perfect prediction is the best",
    )
    scale = scale_of(metric.name, targets, width, task.name)
    _law(
        scale.progress(scale.trivial) == 0 and scale.progress(metric.best) == 1,
        task,
        "progress goes from 0 to 1",
    )
    _law(
        scale.higher_is_better == (metric.direction == "higher"),
        task,
        f"{metric.name}: progress has its direction",
    )
    steps = [scale.progress(scale.value(i / 10)) for i in range(11)]
    _law(steps == sorted(steps) and math.isclose(steps[5], 0.5), task, "progress rises evenly")
    _law(
        metric.error(whole, n) >= metric.error(whole, 4 * n) >= 0,
        task,
        f"{metric.name}: more samples, less error",
    )
    if metric.each is not None:
        mean = float(metric.each(guess, targets).double().mean())
        _law(same(metric.of_mean(mean)), task, f"{metric.name}: the mean of the samples' scores, or its root")
    if metric.measured is not None:
        few, many = (
            metric.error_of(
                _filled(
                    task, metric, guess.repeat(k, *ones), targets.repeat(k, *ones[: targets.ndim - 1]), k * n
                ),
                whole,
            )
            for k, ones in ((1, [1] * (guess.ndim - 1)), (4, [1] * (guess.ndim - 1)))
        )
        _law(few >= many >= 0, task, f"{metric.name}: four times the samples, no more measured error")


def _groups(task: Task, targets: Tensor, perfect: Tensor) -> None:
    perfect, targets = task.rows(perfect, targets)
    scale, names = task.scale(targets), tuple(str(i) for i in range(perfect.shape[1]))
    groups, words = task.groups(targets, scale), task.group_names(names, scale)
    _law(groups.dtype == torch.int64 and groups.shape == (len(targets),), task, "each sample has one group")
    _law(bool((groups < max(len(words), 1)).all()), task, "every group has a name")
    _law(bool(task.groups_are) == bool((groups >= 0).all()), task, "groups_are says whether there are groups")
    if words:
        agree = float((task.predicted_groups(perfect, scale) == groups).double().mean())
        _law(agree == 1.0, task, "the perfect prediction says each sample's group")


def _probe(task: Task, targets: Tensor, perfect: Tensor, random: torch.Generator) -> None:
    perfect, targets = task.rows(perfect, targets)
    scale = task.scale(targets)
    design = task.design(targets, scale)
    metric = task.metrics[0]
    fitted = task.outputs(design, scale)
    exact = _value(task, metric, fitted.to(perfect.dtype), targets, len(targets))
    _law(
        math.isclose(exact, metric.best, abs_tol=1e-4),
        task,
        "a ridge that fits its design predicts perfectly",
    )
    progress = scale_of(metric.name, targets, perfect.shape[1], task.name).progress
    noise = torch.randn((len(targets), 8), generator=random).double()
    for representations in (torch.cat([design, noise], dim=1), noise):
        found = linear_probe_progress(
            representations, targets, task=task, metric=metric, progress=progress, scale=scale
        )
        _law(0 <= found.accuracy <= 1, task, "a probe is never better than the best, nor worse than nothing")
