"""Training settings read off an optimiser and off what was seen of its loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from foretoll.records import TrainingSettings
from foretoll.records.settings import OPTIMIZERS
from foretoll.tracking.observer import Observer

MOST_SEED = 2**32 - 1  # what libraries take


@dataclass(frozen=True)
class SettingsRead:
    """Settings as far as they could be read, and sentences on what has no place among them."""

    settings: TrainingSettings
    notes: tuple[str, ...] = ()


def read_optimizer(
    optimizer: torch.optim.Optimizer,
    named: TrainingSettings,
    names: Mapping[int, str],
    *,
    lr_factor: float = 1.0,
) -> SettingsRead:
    """What an optimiser says before its first step; what `named` was made with wins.

    names: of the parameters, by id; lr_factor: the option's own multiple of the learning rate that is recorded
    """
    groups = optimizer.param_groups
    main = max(groups, key=lambda group: sum(p.numel() for p in group["params"]))
    kind = type(optimizer).__name__
    lr = _rate(main)
    found: dict[str, Any] = {
        "optimizer": kind.lower() if kind.lower() in OPTIMIZERS else f"python:{kind}"[:80],
        "weight_decay": float(main.get("weight_decay", 0.0) or 0.0),
    }
    if lr > 0:
        found["lr"] = lr / lr_factor
    if kind == "SGD":
        found |= {"momentum": float(main["momentum"]), "nesterov": bool(main["nesterov"])}
    if "betas" in main and found["optimizer"] in OPTIMIZERS:
        found["betas"] = tuple(float(beta) for beta in main["betas"])
    seed = torch.initial_seed()
    if seed <= MOST_SEED:
        found["seed"] = seed
    notes = []
    multipliers = _multipliers(groups, lr, names)
    if multipliers is None:
        rates = ", ".join(f"{_rate(group):.3g}" for group in groups[:6])
        notes.append(
            f"parameter groups with learning rates of their own ({rates}): the largest group's is recorded"
        )
    elif multipliers:
        found["lr_multipliers"] = multipliers
    decays = {float(group.get("weight_decay", 0.0) or 0.0) for group in groups}
    if found["weight_decay"] and decays == {found["weight_decay"], 0.0}:
        bare = [p for group in groups if not group.get("weight_decay") for p in group["params"]]
        if all(p.ndim <= 1 for p in bare):
            found["decay_norms"] = False
    return SettingsRead(with_found(named, found, notes), tuple(notes))


def read_loop(
    settings: TrainingSettings,
    named: TrainingSettings,
    seen: Observer,
    model: nn.Module,
    *,
    ranks: int = 1,
    lr_factor: float = 1.0,
) -> SettingsRead:
    """The settings of a loop that has run: what was seen of it, where `named` does not say it."""
    notes: list[str] = []
    found: dict[str, Any] = {"accumulate": seen.accumulate}
    if seen.batch_size is not None:
        found["batch_size"] = seen.batch_size * ranks
    if seen.precision is not None:
        found["precision"] = seen.precision
    if hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None:
        found["compile"] = True
    peak, schedule = seen.rates.peak, seen.rates.schedule()
    if peak is not None:
        if "schedule" not in named.model_fields_set and schedule is None:
            notes.append(
                "the learning rate followed a schedule that has no name here: it is recorded as constant"
            )
        found |= {
            "lr": peak / lr_factor,
            "warmup": float(seen.rates.warmup),
            "schedule": schedule or "constant",
        }
    return SettingsRead(with_found(settings, found, notes, but=named.model_fields_set), tuple(notes))


def with_found(
    settings: TrainingSettings, found: Mapping[str, Any], notes: list[str], *, but: set[str] | None = None
) -> TrainingSettings:
    """The settings with what was found, but for what was named; what no record may hold is left out and said."""
    named = settings.model_fields_set if but is None else but
    wanted = {name: value for name, value in found.items() if name not in named}
    kept = {name: getattr(settings, name) for name in settings.model_fields_set if name not in wanted}
    while True:
        try:
            return TrainingSettings.model_validate(kept | wanted)
        except ValidationError as error:
            bad = {str(problem["loc"][0]) for problem in error.errors() if problem["loc"]} & set(wanted)
            bad = bad or set(wanted)
            if not bad:
                raise
            notes.append(f"{', '.join(sorted(bad))} of the optimiser cannot be recorded")
            wanted = {name: value for name, value in wanted.items() if name not in bad}


def _rate(group: Mapping[str, Any]) -> float:
    """A group's learning rate, or what its schedule rises to."""
    return max(float(group.get("lr", 0.0)), float(group.get("initial_lr", 0.0)))


def _multipliers(
    groups: list[dict[str, Any]], lr: float, names: Mapping[int, str]
) -> dict[str, float] | None:
    """Factors of the learning rate by the beginning of weights' names; None where names do not tell groups apart."""
    if lr <= 0 or all(abs(_rate(group) - lr) <= 1e-9 * lr for group in groups):
        return {}
    every = [(names.get(id(p), ""), i) for i, group in enumerate(groups) for p in group["params"]]
    found: dict[str, float] = {}
    for i, group in enumerate(groups):
        own = [name for name, at in every if at == i]
        if not own or abs(_rate(group) - lr) <= 1e-9 * lr:
            continue
        begin = _shared_beginning(own)
        if not begin or any(name.startswith(begin) for name, at in every if at != i):
            return None
        found[begin] = _rate(group) / lr
    return found


def _shared_beginning(names: list[str]) -> str:
    """What dotted names begin with: whole parts, or all of a single one."""
    parts = [name.split(".") for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
