"""Everything that foretoll brings keeps the contracts that outsiders are asked to keep; broken parts are told."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foretoll import testing
from foretoll.data.schemes import DataScheme
from foretoll.decide.policies import POLICIES, Policy, View, get_policy
from foretoll.decide.policies.base import Choice, Verdict
from foretoll.decide.policies.dummies import Keep as Keep_
from foretoll.indices.scores import BETWEEN, SideSample
from foretoll.indices.table import INDICES, IndexEntry
from foretoll.measure import EnergyMeter, NoMeter, open_meter
from foretoll.measure.basis import PartReport
from foretoll.options import OPTIONS, Option
from foretoll.options.finetune import Finetune
from foretoll.options.keep import Keep
from foretoll.records import Decision
from foretoll.testing import (
    ContractError,
    check_data,
    check_index,
    check_meter,
    check_option,
    check_policy,
    check_stop_rule,
)
from foretoll.training import StopRule, epochs, first_of, patience, steps, until


@pytest.mark.parametrize("name", OPTIONS.built_in)
def test_every_option_keeps_the_contract(name: str) -> None:
    check_option(OPTIONS[name])


@pytest.mark.parametrize("name", ["none", "watts:20", "codecarbon"])
def test_meters_keep_the_contract(name: str) -> None:
    check_meter(lambda: open_meter(name))


@pytest.mark.parametrize(
    "rule", [until(0.8), epochs(3), steps(7), patience(2), first_of(until(0.7), epochs(2))], ids=repr
)
def test_stop_rules_keep_the_contract(rule: StopRule) -> None:
    check_stop_rule(rule)


@pytest.mark.parametrize("name", sorted(BETWEEN))
def test_indices_of_both_sides_keep_the_contract(name: str) -> None:
    own = INDICES[name]
    check_index(IndexEntry(name, own.title, own.sees, own.source, needs=own.needs, compute=BETWEEN[name]))


class Shared(Finetune):
    name, title, phrase, summary = "shared", "shared", "Sharing {model}", "train the source itself"

    def _prepare(self, model: Any, target: Any, *, task_shift: bool, seed: int) -> Any:
        return model


class Unseeded(Finetune):
    name, title, phrase, summary = "unseeded", "unseeded", "Drawing {model}", "start from chance"

    def _prepare(self, model: Any, target: Any, *, task_shift: bool, seed: int) -> Any:
        other = super()._prepare(model, target, task_shift=task_shift, seed=seed)
        with torch.no_grad():
            next(other.network.parameters()).add_(random.random())
        return other


class Idle(Keep):
    name, title, phrase, summary = "idle", "idle", "Idling {model}", "say that it trains"
    takes_steps = True

    def suits(self, model: Any, target: Any, *, task_shift: bool) -> str | None:
        return "it serves no new task" if task_shift else None


class Nameless(Finetune):
    name, title, phrase, summary = "a name", "t", "p {model}", "s"


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (Shared(), "gives the source model itself"),
        (Unseeded(), "twice with one seed gives different weights"),
        (Idle(), "takes_steps is True"),
        (Nameless(), "is no name"),
    ],
)
def test_an_option_that_breaks_a_law_is_told(option: Option, said: str) -> None:
    with pytest.raises(ContractError, match=said) as told:
        check_option(option)
    assert "\n" not in str(told.value) and len(str(told.value)) <= 300


class Negative(NoMeter):
    def _sample(self, phase: str, duration_s: float) -> Mapping[str, float | None]:
        return {"machine": -1.0}

    def _report(self, joules: Mapping[str, float | None], duration_s: float) -> list[PartReport]:
        return []


def test_a_meter_that_breaks_a_law_is_told() -> None:
    used = NoMeter()
    with pytest.raises(ContractError, match="given twice"):
        check_meter(lambda: used)
    with pytest.raises(ContractError, match="is no foretoll"):
        check_meter(object)  # type: ignore[arg-type]


class Moody(StopRule):
    def __init__(self) -> None:
        self.asked = 0

    def ends(self, curve: Any, step: int, epochs: float) -> bool:
        self.asked += 1
        return self.asked > 50


class Endless(StopRule):
    goal = float("inf")  # type: ignore[assignment]

    def ends(self, curve: Any, step: int, epochs: float) -> bool:
        return False


class Wordy(StopRule):
    def ends(self, curve: Any, step: int, epochs: float) -> bool:
        return "no"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("rule", "said"),
    [(Moody(), "asked again"), (Wordy(), "neither True nor False"), (Endless(), "goal is inf")],
)
def test_a_stop_rule_that_breaks_a_law_is_told(rule: StopRule, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_stop_rule(rule)


def entry(compute: Any, **more: Any) -> IndexEntry:
    return IndexEntry("own", "own", "how far the means lie apart", "own", compute=compute, **more)


def means(source: SideSample, target: SideSample) -> float:
    return float((source.representations.mean(0) - target.representations.mean(0)).norm())


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (entry(None), "has no compute"),
        (entry(lambda s, t: float("nan")), "no finite float"),
        (entry(lambda s, t: random.random()), "seed what is random"),
        (entry(lambda s, t: float(t.representations[0].sum())), "in another order"),
        (entry(lambda s, t: 1.0, identical=1.0), "it sees nothing"),
        (entry(means, identical=5.0), "5 is documented"),
        (entry(lambda s, t: float(t.labels.double().mean())), "reads the target's labels"),
    ],
)
def test_an_index_that_breaks_a_law_is_told(index: IndexEntry, said: str) -> None:
    check_index(entry(means, identical=0.0))
    with pytest.raises(ContractError, match=said):
        check_index(index)


@pytest.mark.parametrize("name", [*POLICIES.built_in, "periodic:3", "floor:0.6"])
def test_policies_keep_the_contract(name: str) -> None:
    check_policy(get_policy(name))


class Counting(Keep_):
    """It updates every third time that it is asked."""

    asked = 0

    def _due(self, view: View, choice: Choice) -> Verdict:
        self.asked += 1
        return Verdict(self.asked % 3 == 0, "counted")


class Spender(Keep_):
    """It takes the dearest update, whatever is left."""

    def decide(self, view: View) -> Decision:
        if not view.since or not view.worth:
            return super().decide(view)
        dearest = max(view.offers, key=lambda offer: offer.cost_high)
        return Decision(policy="keep", action="update", option=dearest.option, reason="dear", after=view.now)


class Generous(Keep_):
    """It says that it weighs, and never updates."""

    weighs = True


@pytest.mark.parametrize(
    ("policy", "said"),
    [(Counting(), "it decide"), (Spender(), "budget does not bear"), (Generous(), "leaves out")],
)
def test_a_policy_that_breaks_a_law_is_told(policy: Policy, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        check_policy(policy)


class Ramp(DataScheme):
    name, keys, follows = "ramp", ("start",), ""

    def open(self, uri: Any, layout: Any = None) -> Any:
        start = float(uri.own.get("start", 0.0))
        x = np.linspace(start, start + 1, 120, dtype=np.float32)[:, None] * np.ones(4, dtype=np.float32)
        return x, (np.arange(120) % 3)


class Lax(Ramp):
    name, follows = "lax", "a path"


def test_a_scheme_keeps_the_contract_and_a_lax_one_is_told() -> None:
    check_data(Ramp(), "ramp?start=2")
    with pytest.raises(ContractError, match="a path that does not exist is accepted"):
        check_data(Lax(), "lax:somewhere")


def test_a_meter_class_is_enough() -> None:
    assert isinstance(open_meter(NoMeter), EnergyMeter)
    made = open_meter(NoMeter(), device="cpu")
    assert isinstance(made, NoMeter) and not made.running


def test_where_the_checks_are_explained() -> None:
    page = Path(__file__).parents[2] / "CONTRIBUTING.md"
    for name in (name for name in testing.__all__ if name.startswith("check_")):
        assert name in page.read_text()
