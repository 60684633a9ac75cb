"""The laws of an option."""

from __future__ import annotations

import torch

from foretoll.data import TaskData
from foretoll.errors import UsageError
from foretoll.measure import NoMeter
from foretoll.models import Model
from foretoll.options import Option, train_to_target
from foretoll.records import TrainingSettings
from foretoll.testing.laws import hold, same, small_data, small_model, weights

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(batch_size=32, max_epochs=1, lr=0.01, until=0.9, seed=7)


def check_option(
    option: Option,
    *,
    model: Model | None = None,
    target: TaskData | None = None,
    new_task: TaskData | None = None,
) -> None:
    """Check that an option keeps the contract of `foretoll.options.Option`.

    1. It has a name, a summary, a title and a phrase.
    2. Preparing leaves the source model, its mode and torch's generator as they were.
    3. Preparing twice with one seed gives equal weights, and weights are reused as `reuses_weights` says.
    4. The prepared model has one output for each class of the target, on the same task and, where it serves one, on a
       new task; where it does not, it says so before any work.
    5. What it trains exists under its name, and there is something exactly where it takes steps.
    6. A short training ends as reached or censored, and what comes out gives finite outputs; the source is untouched.

    model, target, new_task: a source model, data of its task and of another, where those of `small_data` and
    `small_model` do not suit the option.

    Raises:
        ContractError: a law is broken.

    """
    hold(isinstance(option, Option), f"{option!r} is no foretoll.options.Option: make it a subclass")
    name = option.name
    hold(bool(name) and not set("?&= ") & set(name), f"{name!r} is no name: use letters, digits, + and -")
    hold(bool(option.summary and option.title), f"{name} says neither what it does (summary) nor its title")
    hold("{model}" in option.phrase, f"{name}: its phrase names no {{model}}, as in 'Retraining {{model}}'")
    source = small_data()
    model = model or small_model(source)
    cases = [(target or small_data(seed=1, distance=3.0), False)]
    other = new_task or small_data(classes=5, seed=1)
    if option.serves_new_task:
        cases.append((other, True))
    else:
        why = option.suits(model, other, task_shift=True)
        hold(why is not None, f"{name} serves no new task, and its suits() does not say so")
        hold(_refuses(option, model, other), f"{name} serves no new task, and prepare() does not refuse one")
    for data, task_shift in cases:
        _check_prepared(option, model, data, task_shift)
        _check_trained(option, model, data, task_shift)


def _refuses(option: Option, model: Model, target: TaskData) -> bool:
    try:
        option.prepare(model, target, task_shift=True, seed=0)
    except UsageError:
        return True
    return False


def _check_prepared(option: Option, model: Model, target: TaskData, task_shift: bool) -> None:
    name = f"{option.name} on {'a new' if task_shift else 'the same'} task"
    before, card, random = weights(model), model.card, torch.get_rng_state()
    modes = [module.training for module in model.modules()]
    prepared = option.prepare(model, target, task_shift=task_shift, seed=1)
    made = weights(prepared)
    hold(prepared is not model, f"{name}: prepare() gives the source model itself; give a clone")
    for parameter in prepared.network.parameters():
        with torch.no_grad():
            parameter.add_(1.0)
    untouched = same(weights(model), before) and model.card == card
    hold(untouched, f"{name}: the source model changes with the prepared one; clone it")
    hold([m.training for m in model.modules()] == modes, f"{name}: the mode of the source model is changed")
    hold(torch.equal(torch.get_rng_state(), random), f"{name}: torch's generator is moved; fork it")
    again = weights(option.prepare(model, target, task_shift=task_shift, seed=1))
    hold(same(made, again), f"{name}: preparing twice with one seed gives different weights")
    head = f"{model.head_name}."
    shared = [key for key in before if key in made and not key.startswith(head) and before[key].ndim > 1]
    reused = all(torch.equal(before[key], made[key]) for key in shared)
    as_said = reused is option.reuses_weights or not shared
    hold(
        as_said,
        f"{name}: reuses_weights is {option.reuses_weights}, and it does not",
    )
    fresh = option.prepare(model, target, task_shift=task_shift, seed=1)
    hold(
        fresh.num_classes == target.num_classes,
        f"{name}: {fresh.num_classes} outputs for the target's classes",
    )
    known, trained = dict(fresh.network.named_parameters()), option.trainable(fresh)
    wrong = [key for key, parameter in trained.items() if known.get(key) is not parameter]
    hold(not wrong, f"{name}: trainable() names parameters that the network has not: {wrong[:3]}")
    hold(
        bool(trained) is option.takes_steps,
        f"{name}: takes_steps is {option.takes_steps}, and it trains otherwise",
    )


def _check_trained(option: Option, model: Model, target: TaskData, task_shift: bool) -> None:
    name = f"{option.name} on {'a new' if task_shift else 'the same'} task"
    before = weights(model)
    training = option.start(model, target, SETTINGS, task_shift=task_shift, device=CPU)
    found = train_to_target(option, training, SETTINGS, meter=NoMeter(), device=CPU)
    ended = found.outcome.complete
    hold(ended, f"{name}: a training of one epoch ends as {found.outcome.value}: {found.reason}")
    hold(bool(found.steps) <= option.takes_steps, f"{name}: takes_steps is False, and steps were taken")
    served = training.finish()
    inputs = next(target.test.batches(8)).inputs
    with torch.no_grad():
        outputs = served.eval()(inputs)
    right = outputs.shape == (len(inputs), target.num_classes) and bool(torch.isfinite(outputs).all())
    hold(right, f"{name}: the trained model gives no finite output for each class")
    hold(same(weights(model), before), f"{name}: the training changes the source model")
    if option.leaves_model:
        hold(
            same(weights(served), before),
            f"{name}: it takes no step and changes no weight, and the model differs",
        )
