"""Next-token language modelling: which token of a vocabulary comes next, at each place of a text. Cross-entropy.

The classes are the ids of the vocabulary, which belongs to the model's tokenizer. Errors of samples are those of
sequences: the tokens of one sequence are not independent. They come from the sequences' own losses (`measured`) by the
linearised variance of a ratio of sums (Cochran 1977, Sampling Techniques, section 6.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from foretoll.errors import DataError
from foretoll.tasks.base import Metric, Tally
from foretoll.tasks.dense import UNKNOWN, Dense, counted

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor


class TokenSums(Tally):
    """Sums over sequences, float64: of nats s, right tokens r and tokens m, and of s², s·m, r², r·m and m²."""

    def __init__(self, device: Any) -> None:
        import torch

        self.samples = 0
        self._sums = torch.zeros(8, dtype=torch.float64, device=device)

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of logits (B, V, L) and next tokens (B, L), UNKNOWN behind the end of a text."""
        from torch.nn import functional as F

        truth = targets.long()
        each = F.cross_entropy(outputs.float(), truth, ignore_index=UNKNOWN, reduction="none")
        known = truth != UNKNOWN
        right = (outputs.argmax(dim=1) == truth) & known
        nats, hits, tokens = (
            x.reshape(len(truth), -1).double().sum(dim=1) for x in (each.double(), right, known)
        )
        self._add(nats, hits, tokens)

    def add_constant(self, log_shares: Tensor, targets: Tensor) -> None:
        """Add targets for which the same log-probabilities (V,) were given everywhere, without their outputs."""
        import torch

        truth = targets.reshape(len(targets), -1).long()
        known = truth != UNKNOWN
        nats = torch.where(known, -log_shares[truth.clamp(min=0)], 0.0)
        right = (truth == log_shares.argmax()) & known
        self._add(*(x.double().sum(dim=1) for x in (nats, right, known)))

    def _add(self, nats: Tensor, hits: Tensor, tokens: Tensor) -> None:
        import torch

        squares = [nats.square(), nats * tokens, hits.square(), hits * tokens, tokens.square()]
        self.samples += len(nats)
        self._sums += torch.stack([nats, hits, tokens, *squares]).sum(dim=1).to(self._sums)

    def merge(self, other: TokenSums) -> None:
        """Add another one's sums."""
        self.samples += other.samples
        self._sums += other._sums.to(self._sums.device)

    def mean(self, of: int) -> float:
        """Nats (0) or right tokens (1) per token."""
        sums = self._sums.tolist()
        return float(sums[of] / max(sums[2], 1.0))

    def error(self, of: int) -> float:
        """The standard error of that mean over sequences."""
        sums, mean = self._sums.tolist(), self.mean(of)
        squares, products = (sums[3], sums[4]) if of == 0 else (sums[5], sums[6])
        away = max(squares - 2 * mean * products + mean**2 * sums[7], 0.0)
        return float(math.sqrt(away * self.samples / max(self.samples - 1, 1)) / max(sums[2], 1.0))


def loss(tally: TokenSums) -> float:
    """Mean cross-entropy per token, in nats."""
    return tally.mean(0)


def perplexity(tally: TokenSums) -> float:
    """exp(loss); infinite beyond what a double holds."""
    return _exp(tally.mean(0))


def token_accuracy(tally: TokenSums) -> float:
    """The share of tokens that are predicted."""
    return tally.mean(1)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


class Language(Dense):
    """Targets: ids of next tokens int64 (n, L), −1 where none counts. Outputs: logits (n, V, L), one an id."""

    name = "language"
    title = "next-token prediction"
    places: ClassVar[int] = 1
    names_are_numbers: ClassVar[bool] = True
    to_check: ClassVar[str] = "the tokenizer"
    metrics: ClassVar[tuple[Metric, ...]] = (
        # the error of a value alone is that of losses as far apart as exponential ones: more than texts are
        Metric(
            "loss", "loss", loss, direction="lower", high=math.inf, unit="nats per token", trivial=None,
            error=lambda value, samples: value / math.sqrt(max(samples, 1)),
            measured=lambda tally: tally.error(0),
        ),
        Metric(
            "perplexity", "perplexity", perplexity, direction="lower", low=1.0, high=math.inf, trivial=None,
            error=lambda value, samples: value * math.log(max(value, 1.0)) / math.sqrt(max(samples, 1)),
            measured=lambda tally: perplexity(tally) * tally.error(0),
        ),
        Metric("token_accuracy", "token accuracy", token_accuracy, measured=lambda tally: tally.error(1)),
    )  # fmt: skip

    def recognises(self, values: npt.NDArray[Any]) -> bool:
        """Never: what tokens are for is said by the source, or by task=language."""
        return False

    def read(
        self, values: Any, where: str, *, names: Sequence[str] | None = None
    ) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
        """Ids of next tokens (n, L) as int64, −1 and −100 where none counts. `names`: of the vocabulary."""
        import numpy as np

        found = np.asarray(values)
        if found.dtype.kind not in "iu" or found.ndim != 2 or found.size == 0:
            raise DataError(
                f"{where} has targets of type {found.dtype} and shape {found.shape}: next tokens are whole numbers in "
                "(sequences, tokens)"
            )
        ids = counted(found, -100)
        if int(ids.min()) < UNKNOWN:
            raise DataError(
                f"{where} has the token id {int(ids.min())}: ids run from 0, and −1 or −100 leaves a token out"
            )
        if int(ids.max()) < 0:
            raise DataError(f"{where} has no next token that counts: give sequences of two tokens or more")
        most = int(ids.max()) + 1
        if names is not None and len(names) < most:
            raise DataError(
                f"{where} has the token id {most - 1}, and the vocabulary has {len(names):,}: name the tokenizer that "
                "made the ids"
            )
        return ids, vocabulary(most) if names is None else tuple(names)

    def said(self, names: Sequence[str]) -> str:
        """That the next token is predicted, of how many."""
        return f"the next token of {len(names):,} to be predicted"

    def arranged(self, outputs: Tensor, size: tuple[int, ...] | None = None) -> Tensor:
        """Networks give logits (n, L, V), as those of transformers do."""
        return outputs.movedim(-1, 1) if outputs.ndim == 3 else outputs

    def tally(self, width: int, *, device: Any = "cpu") -> TokenSums:
        """No tokens yet."""
        return TokenSums(device)

    def chance(self, targets: Tensor, metric: Metric, width: int | None = None) -> float:
        """What the tokens' shares reach: the entropy of single tokens, its exponential, the most frequent one."""
        if metric not in self.metrics:
            return super(Dense, self).chance(targets, metric, width or int(targets.max()) + 1)
        return metric.compute(self._guessed(targets, width))

    def chance_error(self, targets: Tensor, metric: Metric, samples: int) -> float:
        """Measured on these sequences, for so many."""
        if metric not in self.metrics:
            return super().chance_error(targets, metric, samples)
        tally = self._guessed(targets, None)
        return metric.error_of(tally, metric.compute(tally)) * math.sqrt(tally.samples / max(samples, 1))

    def _guessed(self, targets: Tensor, width: int | None) -> TokenSums:
        tally = self.tally(0)
        tally.add_constant(self.constant(targets, width or int(targets.max()) + 1), targets)
        return tally


def vocabulary(size: int) -> tuple[str, ...]:
    """The names of a vocabulary's tokens: their ids."""
    return tuple(str(i) for i in range(size))
