"""Networks without weights (device "meta"), from a configuration alone: nothing is loaded, and nothing computed."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError, shown
from foretoll.models.anatomy import LAYERS, call_network, layer_width
from foretoll.models.checkpoint import is_checkpoint, read_card
from foretoll.models.hf import hf_class, hf_config, hf_folder
from foretoll.models.model import Model
from foretoll.models.named import check_no_file, local_path
from foretoll.models.plan import input_shape
from foretoll.models.sources import build_network, convention
from foretoll.models.spec import Kind, Spec, family_of, parse_spec
from foretoll.models.trust import Trust
from foretoll.records import ModelCard, Preprocessing

LARGEST_HEADER = 100_000_000  # bytes, as the safetensors library has it
MOST_VALUES = 2**27  # of one sample


@dataclass(frozen=True)
class Outline:
    """A model on the device "meta", the shape of one sample as the network takes it, and what its folder stores."""

    model: Model
    shape: tuple[int, ...]  # (tokens,) of token numbers, else of numbers
    kind: Kind
    stored_bytes: int | None = None
    stored_dtype: str = ""

    def batch(self, samples: int) -> Tensor | dict[str, Tensor]:
        """So many samples."""
        if self.kind == "text":
            return {"input_ids": torch.zeros((samples, *self.shape), dtype=torch.long, device="meta")}
        return torch.zeros((samples, *self.shape), device="meta")


class _Outlined(Model):
    """A model whose example needs no preprocessing: it is only called, and nothing is computed."""

    batch: Any = None

    def example(self, n: int = 2) -> Tensor | dict[str, Tensor]:
        """Samples without values."""
        found: Tensor | dict[str, Tensor] = type(self).batch(n) if self.batch is None else self.batch(n)
        return found


def outline(
    name: str, *, classes: int = 2, shape: Sequence[int] = (), tokens: int = 128, task: str = "classification"
) -> Outline:
    """The outline of `hf:PATH`, `timm:NAME`, `torchvision:NAME`, `foretoll:NAME`, or a checkpoint folder of foretoll.

    shape: of one sample, where the architecture does not say (channels, height, width). tokens: of a text. task:
    "language" for a model of next tokens. Raises UsageError and ModelError where no network can be made of it.
    """
    path = local_path(name)
    if path.is_dir():
        if not is_checkpoint(path):
            raise UsageError(
                f"{shown(path)} is no checkpoint of foretoll: name a folder of transformers as hf:{name}"
            )
        card = read_card(path, quiet=True)
        if card.program is not None:
            raise UsageError(f"{shown(path)} is a reprogrammed model: name the source that stands within it")
        spec, plan, classes = parse_spec(card.arch, card.arch_options), card.preprocessing, card.num_classes
        kind, stored = plan.kind, _stored(path)
        sizes = (tokens,) if kind == "text" else input_shape(plan)
    else:
        check_no_file(name, path, is_path=False)
        spec = parse_spec(name, {})
        kind, sizes, limit = _sample(spec, tuple(shape), tokens, task)
        if limit is not None and kind == "text" and tokens > limit:
            raise UsageError(
                f"--tokens {tokens} are more than the {limit} that {shown(name, 60)} reads: give at most so many"
            )
        stored = _stored(Path(hf_folder(spec.name)[0])) if spec.scheme == "hf" else (None, "")
        plan = Preprocessing(kind=kind, channels=sizes[0] if kind != "text" else None)
    if math.prod(sizes) > MOST_VALUES or min(sizes, default=1) < 1:
        raise UsageError(
            f"samples of {' × '.join(map(str, sizes))} are none that a network takes: give another --input"
        )
    if task == "language" and spec.scheme == "hf":
        classes = int(hf_config(spec.name).vocab_size)
        spec = Spec(spec.scheme, spec.name, {**spec.options, "task": task})
    with torch.device("meta"):
        network = build_network(spec, shape=sizes, num_classes=classes, kind=kind, trust=Trust())
    return _found(network, spec, plan, Outline(None, sizes, kind, *stored), classes, task)  # type: ignore[arg-type]  # made there


def _found(
    network: nn.Module, spec: Spec, plan: Preprocessing, of: Outline, classes: int, task: str
) -> Outline:
    """The outline with its model: its head is the last layer called that has as many outputs as there are classes."""
    calls: list[str] = []
    handles = [
        module.register_forward_hook(lambda m, _a, _o, name=name: calls.append(name))
        for name, module in network.named_modules()
        if isinstance(module, LAYERS) and layer_width(module) == classes
    ]
    try:
        with torch.no_grad():
            call_network(network.eval(), of.batch(2), None)
    except (RuntimeError, NotImplementedError, ValueError, TypeError, IndexError) as error:
        raise ModelError(
            f"{shown(spec.arch)} cannot be sized without its weights, or takes no samples of {of.shape} "
            f"({type(error).__name__}): give the shape of one sample (--input 3x224x224)"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        raise ModelError(
            f"no layer of {shown(spec.arch)} gives {classes} outputs: name their number by --classes"
        )
    card = ModelCard(
        arch=spec.arch,
        arch_options=spec.build_options,
        family=family_of(spec, network),
        num_classes=classes,
        classes=tuple(str(i) for i in range(classes)),
        preprocessing=plan,
        head=calls[-1],
        parameters=sum(p.numel() for p in network.parameters()),
        has_batch_norm=any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network.modules()),
        task=task,
    )
    model = _Outlined(network, card)
    model.batch = of.batch
    return Outline(model, of.shape, of.kind, of.stored_bytes, of.stored_dtype)


def _sample(
    spec: Spec, shape: tuple[int, ...], tokens: int, task: str
) -> tuple[Kind, tuple[int, ...], int | None]:
    """The kind and shape of a sample as an architecture takes it, and the most tokens that it can read."""
    if spec.scheme == "hf":
        config = hf_config(spec.name)
        _, kind = hf_class(config, None, task if task == "language" else "")
        if kind == "text":
            return kind, (tokens,), getattr(config, "max_position_embeddings", None)
        if kind == "image" and not shape:
            side = getattr(config, "image_size", 224)
            sides = tuple(side) if isinstance(side, list | tuple) else (side, side)
            return kind, (int(getattr(config, "num_channels", 3)), *map(int, sides)), None
    usual = convention(spec) if spec.scheme in ("timm", "torchvision") else None
    if usual is not None and usual.size is not None and not shape:
        return "image", (usual.channels or 3, *usual.size), None
    if not shape:
        raise UsageError(
            f"{shown(spec.arch)} does not say what its samples are: give the shape of one (--input 3x32x32)"
        )
    kinds: dict[int, Kind] = {1: "vector", 2: "series", 3: "image"}
    if len(shape) not in kinds:
        raise UsageError(
            "--input is the shape of one sample: features, channels x length, or channels x height x width"
        )
    return kinds[len(shape)], shape, None


def _stored(folder: Path) -> tuple[int | None, str]:
    """Bytes of the weights in a folder's safetensors files, and their usual type, from the headers alone."""
    if not folder.is_dir():
        return None, ""
    total, kinds = 0, Counter[str]()
    for file in sorted(folder.glob("*.safetensors"))[:1000]:
        for kind, size in _header(file):
            total += size
            kinds[kind] += size
    return (total, kinds.most_common(1)[0][0]) if kinds else (None, "")


def _header(file: Path) -> list[tuple[str, int]]:
    """Type and bytes of each tensor; ModelError for what is no safetensors file."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > LARGEST_HEADER:
                raise ValueError("a header of that length is none")
            header = json.loads(opened.read(length))
        rows = [row for name, row in header.items() if name != "__metadata__"]
        return [
            (str(row["dtype"])[:10], int(row["data_offsets"][1]) - int(row["data_offsets"][0]))
            for row in rows
        ]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        AttributeError,
        struct.error,
        RecursionError,
    ) as error:
        raise ModelError(f"{shown(file)} has no header of safetensors: copy or save it again") from error
