"""Training a program in front of a source that gives outputs but no gradients; every query is counted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foretoll.errors import DataError, UsageError, unknown_name
from foretoll.reprogram.wrapper import ReprogrammedNetwork


@dataclass(frozen=True)
class BlackBoxResult:
    """What a black-box training took.

    queries: samples that were sent to the source, those that fitted the mapping included
    steps: updates of the program
    losses: mean cross-entropy (nats) of each step, at the points that it looked at
    gradient_norms: L2 norm of each step's gradient estimate
    """

    queries: int
    steps: int
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)


@dataclass
class _Problem:
    """The mean cross-entropy of one batch as a function of the program's weights, which are set to what is asked."""

    model: ReprogrammedNetwork
    parameters: list[nn.Parameter]
    inputs: Any = None
    labels: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    logits: Tensor | None = None  # the source's, of the last look

    def at(self, point: Tensor) -> float:
        _write(self.parameters, point)
        self.logits = self.model.source_logits(self.inputs).detach()
        return float(F.cross_entropy(self.model.mapping(self.logits).float(), self.labels))


@dataclass
class _SpsaGC:
    """SPSA with gradient correction (Oh et al., BlackVIP, arXiv 2303.14773): a look ahead along the momentum.

    ĝ(φ) = mean over `directions` of [L(φ + c·Δ) − L(φ − c·Δ)] / (2c) · Δ⁻¹, taken at φ + β·m;
    m ← β·m − a·ĝ; φ ← φ + m, with a = lr / i^0.4 and c = width / i^0.1 at step i. |Δ| is uniform in [0.5, 1].
    """

    lr: float
    directions: int
    width: float
    momentum: float
    speed: Tensor | None = None
    looks_per_direction: ClassVar[int] = 2
    looks_beside: ClassVar[int] = 0
    usual_lr: ClassVar[float] = 0.05

    def step(
        self, loss: Callable[[Tensor], float], point: Tensor, i: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor, float]:
        speed = torch.zeros_like(point) if self.speed is None else self.speed
        ahead, c = point + self.momentum * speed, self.width / i**0.1
        grad, losses = torch.zeros_like(point), []
        for _ in range(self.directions):
            size = 0.5 + 0.5 * torch.rand(point.shape, generator=random)
            sign = torch.randint(0, 2, point.shape, generator=random) * 2 - 1
            delta = (size * sign).to(point)
            above, below = loss(ahead + c * delta), loss(ahead - c * delta)
            losses += [above, below]
            grad += (above - below) / (2 * c) / delta / self.directions
        self.speed = self.momentum * speed - self.lr / i**0.4 * grad
        return point + self.speed, grad, sum(losses) / len(losses)


@dataclass
class _GradientFree:
    """Averaged one-sided differences along q random directions (Tsai et al., BAR, arXiv 2007.08714).

    ĝ(φ) = (d/q) Σ_j [L(φ + β·u_j) − L(φ)] / β · u_j, u_j uniform on the unit sphere, d the number of parameters,
    q = `directions`, β = `width`; then φ moves by momentum: m ← µ·m − lr·ĝ.
    """

    lr: float
    directions: int
    width: float
    momentum: float
    speed: Tensor | None = None
    looks_per_direction: ClassVar[int] = 1
    looks_beside: ClassVar[int] = 1
    usual_lr: ClassVar[float] = 0.02

    def step(
        self, loss: Callable[[Tensor], float], point: Tensor, i: int, random: torch.Generator
    ) -> tuple[Tensor, Tensor, float]:
        del i
        grad = torch.zeros_like(point)
        here = loss(point)
        for _ in range(self.directions):
            u = torch.randn(point.shape, generator=random).to(point)
            u /= u.norm()
            grad += (loss(point + self.width * u) - here) / self.width * u
        grad *= len(point) / self.directions
        self.speed = (0 if self.speed is None else self.momentum * self.speed) - self.lr * grad
        return point + self.speed, grad, here


BLACK_BOX_OPTIMISERS: dict[str, type[_SpsaGC] | type[_GradientFree]] = {
    "spsa_gc": _SpsaGC,
    "gradient_free": _GradientFree,
}


class BlackBoxSteps:
    """Steps of a program by its source's outputs alone, from where its weights are; the mapping learns beside it.

    Arguments as in `fit_black_box`. Raises UsageError for an unknown optimiser, or numbers outside of their range.
    """

    def __init__(
        self,
        reprogrammed: ReprogrammedNetwork,
        optimiser: str = "spsa_gc",
        *,
        lr: float | None = None,
        directions: int = 5,
        width: float = 0.05,
        momentum: float = 0.9,
        seed: int = 0,
    ) -> None:
        if optimiser not in BLACK_BOX_OPTIMISERS:
            raise UsageError(unknown_name("black-box optimiser", optimiser, BLACK_BOX_OPTIMISERS))
        if directions < 1 or width <= 0 or not 0 <= momentum < 1:
            raise UsageError("directions must be at least 1, width positive, and momentum in [0, 1)")
        kind = BLACK_BOX_OPTIMISERS[optimiser]
        self._method = kind(kind.usual_lr if lr is None else lr, directions, width, momentum)
        self.looks = directions * kind.looks_per_direction + kind.looks_beside
        """How often a step asks the source for each sample of its batch."""
        self._network, self._random = reprogrammed, torch.Generator().manual_seed(seed)
        self._problem = _Problem(reprogrammed, list(reprogrammed.program.parameters()))
        own = list(reprogrammed.mapping.parameters())
        self._trainer = torch.optim.Adam(own, lr=0.01) if own else None
        self._point = torch.cat([p.detach().flatten() for p in self._problem.parameters])
        self._taken = 0

    @torch.no_grad()
    def take(self, inputs: Any, labels: Tensor, *, lr: float | None = None) -> tuple[float, float]:
        """One step on a batch; mean loss (nats) of the points that it looked at, and norm of the gradient estimate.

        `lr`: of this step and the next ones.
        """
        problem, mapping = self._problem, self._network.mapping
        if lr is not None:
            self._method.lr = lr
        problem.inputs, problem.labels = self._network._here(inputs), labels.to(self._point.device)
        self._taken += 1
        try:
            self._point, grad, loss = self._method.step(problem.at, self._point, self._taken, self._random)
        finally:
            _write(problem.parameters, self._point)
        seen = problem.logits
        if seen is not None and mapping.observes and mapping.each_epoch:
            mapping.observe(seen, problem.labels)
        if seen is not None and self._trainer is not None:
            _step_of_mapping(self._network, self._trainer, seen, problem.labels)
        return loss, float(grad.norm())


@torch.no_grad()
def fit_black_box(
    reprogrammed: ReprogrammedNetwork,
    batches: Iterable[tuple[Any, Tensor]],
    *,
    optimiser: str = "spsa_gc",
    steps: int | None = None,
    queries: int | None = None,
    lr: float | None = None,
    directions: int = 5,
    width: float = 0.05,
    momentum: float = 0.9,
    seed: int = 0,
) -> BlackBoxResult:
    """Train the program, in place, by the source's outputs alone: `source` may be any callable without gradients.

    `batches` of (inputs, labels) is gone through again and again (give a list or a DataLoader), until `steps` steps
    are taken or the next one would need more than `queries` samples in all. A mapping that is fitted is so with one
    counted pass first, and, where it is fitted each epoch, again to the epoch's own queries. A linear mapping is
    trained by its own exact gradient, for which the source need not be asked. Everything runs in evaluation mode:
    no augmentation, no dropout, or two looks at one batch could not be compared. Random directions from `seed` alone.
    `lr` None: 0.05 for spsa_gc, 0.02 for gradient_free.

    Raises UsageError for an unknown optimiser, or where neither steps nor queries bound the training, and DataError
    where the batches are empty.
    """
    stepper = BlackBoxSteps(
        reprogrammed,
        optimiser,
        lr=lr,
        directions=directions,
        width=width,
        momentum=momentum,
        seed=seed,
    )
    if steps is None and queries is None:
        raise UsageError("a black-box training needs a bound: give steps=, or queries= (samples sent)")
    began, mapping = reprogrammed.queries, reprogrammed.mapping
    losses, norms = list[float](), list[float]()
    budget, most = math.inf if queries is None else queries, math.inf if steps is None else steps
    training = reprogrammed.training
    reprogrammed.eval()
    try:
        if mapping.observes and (math.isinf(budget) or budget >= sum(len(labels) for _, labels in batches)):
            reprogrammed.fit_mapping(batches)
        for inputs, labels, last in _endless(batches):
            spent = reprogrammed.queries - began
            if len(losses) >= most or spent + stepper.looks * len(labels) > budget:
                break
            loss, norm = stepper.take(inputs, labels)
            losses.append(loss)
            norms.append(norm)
            if last and mapping.observes and mapping.each_epoch:
                mapping.update()
    finally:
        mapping.forget()
        reprogrammed.train(training)
    return BlackBoxResult(reprogrammed.queries - began, len(losses), losses, norms)


def _endless(batches: Iterable[tuple[Any, Tensor]]) -> Iterator[tuple[Any, Tensor, bool]]:
    """Batches without end, each with whether it is the last of its epoch."""
    while True:
        waiting: tuple[Any, Tensor] | None = None
        for inputs, labels in batches:
            if waiting is not None:
                yield *waiting, False
            waiting = (inputs, labels)
        if waiting is None:
            raise DataError(
                "there are no batches (left) to train on: give a list or a DataLoader that has some"
            )
        yield *waiting, True


def _step_of_mapping(
    model: ReprogrammedNetwork, trainer: torch.optim.Optimizer, logits: Tensor, labels: Tensor
) -> None:
    with torch.enable_grad():
        trainer.zero_grad()
        F.cross_entropy(model.mapping(logits).float(), labels).backward()  # type: ignore[no-untyped-call]
    trainer.step()


def _write(parameters: list[nn.Parameter], point: Tensor) -> None:
    offset = 0
    for parameter in parameters:
        parameter.copy_(point[offset : offset + parameter.numel()].view_as(parameter))
        offset += parameter.numel()
