"""Small sources, and a program for each name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from foretoll.reprogram import InputProgram, OutputMapping, TokenMap, make_mapping, make_program

S, CHANNELS, SIDE, LENGTH, FEATURES, TOKENS, DIM = 7, 3, 16, 24, 6, 11, 5


class Tokens(nn.Module):
    """A text classifier that takes token ids, or embeddings by keyword, and a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, DIM)
        self.norm = nn.BatchNorm1d(DIM)
        self.head = nn.Linear(DIM, S)

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits in a dict, as transformers would."""
        x = self.embed(input_ids) if inputs_embeds is None else inputs_embeds
        weight = torch.ones(x.shape[:2]) if attention_mask is None else attention_mask.float()
        pooled = (x * weight.unsqueeze(2)).sum(1) / weight.sum(1, keepdim=True).clamp(min=1)
        return {"logits": self.head(self.norm(pooled))}


def image_source(classes: int = S) -> nn.Module:
    """A convolutional network with batch norm and dropout: it shows whether it is really in evaluation mode."""
    return nn.Sequential(
        nn.Conv2d(CHANNELS, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, classes),
    )


def series_source() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3),
        nn.BatchNorm1d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(2),
        nn.Flatten(),
        nn.Linear(8, S),
    )


def vector_source() -> nn.Module:
    return nn.Sequential(nn.Linear(FEATURES, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, S))


IMAGES = {"channels": CHANNELS, "size": (SIDE, SIDE)}
CASES: dict[
    str, tuple[Callable[[], nn.Module], Callable[[nn.Module], InputProgram], Callable[[int], Tensor]]
] = {
    "pad": (
        image_source,
        lambda _: make_program("pad", **IMAGES, inner=(8, 6)),
        lambda n: torch.rand(n, 3, 8, 6),
    ),
    "full": (image_source, lambda _: make_program("full", **IMAGES), lambda n: torch.rand(n, 3, 9, 11)),
    "low_rank": (
        image_source,
        lambda _: make_program("low_rank", **IMAGES),
        lambda n: torch.rand(n, 1, 9, 11),
    ),
    "sample_mask": (
        image_source,
        lambda _: make_program("sample_mask", **IMAGES),
        lambda n: torch.rand(n, 3, 20, 11),
    ),
    "trainable_resize": (
        image_source,
        lambda _: make_program("trainable_resize", **IMAGES),
        lambda n: torch.rand(n, 3, 9, 11),
    ),
    "series": (
        series_source,
        lambda _: make_program("series", channels=2, length=LENGTH, scale=(1.0, 2.0)),
        lambda n: torch.randn(n, 2, 10),
    ),
    "additive": (
        vector_source,
        lambda _: make_program("additive", features=FEATURES),
        lambda n: torch.randn(n, FEATURES - 2),
    ),
    "token_map": (
        Tokens,
        lambda source: TokenMap(target_tokens=4, embeddings=source.embed.weight, sparsity=2, pad_id=0),
        lambda n: torch.randint(0, 4, (n, 5)),
    ),
}


def mapping_of(name: str, targets: int, source_classes: int = S) -> OutputMapping:
    """A mapping of that name, where T classes allow it."""
    return make_mapping(name, source_classes, targets)


def state_of(source: nn.Module) -> dict[str, Tensor]:
    """A copy of weights and buffers."""
    return {name: value.clone() for name, value in source.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
