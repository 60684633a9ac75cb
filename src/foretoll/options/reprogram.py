"""Options `reprogram` and `reprogram+head`: a trained input program before the source, and a mapping behind it.

The source is frozen for real (`ReprogrammedNetwork`): no gradient reaches its weights, its batch-norm statistics stay.
`reprogram` trains the program, and fits the mapping before the first step and at the end of each epoch to what the
source said of that epoch's own batches. `reprogram+head` trains the source's head beside the program.

A target of the same task starts from the identity as mapping, since the source's outputs already are the target's
(measured: docs/reprogramming.md). A model that is reprogrammed already is not wrapped twice: its program goes on being
trained from where it is, before the same source, with its mapping where the task is the same and a new one where not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from foretoll.errors import UsageError, unknown_name
from foretoll.options.base import OPTIMISER, Option, Training

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from foretoll.data import TaskData
    from foretoll.models import Model
    from foretoll.records import TrainingSettings

# by name alone, so that a wrong one is refused without torch; a test holds them against foretoll.reprogram
PROGRAMS = ("pad", "full", "low_rank", "sample_mask", "trainable_resize", "series", "additive", "token_map")
MAPPINGS = ("identity", "random", "frequent", "iterative", "bayesian", "bayesian_topk", "linear")
GRADIENT = "gradient"
OPTIMISERS = {GRADIENT: 10.0, "spsa_gc": 50.0, "gradient_free": 20.0}
"""Each with the factor of its learning rate over the default for all weights.

By gradient: SMM (arXiv 2406.03150) trains programs by Adam at 0.01. The others: what `fit_black_box` takes.
"""


class Reprogram(Option):
    """Train an input program before the frozen model, with an output mapping that is fitted to the target.

    `program` and `mapping` name other ones than the defaults (see `input_program`); `optimiser` how the program is
    trained: by the gradient through the source, or by the source's outputs alone ("spsa_gc", "gradient_free": see
    `foretoll.reprogram.fit_black_box`), as of a service that gives no more.

    Raises UsageError for a name that is none of them.
    """

    name = "reprogram"
    summary = "train an input program before the frozen model, and map its outputs"
    title = "reprogram the input"
    phrase = "Reprogramming {model}"
    changes_weights = False
    serves_tasks = frozenset({"classification"})
    serves_why = (
        "maps classes of the source to classes of the target, and here are no such classes on both sides"
    )
    lr_factor = OPTIMISERS[GRADIENT]
    with_head: ClassVar[bool] = False
    flags: ClassVar[Mapping[str, str]] = {
        "program": f"reprogram: the input program: {', '.join(PROGRAMS)}",
        "mapping": f"reprogram: the output mapping: {', '.join(MAPPINGS)}",
        "optimiser": f"reprogram: how the program is trained: {', '.join(OPTIMISERS)} (by outputs alone)",
    }

    def __init__(
        self, program: str | None = None, mapping: str | None = None, optimiser: str = GRADIENT
    ) -> None:
        for kind, name, known in (
            ("program", program, PROGRAMS),
            ("mapping", mapping, MAPPINGS),
            ("optimiser", optimiser, OPTIMISERS),
        ):
            if name is not None and name not in known:
                raise UsageError(f"{self.name}: {unknown_name(kind, name, known)}")
        self.program, self.mapping, self.optimiser = program, mapping, optimiser
        self.lr_factor = OPTIMISERS[optimiser]

    def _prepare(self, model: Model, target: TaskData, *, task_shift: bool, seed: int) -> Model:
        from foretoll.options.input_program import reprogrammed

        return reprogrammed(
            model,
            target,
            program=self.program,
            mapping=self.mapping,
            with_head=self.with_head,
            task_shift=task_shift,
            seed=seed,
        )

    def settings_for(self, model: Model, target: TaskData, *, task_shift: bool) -> dict[str, str]:
        """Program and mapping, those that the model has or that follow from the data where none is named."""
        from foretoll.options.input_program import chosen_mapping, chosen_program

        how = {} if self.optimiser == GRADIENT else {OPTIMISER: self.optimiser}
        return {
            "program": chosen_program(model, target, self.program),
            "mapping": chosen_mapping(
                model, target, self.mapping, with_head=self.with_head, task_shift=task_shift
            ),
            **how,
        }

    def trainable(self, model: Model) -> dict[str, nn.Parameter]:
        """The program's parameters, and those of a linear mapping or a trained head."""
        from foretoll.models.reprogrammed import reprogrammed_network

        return reprogrammed_network(model).trainable()

    def _training(self, prepared: Model, target: TaskData, settings: TrainingSettings) -> Training:
        from foretoll.options.input_program import BlackBoxTraining, ReprogramTraining

        parts = (prepared, target.train, target.validation, self.trainable(prepared))
        if self.optimiser == GRADIENT:
            return ReprogramTraining(*parts)
        return BlackBoxTraining(*parts, optimiser=self.optimiser, seed=settings.seed)

    def _frozen(self, model: Model, *, task_shift: bool) -> str | None:
        return None  # the program is new

    def suits(self, model: Model, target: TaskData, *, task_shift: bool) -> str | None:
        """Not for texts: a text model's tokens are its own already, and no program for them would be sparse.

        Nor for speech models, whose own preparation of the wave would come after the program.
        """
        why = super().suits(model, target, task_shift=task_shift)
        if why is None and target.kind == "text":
            why = (
                f"{self.name} has no input program for texts in the model's own tokens; use lora or head (for "
                "sequences of other tokens there is foretoll.reprogram.TokenMap in Python)"
            )
        plan = model.card.preprocessing
        if why is None and plan.parts:
            names = ", ".join(part.name for part in plan.parts)
            why = f"{self.name} changes one input, and the model takes several ({names}); use lora, head or finetune"
        if why is None and (plan.waveform or plan.spectrogram):
            why = f"{self.name} has no input program for sound that a speech model prepares itself; use lora or head"
        if why is None and model.card.output is not None:
            why = f"{self.name} needs a network with one output, and this one gives several; use lora, head or finetune"
        if why is None and model.card.outputs != "logits":
            why = f"{self.name} maps logits, and {model.card.arch} gives {model.card.outputs}; use head or finetune"
        return why


class ReprogramAndHead(Reprogram):
    """Train an input program and the model's head together; the rest stays frozen."""

    name = "reprogram+head"
    summary = "train an input program and the head, the rest frozen"
    title = "reprogram the input and retrain the head"
    phrase = "Reprogramming {model} with a retrained head"
    changes_weights = True
    with_head: ClassVar[bool] = True
    flags: ClassVar[Mapping[str, str]] = {
        name: text for name, text in Reprogram.flags.items() if name != "optimiser"
    }

    def __init__(self, program: str | None = None, mapping: str | None = None) -> None:
        super().__init__(program, mapping)  # a head is trained by its gradient
