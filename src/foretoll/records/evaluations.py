"""Which steps of a training an evaluation follows. Whoever needs to know it, before a run or in it, asks here."""

from __future__ import annotations

import math
from dataclasses import dataclass

LARGE = 1_000  # steps from one evaluation to the next: from here on a run is evaluated before the first of them too
BACKWARD = 3  # passes without gradients that a training pass over the same samples takes the time of
SHORTEST = 24  # steps that forecasts tell apart: those of a pilot


@dataclass(frozen=True)
class EvaluationSchedule:
    """`per_epoch` evaluations an epoch, and before them those after `first`, 2·`first`, 4·`first`, … steps.

    first: 0: none before those of an epoch. What every run has beside them is no part of it: the evaluations
    before its first step and after its last one. Steps are those of the whole run, from 1.
    """

    steps_per_epoch: int
    per_epoch: int
    first: int = 0

    @classmethod
    def first_of(cls, steps_per_epoch: int, per_epoch: int, samples: int, validation: int) -> int:
        """The step after which a run is first evaluated where nobody says it; 0 where evaluations are near anyway.

        The first power of two whose training, of `samples` a step, takes as long as an evaluation on `validation`
        samples. So all that are early together never take more than the training before them: k of them end at
        2^(k − 1) · `first` steps, which are as many evaluations.
        """
        if steps_per_epoch < LARGE * per_epoch:
            return 0
        return 1 << max(math.ceil(validation / (BACKWARD * samples)) - 1, 0).bit_length()

    @property
    def is_early(self) -> bool:
        """Whether there is an evaluation before those of the epochs."""
        return 0 < self.first < self._regular

    @property
    def counted(self) -> int:
        """Steps of the epoch in which forecasts count a run, where they count in epochs.

        What they learn from was seen four times an epoch, and anything within half of that is one to them. Of a run
        that is evaluated early this is an epoch as short as its first evaluation asks for.
        """
        if not self.is_early:
            return self.steps_per_epoch
        return min(4 * max(self.first, SHORTEST), self.steps_per_epoch)

    @property
    def stretch(self) -> float:
        """How many of these epochs there are in one."""
        return self.steps_per_epoch / self.counted

    def due(self, step: int) -> bool:
        """Whether an evaluation follows the step."""
        return self.made(step) > self.made(step - 1)

    def made(self, step: int) -> int:
        """Evaluations up to the one after the step; of several after one step there are as many as were asked for."""
        epoch, position = divmod(step, self.steps_per_epoch)
        regular = epoch * self.per_epoch + position * self.per_epoch // self.steps_per_epoch
        return regular + self._early(step + 1)

    def after(self, step: int) -> int:
        """The next step, after this one, that an evaluation follows."""
        epoch, more = step // self.steps_per_epoch, self.first
        number = self.made(step) - self._early(step + 1) - epoch * self.per_epoch + 1
        regular = epoch * self.steps_per_epoch - (-number * self.steps_per_epoch // self.per_epoch)
        while 0 < more <= step:
            more *= 2
        return more if step < more < self._regular else regular

    def at_or_after(self, steps: float) -> int:
        """The first step, from this one on, that an evaluation follows; what rounding added to it does not count."""
        return self.after(max(math.ceil(steps * (1 - 1e-9)), 1) - 1)

    def needed(self, epochs: float) -> int:
        """Evaluations after a step of a run that ends, with one, after so many epochs."""
        steps = math.ceil(epochs * self.steps_per_epoch - 1e-9)
        return math.ceil(epochs * self.per_epoch - 1e-9) + self._early(steps)

    @property
    def _regular(self) -> int:
        """The step of the first evaluation of an epoch."""
        return -(-self.steps_per_epoch // self.per_epoch)

    def _early(self, step: int) -> int:
        """Early evaluations before the step."""
        steps = min(step, self._regular)
        return ((steps - 1) // self.first).bit_length() if 0 < self.first < steps else 0
