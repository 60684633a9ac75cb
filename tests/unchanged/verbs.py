"""Every public verb of foretoll, called on a network of the user's own and a few samples."""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import foretoll
from foretoll.records import Outcome, Run

SETTINGS = foretoll.TrainingSettings(batch_size=16, max_epochs=1, lr=0.01, until=0.99)
HOW: dict[str, Any] = {"settings": SETTINGS, "accounting": foretoll.Accounting("watts:20", region="DE")}
BATCHES = 4  # of a loop of the user's own
# Of `foretoll.__all__`: what does no work of its own, and what is known of the package.
VALUES = {
    "Accounting", "Comparison", "Estimate", "ForetollError", "Model", "PilotBudget", "Run", "TaskData",
    "TrainingSettings", "__version__",
}  # fmt: skip
WORKERS = ("Session", "Life", "Ledger", "TrackedRun")  # classes whose methods are verbs


class OwnError(Exception):
    """What the user's network raises."""


class Calls:
    """How often a network and all its copies were called; the call after so many raises."""

    def __init__(self, most: float = math.inf) -> None:
        self.made, self.most = 0, most

    def __deepcopy__(self, _: object) -> Calls:
        return self

    def count(self) -> None:
        """One more."""
        self.made += 1
        if self.made > self.most:
            raise OwnError("mine")


class Network(nn.Module):
    """A network of the user's own, with layers that train otherwise than they serve."""

    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(8, 3)
        self.calls = calls

    def forward(self, x: Tensor) -> Tensor:
        self.calls.count()
        noise = random.random() + float(np.random.rand()) if self.training else 0.0
        return self.head(self.body(x)) + noise


def own_network(num_classes: int = 3) -> nn.Module:
    """A factory, as `train` takes it."""
    return Network(Calls())


def lived_in(calls: Calls) -> Network:
    """A network with a history: gradients, a frozen weight, mixed modes, hooks on modules and weights."""
    torch.manual_seed(0)
    network = Network(calls)
    network.head(torch.randn(4, 8)).sum().backward()
    network.body[0].weight.requires_grad_(False)
    network.train()
    network.body[1].eval()
    network.head.register_forward_hook(_seen)
    network.body[2].register_forward_pre_hook(_seen)
    network.head.register_full_backward_hook(_seen)
    network.head.bias.register_hook(_same)
    return network


def _seen(*_: Any) -> None: ...


def _same(gradient: Tensor) -> Tensor:
    return gradient


def blobs(shift: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three heaps of vectors of six numbers, (150, 6), and their labels."""
    draw = np.random.default_rng(seed)
    labels = np.arange(150) % 3
    inputs = draw.normal(size=(150, 6)).astype(np.float32) + shift
    inputs[np.arange(150), labels] += 2.0
    return inputs, labels


@dataclass
class Yard:
    """What verbs are called with. `run`: one that was made before; `calls`: of its network."""

    folder: Path
    run: Run
    calls: Calls = field(default_factory=Calls)
    source: Any = field(default_factory=blobs)
    target: Any = field(default_factory=lambda: blobs(0.5, 1))

    def __post_init__(self) -> None:
        self.network = lived_in(self.calls)

    @property
    def how(self) -> dict[str, Any]:
        """Settings and accounting of every verb that spends."""
        return HOW | {"ledger": str(self.folder / "ledger.db")}

    @cached_property
    def session(self) -> foretoll.Session:
        return foretoll.Session(**self.how)

    @cached_property
    def ledger(self) -> foretoll.Ledger:
        """A ledger that has the run."""
        ledger = self.session.opened_ledger
        ledger.finish(self.run)
        return ledger

    @cached_property
    def life(self) -> foretoll.Life:
        """A life, whose network is handed in."""
        how = self.how | {"worth": "5J", "policy": "every", "window": 2, "options": ("head",)}
        return foretoll.Life.start("own", self.network, self.source, folder=self.folder / "life", **how)

    def loop(self, way: str) -> None:
        """A loop of the user's own; `way`: plain, or by which verb foretoll is told of it."""
        optimizer = torch.optim.SGD([p for p in self.network.parameters() if p.requires_grad], lr=0.0)
        how: dict[str, Any] = {
            "target": self.target,
            "source": self.source,
            "until": 0.99,
            "quiet": True,
            **self.how,
        }
        inputs, labels = map(torch.as_tensor, self.target)

        def train(network: nn.Module, optimizer: torch.optim.Optimizer, run: Any) -> None:
            for batch in range(BATCHES):
                optimizer.zero_grad()
                part = slice(batch * 16, batch * 16 + 16)
                nn.functional.cross_entropy(network(inputs[part]), labels[part]).backward()
                optimizer.step()
            if run is not None:
                with run.evaluating():
                    run.evaluate(0.5, 1.0)
                run.batch(16)

        if way == "plain":
            train(self.network, optimizer, None)
        elif way == "tracked":
            foretoll.tracked(**how)(train)(self.network, optimizer)
        else:
            with foretoll.track(self.network, optimizer, **how) as run:
                train(self.network, optimizer, run)


Verb = Callable[[Yard], Any]


def _carried_out(yard: Yard) -> None:
    batches = [blobs(1.0, 2), blobs(1.0, 3)]
    for batch in batches:
        decision = yard.life.watch(batch)
    yard.life.carry_out(decision, data=batches)


def _labelled(yard: Yard) -> None:
    batch = blobs(0.2, 7)
    yard.life.look((batch[0], None))
    yard.life.label(batch)


def _ended(yard: Yard, what: str) -> None:
    ledger = foretoll.Ledger(yard.folder / "other.db")
    ledger.begin(yard.run.model_copy(update={"outcome": Outcome.RUNNING}))
    if what == "finish":
        ledger.finish(yard.run)


def _imported(yard: Yard, *, readable: bool) -> None:
    ledger, file = yard.ledger, yard.folder / "runs.jsonl"
    (ledger.export_readable if readable else ledger.export)(file)
    other = foretoll.Ledger(yard.folder / "other.db")
    (other.import_readable if readable else other.import_)(file)


def _of_ledger(name: str, *given: str) -> Verb:
    def verb(yard: Yard) -> None:
        arguments = [yard.run.id if what == "run" else what for what in given]
        found = getattr(yard.ledger, name)(*arguments)
        if name == "stream":
            list(found)

    return verb


# The verbs that call the user's network, those that do not, and those that are made within another.
CALLING: dict[str, Verb] = {
    "estimate": lambda yard: foretoll.estimate(yard.network, yard.source, yard.target, option="head", **yard.how),
    "retrain": lambda yard: foretoll.retrain(yard.network, yard.source, yard.target, **yard.how),
    "compare": lambda yard: foretoll.compare(
        yard.network, yard.source, yard.target, options=("head", "keep"), **yard.how
    ),
    "plan": lambda yard: foretoll.plan(
        yard.network, yard.source, yard.target, options=("keep", "finetune"), budget="2kWh", **yard.how
    ),
    "track": lambda yard: yard.loop("track"),
    "tracked": lambda yard: yard.loop("tracked"),
    "Session.estimate": lambda yard: yard.session.estimate(yard.network, yard.source, yard.target, option="keep"),
    "Session.retrain": lambda yard: yard.session.retrain(yard.network, yard.source, yard.target, option="head"),
    "Session.compare": lambda yard: yard.session.compare(
        yard.network, yard.source, yard.target, options=("keep",)
    ),
    "Life.start": lambda yard: yard.life,
    "Life.carry_out": _carried_out,
    "Life.label": _labelled,
    "load_model": lambda yard: foretoll.load_model(yard.network, data=foretoll.open_data(yard.source)),
}  # fmt: skip
OTHERS: dict[str, Verb] = {
    "train": lambda yard: foretoll.train("unchanged.verbs:own_network", yard.source, **yard.how),
    "Session.train": lambda yard: yard.session.train("foretoll:mlp?width=4", yard.source),
    "Session.with_": lambda yard: yard.session.with_(device="cpu").full_accounting,
    "Session.opened_ledger": lambda yard: yard.session.opened_ledger,
    "Session.full_accounting": lambda yard: yard.session.full_accounting,
    "Session.forecaster": lambda yard: yard.session.forecaster,
    "save_checkpoint": lambda yard: foretoll.save_checkpoint(
        foretoll.load_model(yard.network, data=foretoll.open_data(yard.source)), yard.folder / "saved"
    ),
    "open_data": lambda yard: foretoll.open_data(yard.target),
    "metric": lambda yard: foretoll.metric(lambda outputs, targets: 0.5, name="half"),
    "size": lambda yard: foretoll.size("foretoll:mlp?width=4", shape=(6,), hardware="A100"),
    "log_model_card": lambda yard: foretoll.log_model_card(yard.run, yard.folder / "card"),
    "write_report": lambda yard: foretoll.write_report(yard.folder / "report.html", run=yard.run),
    "Ledger.begin": lambda yard: _ended(yard, "begin"),
    "Ledger.finish": lambda yard: _ended(yard, "finish"),
    "Ledger.import_": lambda yard: _imported(yard, readable=False),
    "Ledger.import_readable": lambda yard: _imported(yard, readable=True),
    "Ledger.open": lambda yard: foretoll.Ledger.open(yard.folder / "ledger.db"),
    "Ledger.of": lambda yard: foretoll.Ledger.of(yard.folder / "ledger.db"),
    "Ledger.get": _of_ledger("get", "run"),
    "Ledger.lineage": _of_ledger("lineage", "run"),
    "Ledger.tags": _of_ledger("tags", "cell:"),
    **{
        f"Ledger.{name}": _of_ledger(name)
        for name in ("check", "doctor", "flush", "own_runs", "runs", "select", "stream", "summaries")
    },
}  # fmt: skip
_WITHIN = {
    "Life.start": "Life",
    "Life.carry_out": "Life.watch Life.look Life.decide Life.recover Life.model Life.opened Life.events Life.view "
    "Life.spent Life.append Life.toll Life.folder Life.scoring Life.serving Life.open",
    "Session.opened_ledger": "Session",
    "Ledger.open": "Ledger Ledger.where",
    "Ledger.import_": "Ledger.export",
    "Ledger.import_readable": "Ledger.export_readable",
    "track": "TrackedRun TrackedRun.batch TrackedRun.evaluate TrackedRun.evaluating TrackedRun.finish TrackedRun.start "
    "TrackedRun.live TrackedRun.hopeless TrackedRun.stop TrackedRun.steps",
}
WITHIN = {inner: outer for outer, names in _WITHIN.items() for inner in names.split()}


def public() -> set[str]:
    """Every name by which foretoll can be asked to work: of the package, and of its classes that work."""
    names = set(foretoll.__all__) - VALUES
    for kind in WORKERS:
        for name in dir(getattr(foretoll, kind)):
            own = inspect.getattr_static(getattr(foretoll, kind), name)
            if not name.startswith("_") and (inspect.isroutine(own) or hasattr(own, "__get__")):
                names.add(f"{kind}.{name}")
    return names
