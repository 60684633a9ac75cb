"""The laws of a stop rule."""

from __future__ import annotations

import math
from collections.abc import Sequence

from foretoll.records import EvalPoint
from foretoll.testing.laws import hold
from foretoll.training import StopRule, first_of, steps

PER_EPOCH = 10
CURVES = {
    "rising": tuple(min(0.1 + 0.05 * i, 1.0) for i in range(40)),
    "falling": tuple(max(0.9 - 0.02 * i, 0.0) for i in range(40)),
    "flat": (0.5,) * 40,
    "restless": tuple(0.5 + (0.2 if i % 2 else -0.2) for i in range(40)),
}


def check_stop_rule(rule: StopRule) -> None:
    """Check that a rule keeps the contract of `foretoll.training.StopRule`.

    1. Its goal is a quality, a finite number in the metric's unit, or None.
    2. It is a function of what happened: asked again, or after another run, it says the same.
    3. It says a truth value, and leaves the curve as it is.
    4. It goes with others: the first of it and a budget ends where either does.

    Raises:
        ContractError: a law is broken.

    """
    kind = type(rule).__name__
    hold(isinstance(rule, StopRule), f"{kind} is no foretoll.training.StopRule: make it a subclass")
    goal = rule.goal
    hold(
        goal is None or math.isfinite(goal),
        f"{kind}: its goal is {goal}, which is no quality: give a finite number, or None",
    )
    answers = {name: _answers(rule, curve) for name, curve in CURVES.items()}
    for name, curve in CURVES.items():
        again = _answers(rule, curve)
        hold(again == answers[name], f"{kind}: asked again about a {name} curve it says something else")
        both = _answers(first_of(rule, steps(5 * PER_EPOCH)), curve)
        wanted = [end or i >= 5 * 4 for i, end in enumerate(answers[name])]
        hold(
            both == wanted,
            f"{kind}: with steps({5 * PER_EPOCH}) it does not end where the first of both does",
        )


def _answers(rule: StopRule, qualities: Sequence[float]) -> list[bool]:
    """What the rule says after each of the evaluations, of which there are four an epoch."""
    answers = []
    for number in range(len(qualities)):
        curve = tuple(_point(i, quality) for i, quality in enumerate(qualities[: number + 1]))
        step = curve[-1].step
        said = rule.ends(curve, step, step / PER_EPOCH)
        hold(
            isinstance(said, bool),
            f"{type(rule).__name__}: ends() says {said!r}, which is neither True nor False",
        )
        answers.append(said)
    return answers


def _point(number: int, quality: float) -> EvalPoint:
    step = number * PER_EPOCH // 4
    return EvalPoint(step=step, epochs=step / PER_EPOCH, quality=quality, loss=1.0 - quality)
