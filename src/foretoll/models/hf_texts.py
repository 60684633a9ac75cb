"""Text models of transformers: how long a text may be, and how a sentence encoder's folder pools its tokens."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.errors import ModelError, UsageError, shown, unknown_name
from foretoll.models.spec import Convention

POOLINGS = (
    "cls",
    "max",
    "mean",
    "mean_sqrt_len",
    "weightedmean",
    "last",
)  # in the order of sentence-transformers
NORMALISED = "normalised"  # the last part of a pooling: the vector is then brought to length 1
LIBRARY = "library"  # the classifier of transformers, however that one pools
_LONGEST = 512  # tokens
_LARGEST_JSON = 2**20  # bytes
_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")  # their positions start after the padding id
_INNER = "0_Transformer"  # where older sentence-transformers keep the network


def transformer_folder(path: Path) -> Path:
    """Where the transformers model of a folder lies: in older sentence-transformers one level below."""
    inner = path / _INNER
    return (
        inner if (inner / "config.json").is_file() and not (path / "config.json").is_file() else path
    ).resolve()


def text_convention(folder: str, local: bool, config: Any) -> Convention:
    """How texts are cut and tokens pooled, as the folder's files say."""
    path = Path(folder)
    longest = [_LONGEST]
    places = getattr(config, "max_position_embeddings", None)
    if isinstance(places, int) and places > 2:  # XLNet's -1 means that there is no limit
        longest.append(places - 2 * (getattr(config, "model_type", "") in _AFTER_PADDING))
    if local:
        for file, key in (
            ("sentence_bert_config.json", "max_seq_length"),
            ("tokenizer_config.json", "model_max_length"),
        ):
            stated = small_json(_sentence_root(path) / file).get(key)
            longest += (
                [stated] if isinstance(stated, int) and not isinstance(stated, bool) and stated > 2 else []
            )
    own = not local or any(path.glob("*token*")) or (path / "vocab.txt").is_file()
    pooling, origin, notes = _pooling(path, config) if local else ("", "", ())
    return Convention(
        "text",
        max_length=min(longest),
        tokenizer=folder if own else None,
        pooling=pooling,
        origin=origin,
        notes=notes,
    )


def _sentence_root(path: Path) -> Path:
    return path.parent if path.name == _INNER else path


def _pooling(path: Path, config: Any) -> tuple[str, str, tuple[str, ...]]:
    """How tokens become one vector; empty where transformers' own classifier decides."""
    if any("ForSequenceClassification" in name for name in config.architectures or ()):
        return "", "", ()
    root = _sentence_root(path)
    modules = small_json(root / "modules.json").get("", [])
    kinds = [(str(m.get("type", "")), str(m.get("path", ""))) for m in modules if isinstance(m, dict)]
    number, at = next(((i, p) for i, (kind, p) in enumerate(kinds) if kind.endswith(".Pooling")), (0, None))
    if at is not None:
        if Path(at).name != at:
            raise ModelError(f"modules.json names the pooling {shown(at)}, which is no folder beside it")
        settings = small_json(root / at / "config.json")
        named = str(settings.get("pooling_mode", ""))
        said = [p for p in POOLINGS if any(settings.get(f"pooling_mode_{p}{end}") is True for end in _ENDS)]
        said = said or [
            {"lasttoken": "last", "mean_sqrt_len_tokens": "mean_sqrt_len"}.get(named, named or "mean")
        ]
        behind = [kind.rpartition(".")[2] for kind, _ in kinds[number + 1 :]]
        other = sorted({kind for kind in behind if kind != "Normalize"})
        note = f"the folder's sentence encoder ends in {shown(' and '.join(other), 60)}, which foretoll leaves out"
        said += [NORMALISED] if "Normalize" in behind else []
        return "+".join(said), f"{at}/config.json", (note,) if other else ()
    if config.is_encoder_decoder or not _is_encoder(config):
        return "", "", ()
    return "mean", "default, since no classifier was saved with the encoder", ()


_ENDS = ("", "token", "_token", "_tokens")


def _is_encoder(config: Any) -> bool:
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    return config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES


def small_json(file: Path, most: int = _LARGEST_JSON) -> dict[str, Any]:
    """The object in a small JSON file (a list under the empty name); empty where there is none."""
    if not file.is_file():
        return {}
    try:
        if file.stat().st_size > most:
            raise ValueError("it is too long")
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{shown(file)} cannot be read as JSON; save the model again, or remove the file"
        ) from error
    return content if isinstance(content, dict) else {"": content}


class PooledForSequenceClassification(nn.Module):
    """A transformers backbone whose tokens are pooled as a sentence encoder does it, and a linear head."""

    def __init__(self, backbone: nn.Module, pooling: str, num_labels: int) -> None:
        super().__init__()
        config: Any = backbone.config
        self.backbone = backbone
        self.pooling = pooling_parts(pooling)
        self.dropout = nn.Dropout(_share(config, "classifier_dropout", "hidden_dropout_prob"))
        width = config.hidden_size * sum(part != NORMALISED for part in self.pooling)
        self.classifier = nn.Linear(width, num_labels)
        self.classifier.weight.data.normal_(std=getattr(config, "initializer_range", 0.02) or 0.02)
        self.classifier.bias.data.zero_()
        self.num_labels = num_labels

    @property
    def config(self) -> Any:
        """The backbone's configuration."""
        return self.backbone.config

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token ids and mask (B, L) to logits (B, num_labels)."""
        tokens = self.backbone(input_ids=input_ids, attention_mask=attention_mask)[0]
        logits: Tensor = self.classifier(self.dropout(pooled(tokens, attention_mask, self.pooling)))
        return logits


def pooling_parts(pooling: str) -> tuple[str, ...]:
    """The poolings in a text such as "mean" or "cls+mean", at the end perhaps `NORMALISED`.

    Raises UsageError for an unknown one.
    """
    parts = tuple(str(pooling).split("+"))
    for part in parts[:-1] if parts[-1] == NORMALISED and len(parts) > 1 else parts:
        if part not in POOLINGS:
            raise UsageError(unknown_name("pooling", part, (*POOLINGS, LIBRARY)))
    return parts


def pooled(tokens: Tensor, mask: Tensor, parts: tuple[str, ...]) -> Tensor:
    """Tokens (B, L, d) to one vector a text, (B, d · poolings), as sentence-transformers does; padding is left out."""
    weight = mask.to(tokens.dtype).unsqueeze(2)
    length = weight.sum(1).clamp(min=1)
    places = torch.arange(mask.shape[1], device=mask.device)
    rows = torch.arange(len(tokens), device=mask.device)
    found: list[Tensor] = []
    for part in parts:
        if part == NORMALISED:
            return F.normalize(torch.cat(found, dim=1), dim=1)
        if part in ("cls", "last"):
            order = places if part == "last" else -places - 1 + mask.shape[1]
            found.append(tokens[rows, (mask.long() * (order + 1)).argmax(1)])
        elif part == "max":
            found.append(tokens.masked_fill(weight == 0, torch.finfo(tokens.dtype).min).amax(1))
        elif part == "weightedmean":
            rising = weight * (places + 1).to(tokens.dtype).view(1, -1, 1)
            found.append((tokens * rising).sum(1) / rising.sum(1).clamp(min=1))
        else:
            found.append((tokens * weight).sum(1) / (length.sqrt() if part == "mean_sqrt_len" else length))
    return torch.cat(found, dim=1)


def backbone_options(auto: Any, config: Any) -> dict[str, bool]:
    """Leave a pooling layer of the backbone's own out, where it can be: nothing would use or train it."""
    kind = auto._model_mapping.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    return (
        {"add_pooling_layer": False}
        if "add_pooling_layer" in inspect.signature(kind.__init__).parameters
        else {}
    )


def _share(config: Any, *names: str) -> float:
    found = (getattr(config, name, None) for name in names)
    return next((float(v) for v in found if isinstance(v, int | float) and 0 <= v < 1), 0.0)
