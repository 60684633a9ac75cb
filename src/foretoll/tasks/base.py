"""What a task is: the form of its targets, its loss, the width of its head, its metrics, and their common scale.

A task is one file with one subclass of `Task`; a metric is a row of its `metrics`. Nothing here loads torch or numpy:
names, titles and directions are read by the command line and by stored records.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from foretoll.errors import UsageError, shown

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

Direction = Literal["higher", "lower"]


class Tally(ABC):
    """What a metric needs to know of all samples that were seen: added up batch by batch, mergeable.

    Its value does not depend, beyond rounding, on how the samples are cut into batches, or on their order.
    """

    samples: int = 0

    @abstractmethod
    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: outputs (B, width) as a model gives them, targets (B,) or (B, k)."""

    @abstractmethod
    def merge(self, other: Any) -> None:
        """Take in what another tally of the same kind has seen."""


@dataclass(frozen=True)
class Metric:
    """One measure of quality: a row of its task.

    compute: its value from the task's tally
    direction: whether higher or lower values are better
    low, high: between which its values lie
    unit: "" for a pure number, else what it is counted in ("of the target": the unit of the target itself)
    trivial: its value for a predictor that knows nothing, which is progress 0; None: that of the best constant
        prediction, measured on the target's training part
    error: standard deviation of a value that was seen on so many samples, up to what a closed form says
    whole: whether it needs the outputs of all samples at once, not sums of them
    measured: the same deviation from the samples themselves, by the task's tally; None: there is the closed form alone
    each: the score of each sample (B,), from outputs and targets as a tally gets them, whose mean is the value;
        None: the value is no such mean
    root: whether the value is the root of that mean
    """

    name: str
    title: str
    compute: Callable[[Any], float]
    direction: Direction = "higher"
    low: float = 0.0
    high: float = 1.0
    unit: str = ""
    trivial: float | None = 0.0
    error: Callable[[float, int], float] = lambda value, samples: share_error(value, samples)
    whole: bool = False
    measured: Callable[[Any], float] | None = None
    each: Callable[[Tensor, Tensor], Tensor] | None = None
    root: bool = False

    @property
    def share(self) -> bool:
        """Whether it is a share: from 0 to 1, and higher is better."""
        return (self.low, self.high, self.direction) == (0.0, 1.0, "higher")

    def of_mean(self, mean: float) -> float:
        """The value of samples whose scores have this mean."""
        return math.sqrt(max(mean, 0.0)) if self.root else mean

    def pooled(self, parts: Iterable[tuple[float, float]]) -> float | None:
        """The value over several parts, each with its own value and its number of samples; None of no sample."""
        known = [(value * value if self.root else value, n) for value, n in parts if n]
        total = sum(n for _, n in known)
        return self.of_mean(sum(mean * n for mean, n in known) / total) if total else None

    @property
    def best(self) -> float:
        """The best possible value, which is progress 1."""
        return self.high if self.direction == "higher" else self.low

    def error_of(self, tally: Tally, value: float) -> float:
        """The deviation of a value that comes from a tally: measured where that can be, else by the closed form."""
        measured = None if self.measured is None else self.measured(tally)
        usable = measured is not None and math.isfinite(measured) and tally.samples > 1
        return measured if usable and measured is not None else self.error(value, tally.samples)

    def check_until(self, until: float) -> float:
        """Return a quality target of this metric that can be asked for; UsageError otherwise."""
        if self.share and not 0 < until <= 1:
            raise UsageError(
                f"--until {until:g} is no quality: it lies above 0 and at most at 1 (90 % is --until 0.9)"
            )
        if not math.isfinite(until) or not self.low <= until <= self.high:
            ends = f"from {self.low:g}" + (f" to {self.high:g}" if math.isfinite(self.high) else " upwards")
            raise UsageError(
                f"--until {until:g} is no {self.title}: it lies {ends.replace('-inf', 'below 0')}"
            )
        return until


def share_error(value: float, samples: int) -> float:
    """Standard deviation of a share of successes (binomial)."""
    return math.sqrt(max(value * (1 - value), 0.0) / max(samples, 1))


@dataclass(frozen=True)
class TargetScale:
    """How the numbers of a target lie, in its own unit: what losses and groups of a task need to know.

    mean, std: per target, over the training part; std is 1 where it would be 0
    edges: per target, the inner edges of its quantile bins
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    edges: tuple[tuple[float, ...], ...] = ()


class Task(ABC):
    """A kind of problem. Its laws are checked for every registered task (`foretoll.testing.check_task`).

    The loss of a perfect prediction is the least; a metric's value does not depend on batches; progress is 0 for the
    trivial predictor and 1 for the best, and follows the metric's direction.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]  # the first is the default
    new_head_gives: ClassVar[Literal["logits", "standardised"]] = (
        "logits"  # what a head with fresh weights learns to
    )
    recognise_ends: ClassVar[bool] = (
        True  # whether outputs that look like probabilities are turned into logits
    )
    to_check: ClassVar[str] = (
        "the order of the labels, the preprocessing"  # of a model that is no better than guessing
    )
    groups_are: ClassVar[str] = (
        ""  # what stands in for classes where an index needs them; "" where nothing does
    )
    has_probabilities: ClassVar[
        bool
    ]  # whether a softmax of the outputs is what the model believes of the classes
    places: ClassVar[int] = 0  # axes that targets have after that of the samples: 1 for tokens, 2 for pixels
    names_are_numbers: ClassVar[bool] = False  # whether outputs are ids of the model's own vocabulary

    by_sample: ClassVar[str] = ""  # the metric by which single samples are compared; "": the first that can

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)

    def sample_metric(self, name: str) -> Metric | None:
        """The metric by which single samples are compared where `name` is asked for; None where there is none.

        The one of that name, where it is a mean over samples. Of another share, and where the task has none of that
        name, the task's own.
        """
        asked = self.metric(name)
        if asked is not None and asked.each is not None:
            return asked
        can = [metric for metric in self.metrics if metric.each is not None]
        own = next((metric for metric in can if self.by_sample in ("", metric.name)), None)
        if self.places or own is None or (asked is not None and not (asked.share and own.share)):
            return None
        return own

    # --- targets ---------------------------------------------------------------------------------

    @abstractmethod
    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Whether targets of this form are taken for this task where nobody says which it is."""

    @abstractmethod
    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Targets as they are stored, and the names of the outputs; DataError where they are of another form."""

    @abstractmethod
    def said(self, names: Sequence[str]) -> str:
        """The targets in the line that tells how data were read, such as "10 classes"."""

    def scale(self, targets: Tensor) -> TargetScale | None:
        """What losses and groups need to know of the training targets; None where that is nothing."""
        return None

    def width(self, names: Sequence[str]) -> int:
        """Outputs of the head."""
        return len(names)

    def known(self, targets: Tensor) -> Tensor:
        """Which samples (n,) have a target at all: numbers from 0, or finite ones."""
        import torch

        there = torch.isfinite(targets) if targets.is_floating_point() else targets >= 0
        return there.reshape(len(targets), -1).all(dim=1)

    def in_groups(self, targets: Tensor) -> bool:
        """Whether known targets lie by kind, as folders do, which is no order of time: each kind in one row."""
        import torch

        rows = targets.reshape(len(targets), -1)
        kinds = len(torch.unique(rows, dim=0))
        return kinds > 1 and int((rows[1:] != rows[:-1]).any(dim=1).sum()) == kinds - 1

    # --- learning --------------------------------------------------------------------------------

    @abstractmethod
    def losses(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The loss of each sample (B,), from a model's outputs (B, width)."""

    def loss(self, outputs: Tensor, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The mean loss of a batch, which is trained on."""
        return self.losses(outputs, targets, scale).mean()

    imitates: ClassVar[bool] = (
        False  # whether `imitation` says what it costs not to give another model's outputs
    )

    def imitation(
        self, outputs: Tensor, teacher: Tensor, temperature: float, scale: TargetScale | None = None
    ) -> Tensor:
        """The loss of each sample (B,) of outputs that are to be the `teacher`'s (both (B, width)), for distillation.

        Where outputs are logits, both are divided by `temperature` and the loss is times its square.
        """
        raise NotImplementedError(self.name)

    def mass(self, targets: Tensor) -> Tensor:
        """What each sample (B,) counts in the mean loss."""
        import torch

        return torch.ones(len(targets), dtype=torch.float64, device=targets.device)

    # --- targets with places -----------------------------------------------------------------------

    def arranged(self, outputs: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """What a network gives as the task takes it: (B, width), or (B, width, *places) of places of this size."""
        return outputs

    def everywhere(self, constant: Tensor, targets: Tensor) -> Tensor:
        """Outputs (width,) that are the same for all of these targets."""
        return constant.expand(len(targets), -1)

    def rows(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (m, width) and targets of whatever is predicted by itself: a sample, or a place that counts."""
        return outputs, targets

    # --- quality ---------------------------------------------------------------------------------

    @abstractmethod
    def tally(self, width: int, *, device: Any = "cpu") -> Tally:
        """An empty tally for outputs of this width."""

    @abstractmethod
    def constant(self, targets: Tensor, width: int) -> Tensor:
        """The outputs (width,) of the best prediction that does not look at a sample, for these targets."""

    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """What guessing reaches on these targets: the metric of the best constant prediction."""
        outputs = self.constant(targets, width or targets.shape[-1])
        tally = Whole() if metric.whole else self.tally(len(outputs))
        tally.update(self.everywhere(outputs, targets), targets)
        return metric.compute(tally)

    def chance_error(self, targets: Tensor, metric: Metric, samples: int) -> float:
        """The deviation of what guessing reaches on so many samples like these."""
        return metric.error(self.chance(targets, metric), samples)

    # --- indices ---------------------------------------------------------------------------------

    def groups(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Group numbers int64 (n,) that stand in for classes; −1 where a sample is in none, as all are by default."""
        import torch

        return torch.full((len(targets),), -1, dtype=torch.int64, device=targets.device)

    def predicted_groups(self, outputs: Tensor, scale: TargetScale | None = None) -> Tensor:
        """The groups (n,) that a model's outputs say; by default none."""
        return self.groups(outputs)

    def group_names(self, names: Sequence[str], scale: TargetScale | None = None) -> tuple[str, ...]:
        """The groups in words, by their numbers; empty where there are none."""
        return ()

    @abstractmethod
    def design(self, targets: Tensor, scale: TargetScale | None = None) -> Tensor:
        """What a ridge regression on representations fits, float64 (n, k)."""

    @abstractmethod
    def outputs(self, fitted: Tensor, scale: TargetScale | None = None) -> Tensor:
        """Fitted values (n, k) of such a regression as the outputs of a model."""


class Whole(Tally):
    """All outputs and targets, in memory: for metrics that no sums can give."""

    def __init__(self) -> None:
        self.samples = 0
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Keep a batch, in the CPU's memory."""
        self.samples += len(targets)
        self._outputs.append(outputs.detach().float().cpu())
        self._targets.append(targets.detach().cpu())

    def merge(self, other: Whole) -> None:
        """Take in another one's samples."""
        self.samples += other.samples
        self._outputs += other._outputs
        self._targets += other._targets

    def both(self) -> tuple[Tensor, Tensor]:
        """Outputs and targets of all samples, in the order in which they came."""
        import torch

        return torch.cat(self._outputs), torch.cat(self._targets)


def named(function: Callable[..., Any]) -> str:
    """The name of a user's function as an identifier; UsageError where it has none."""
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise UsageError(
            f"the metric {shown(name or function)} has no name: define it with def, or give name="
        )
    return name
