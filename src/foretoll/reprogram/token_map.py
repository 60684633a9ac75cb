"""Tokens of the target as sparse combinations of the source's token embeddings."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError
from foretoll.reprogram.base import InputProgram


class _KeepLargest(torch.autograd.Function):
    """All but the k largest entries of each row set to zero; the gradient passes to all, so that others can enter."""

    @staticmethod
    def forward(ctx: Any, theta: Tensor, k: int) -> Tensor:
        kept = theta.abs().topk(k, dim=1).indices
        return torch.zeros_like(theta).scatter(1, kept, theta.gather(1, kept))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


class TokenMap(InputProgram):
    """Give each of the target's tokens an embedding that is a sparse combination of the source's.

    Token ids (B, L) in 0 … `target_tokens` − 1 → ``{keyword: (B, L, d)}`` (with `pad_id` also attention_mask
    (B, L)), or the embeddings alone where `keyword` is empty. Embedding = Θ · V, V (source tokens, d) the frozen
    embeddings of the source and Θ (target tokens, source tokens) with at most `sparsity` entries a row that are
    not zero (Vinod et al., R2DL, arXiv 2012.03460, which solves for Θ by K-SVD; here Θ is trained by the task's
    own gradient, with the straight-through estimator). V travels with the program, as a buffer.
    """

    name: ClassVar[str] = "token_map"

    def __init__(
        self,
        *,
        target_tokens: int,
        embeddings: Tensor | None = None,
        source_tokens: int | None = None,
        dim: int | None = None,
        sparsity: int = 8,
        keyword: str = "inputs_embeds",
        pad_id: int | None = None,
    ) -> None:
        if embeddings is None:  # rebuilt from a description; the embeddings follow with its state
            if source_tokens is None or dim is None:
                raise UsageError(
                    "a token map needs the source's embeddings: embeddings= a matrix (tokens, dimensions)"
                )
            embeddings = torch.zeros(source_tokens, dim)
        if embeddings.ndim != 2 or not 1 <= sparsity <= len(embeddings) or target_tokens < 1:
            raise UsageError(
                f"a token map needs embeddings (tokens, dimensions) and 1 ≤ sparsity ≤ tokens, got "
                f"{tuple(embeddings.shape)} and {sparsity}"
            )
        super().__init__(
            target_tokens=target_tokens,
            source_tokens=embeddings.shape[0],
            dim=embeddings.shape[1],
            sparsity=sparsity,
            keyword=keyword,
            pad_id=pad_id,
        )
        self.sparsity, self.keyword, self.pad_id = sparsity, keyword, pad_id
        self.register_buffer("embeddings", embeddings.detach().clone())
        self.theta = nn.Parameter(torch.empty(target_tokens, embeddings.shape[0]))
        self.reset_parameters()

    embeddings: Tensor

    def reset_parameters(self) -> None:
        """Each token a random combination, of about the length of a source embedding."""
        nn.init.normal_(self.theta, std=self.sparsity**-0.5)

    def combinations(self) -> Tensor:
        """Θ (target tokens, source tokens) with at most `sparsity` entries a row that are not zero."""
        kept: Tensor = _KeepLargest.apply(self.theta, self.sparsity)
        return kept

    def forward(self, tokens: Tensor) -> Tensor | dict[str, Tensor]:
        """Token ids (B, L) to embeddings (B, L, d), under the source's keyword."""
        if tokens.ndim != 2 or tokens.is_floating_point():
            raise ModelError(
                f"the program takes token ids (batch, length), got {tuple(tokens.shape)} of {tokens.dtype}"
            )
        if len(tokens) and (int(tokens.min()) < 0 or int(tokens.max()) >= len(self.theta)):
            raise ModelError(
                f"token ids must lie in 0 … {len(self.theta) - 1}, got {int(tokens.min())} … {int(tokens.max())}"
            )
        embedded = (self.combinations() @ self.embeddings)[tokens]
        if not self.keyword:
            return embedded
        mask = {} if self.pad_id is None else {"attention_mask": (tokens != self.pad_id).long()}
        return {self.keyword: embedded, **mask}
