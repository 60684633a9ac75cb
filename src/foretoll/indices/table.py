"""All indices and scores in one table: what each is called, sees and needs, and where it comes from.

Loads nothing heavy: the command line and the report read it too. docs/indices.md has a section on each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from foretoll.registry import Registry, instance_of

RESQUE = "RESQUE, arXiv 2412.15511 (AAAI 2025)"
PREINDEX = "PreIndex, arXiv 2408.01446 (AIES 2024)"
OWN = "foretoll"

NEEDS = (
    "source",
    "source labels",
    "pairs",
    "batch norm",
    "gradients",
    "training",
    "quality target",
    "earlier runs",
)
"""What an index may need beside the target's samples and labels."""


@dataclass(frozen=True)
class IndexEntry:
    """One index. `needs` names what it cannot do without, beside the target's samples.

    labels: the target's labels. stand_in: what a survey takes in their place where there are none.
    function: its pure function in `foretoll.indices.functional`; "" where it needs the model itself.
    identical: its value where source and target (or the two of each pair) are the same; None: there is no such.
    compute: of an index that plugs in: two `foretoll.indices.scores.SideSample`, source and target, to a number.
    made_by: `survey` (every estimate), `linearised` (a survey that is asked for it), `function` (only by hand).
    """

    name: str
    title: str
    sees: str
    source: str
    shift: Literal["both", "distribution", "task"] = "both"
    labels: bool = False
    stand_in: str = ""
    needs: tuple[str, ...] = ()
    function: str = ""
    identical: float | None = None
    made_by: Literal["survey", "linearised", "function"] = "survey"
    compute: Callable[[Any, Any], float] | None = None

    def as_row(self) -> dict[str, str]:
        """The entry as text, for lists."""
        labels = f"target labels (else {self.stand_in})" if self.stand_in else "target labels"
        needs = [*([labels] if self.labels else []), *self.needs]
        return {
            "name": self.name,
            "shift": self.shift,
            "needs": ", ".join(needs) or "nothing more",
            "sees": self.sees,
            "source": self.source,
        }


_ENTRIES = (
    IndexEntry(
        "recoverability_gap",
        "recoverability gap",
        "how far a linear probe on the old representation stays below the target",
        OWN,
        labels=True,
        needs=("quality target",),
        function="recoverability_gap",
    ),
    IndexEntry(
        "resque",
        "RESQUE",
        "the angle by which the classes' mean directions turned",
        RESQUE,
        shift="distribution",
        labels=True,
        stand_in="clusters",
        needs=("source", "source labels"),
        function="resque_distribution",
        identical=0.0,
    ),
    IndexEntry(
        "resque_predicted",
        "RESQUE by predicted classes",
        "the same angle, the target grouped by the class that the model gives it",
        OWN,
        shift="distribution",
        needs=("source", "source labels"),
        function="resque_predicted",
    ),
    IndexEntry(
        "resque_transport",
        "RESQUE by transport",
        "the same angle, the target clustered and the clusters matched with the source's classes",
        OWN,
        shift="distribution",
        needs=("source", "source labels"),
        function="resque_transport",
    ),
    IndexEntry(
        "inv_ari",
        "RESQUE, task form (1 − ARI)",
        "how badly clusters of the old representation match the classes",
        RESQUE,
        labels=True,
        function="resque_task",
    ),
    IndexEntry(
        "preindex",
        "PreIndex, distance p",
        "how the histogram of each sample's channel activations moved",
        PREINDEX,
        shift="distribution",
        needs=("pairs",),
        function="preindex_distance",
        identical=0.0,
    ),
    IndexEntry(
        "arm",
        "ARM",
        "how far each layer's activation distribution moved",
        "ARM, arXiv 2405.09600",
        needs=("source",),
        function="arm",
        identical=0.0,
    ),
    IndexEntry(
        "probe_accuracy",
        "linear probe",
        "what a linear probe on the frozen representation reaches",
        "Alain and Bengio, arXiv 1610.01644",
        labels=True,
        function="linear_probe_accuracy",
    ),
    IndexEntry(
        "renormalised_probe_accuracy",
        "linear probe, re-estimated statistics",
        "the same after batch-norm statistics were estimated again on the target",
        OWN,
        labels=True,
        needs=("batch norm",),
    ),
    IndexEntry(
        "initial_quality",
        "initial quality",
        "the quality on the target before any change",
        "baseline",
        shift="distribution",
        labels=True,
    ),
    IndexEntry(
        "renormalised_quality",
        "quality, re-estimated statistics",
        "the quality after batch-norm statistics were estimated again on the target",
        "Li et al., arXiv 1603.04779",
        shift="distribution",
        labels=True,
        needs=("batch norm",),
    ),
    IndexEntry(
        "initial_loss",
        "initial loss",
        "the mean cross-entropy before any change",
        "baseline",
        shift="distribution",
        labels=True,
    ),
    IndexEntry(
        "initial_gradient_norm",
        "initial gradient norm",
        "the first mini-batch gradients, no step taken",
        "baseline",
        labels=True,
        needs=("gradients",),
    ),
    IndexEntry(
        "logme",
        "LogME",
        "how well a Bayesian linear model explains the labels",
        "arXiv 2102.11005",
        labels=True,
        function="logme",
    ),
    IndexEntry(
        "h_score",
        "H-score, shrunk",
        "between-class variance of the representation, whitened",
        "arXiv 2110.06893",
        labels=True,
        function="h_score",
    ),
    IndexEntry(
        "gbc",
        "GBC",
        "the overlap of the classes in the representation",
        "arXiv 2111.12780",
        labels=True,
        function="gbc",
    ),
    IndexEntry(
        "leep",
        "LEEP",
        "how well the old outputs predict the new classes",
        "arXiv 2002.12462",
        labels=True,
        function="leep",
    ),
    IndexEntry(
        "nce",
        "NCE",
        "what the old predictions leave open about the new classes",
        "arXiv 1908.08142",
        labels=True,
        function="nce",
    ),
    IndexEntry(
        "frechet",
        "Fréchet distance",
        "the squared distance of means and covariances of the representation",
        "Dowson and Landau 1982",
        needs=("source",),
        function="frechet",
        identical=0.0,
    ),
    IndexEntry(
        "mmd",
        "MMD, unbiased",
        "any difference between the distributions of representations",
        "Gretton et al., JMLR 13 (2012)",
        needs=("source",),
        function="mmd",
    ),
    IndexEntry(
        "sliced_wasserstein",
        "sliced Wasserstein",
        "differences of the distributions along random directions",
        "Bonneel et al. 2015",
        needs=("source",),
        function="sliced_wasserstein",
        identical=0.0,
    ),
    IndexEntry(
        "doc",
        "DoC",
        "the accuracy that the loss of confidence between source and target promises",
        "arXiv 2107.03315",
        shift="distribution",
        needs=("source", "source labels"),
        function="doc",
    ),
    IndexEntry(
        "atc",
        "ATC",
        "the accuracy that the share of confident outputs promises",
        "arXiv 2201.04234",
        shift="distribution",
        needs=("source", "source labels"),
        function="atc",
    ),
    IndexEntry(
        "initial_confidence",
        "mean confidence",
        "the mean of the largest softmax output on the target",
        "baseline",
        shift="distribution",
    ),
    IndexEntry(
        "knn_accuracy",
        "nearest-neighbour accuracy",
        "whether neighbours in the representation share their class",
        "Cover and Hart 1967",
        labels=True,
        function="knn_accuracy",
    ),
    IndexEntry(
        "effective_rank",
        "effective rank",
        "how many directions the representation uses",
        "Roy and Vetterli 2007",
        function="effective_rank",
    ),
    IndexEntry(
        "cka",
        "linear CKA",
        "how alike two representations of the same samples are",
        "arXiv 1905.00414",
        shift="distribution",
        needs=("pairs",),
        function="linear_cka",
        identical=1.0,
    ),
    IndexEntry(
        "calibration_error",
        "expected calibration error",
        "how far confidence and accuracy are apart on the target",
        "Naeini et al. 2015",
        shift="distribution",
        labels=True,
        function="expected_calibration_error",
    ),
    IndexEntry(
        "ntk_steps",
        "NTK-linearised steps",
        "steps of gradient descent on the linearised network",
        "Zancato et al., arXiv 2010.14922",
        labels=True,
        needs=("gradients", "quality target"),
        made_by="linearised",
    ),
    IndexEntry(
        "pilot_epochs",
        "pilot epochs",
        "a short training, extrapolated; its own energy is charged to it",
        "baseline",
        labels=True,
        needs=("training", "quality target"),
        function="pilot_forecast",
        made_by="function",
    ),
    IndexEntry(
        "mean_log_cost",
        "mean log cost",
        "what earlier runs of the same architecture cost; neither data nor activations",
        "baseline, arXiv 2510.06448",
        needs=("earlier runs",),
        function="mean_log_cost",
        made_by="function",
    ),
    IndexEntry(
        "parameters_times_samples",
        "parameters × samples",
        "the sizes of the model and of the data alone",
        "baseline, arXiv 2510.06448",
        function="parameters_times_samples",
        made_by="function",
    ),
)

INDICES: Registry[IndexEntry] = Registry(
    "index", "foretoll.indices", {entry.name: entry for entry in _ENTRIES}, made=instance_of(IndexEntry)
)

COMPANIONS: dict[str, str] = {
    "source_quality": "quality on the source's sample",
    "source_loss": "mean cross-entropy on the source's sample",
    "source_confidence": "mean confidence on the source's sample",
    "renormalised_loss": "mean cross-entropy after batch-norm statistics were estimated again on the target",
    "initial_gradient_norm_std": "standard deviation of the first mini-batches' gradient norms",
    "ntk_gradient_norm": "mean gradient norm of the linearised training",
    "ntk_parameter_change": "parameter change of the linearised training",
    "ntk_trace": "trace of the tangent kernel on the sample",
}
"""Signals that a survey gives beside the indices, and what they are."""
