"""Where a network's head and embedding are, found by one dry run on a small batch, and its countable layers.

The head is the Linear or Conv module whose output, averaged over positions where it has any, is the network's
output (also after a ReLU, as in SqueezeNet); failing that the last Linear called with as many outputs as there
are classes. The embedding is the head's input, averaged over spatial or token positions: shape (n, d).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, UsageError, one_line, shown, unknown_name
from foretoll.models.several_outputs import logits_in, made_by, outputs_of
from foretoll.tasks import Task

CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
LAYERS = (nn.Linear, *CONV)
SQUEEZED = "likely the batch axis is lost by squeeze() without an axis; write squeeze(dim) or flatten(1)"
_OF_SHAPES = re.compile(r"dimension|\bdims?\b|shape|size mismatch|\b\d ?d\b|\bunpack\b", re.IGNORECASE)
"""What torch says where a tensor lacks an axis."""


@dataclass(frozen=True)
class Anatomy:
    """Names within the network; `embedding` None means the head's input. `dim` is the embedding's width.

    others: heads beside it, from whose outputs together the network's output is made (distilled transformers, VOLO)
    """

    head: str
    embedding: str | None
    num_classes: int
    dim: int
    others: tuple[str, ...] = ()
    output: str | None = None  # which of the network's several outputs it is; None where there is one


_Call = tuple[str, nn.Module, Tensor, Tensor]  # name, module, its first input, its output


def call_network(network: nn.Module, x: Tensor | dict[str, Tensor], output: str | None = None) -> Tensor:
    """Run the network on a preprocessed batch and return its logits; gradients stay on or off whatever it does.

    `output`: which of its several outputs they are.
    """
    return logits_in(_called(network, x), output)


def _called(network: nn.Module, x: Tensor | dict[str, Tensor]) -> Any:
    enabled = torch.is_grad_enabled()
    try:
        return called_with(network, x) if isinstance(x, dict) else network(x)
    finally:
        if torch.is_grad_enabled() != enabled:
            torch.set_grad_enabled(enabled)


def called_with(network: nn.Module, tree: dict[str, Tensor]) -> Any:
    """What the network gives for several inputs: by name, in their order, or as one batch, as its forward takes them.

    Inputs of a tuple have numbers for names. A network of tokens that names no `input_ids` gets the ids alone. Raises
    ModelError where the forward takes inputs by other names.
    """
    if "input_ids" in tree:
        kind: Any = type(network)
        names = _arguments(kind)
        if names is not None and "input_ids" not in names:
            return network(tree["input_ids"])
        return network(**{name: value for name, value in tree.items() if names is None or name in names})
    numbered = all(name.isdecimal() for name in tree)
    try:
        taken = list(inspect.signature(network.forward).parameters.values())
    except (TypeError, ValueError):  # a compiled forward may not say
        return network(*tree.values()) if numbered else network(**tree)
    by_name = {p.name for p in taken if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = [
        p for p in taken if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty
    ]
    if not numbered and (set(tree) <= by_name or any(p.kind is p.VAR_KEYWORD for p in taken)):
        return network(**tree)
    if len(needed) == 1 and (len(tree) > 1 or not numbered):
        return network(tuple(tree.values()) if numbered else dict(tree))
    if numbered:
        return network(*tree.values())
    raise ModelError(
        f"the network's forward takes {', '.join(sorted(by_name)) or 'nothing by name'}, and the data have the inputs "
        f"{', '.join(tree)}: give them the same names, or let the forward take one dict"
    )


@cache
def _arguments(kind: Any) -> frozenset[str] | None:
    """The names of what a network's forward takes; None where it takes any, or does not say."""
    try:
        found = inspect.signature(kind.forward).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in found):
        return None
    return frozenset(p.name for p in found)


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients, private random numbers; every module's mode is put back afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def find_anatomy(
    network: nn.Module,
    example: Tensor | dict[str, Tensor],
    *,
    num_classes: int | None = None,
    embedding_layer: str | None = None,
    head: str | None = None,
    task: Task | None = None,
) -> Anatomy:
    """Find head and embedding by one dry run on a preprocessed `example` batch of at least two samples.

    `head` and `embedding_layer` name modules instead (the head's *input*, the embedding layer's *output*). Of a task
    with a class at each place the outputs are looked at averaged over the places.
    Raises UsageError for an unknown module name and ModelError when the network fails on the batch, does not
    return (batch, classes), or has no layer that looks like a head.
    """
    modules, output = dict(network.named_modules()), None
    if head is not None and head not in modules and head in outputs_of(_raw_run(network, example, {})):
        output, head = head, None  # an output by its name: its head is found
    for what, name in (("head", head), ("embedding layer", embedding_layer)):
        if name is not None and name not in modules:
            raise UsageError(unknown_name(f"{what} (a module of the model)", name, _named(network)))
    calls: list[_Call] = []

    def record(name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            inside, out = first_tensor(args), first_tensor(output)
            if inside is not None and out is not None:  # copied: what comes next may work in place
                calls.append((name, module, inside.detach().clone(), out.detach().clone()))

        return hook

    wanted = {name for name in (head, embedding_layer) if name is not None}
    watched = {name for name in _named(network) if layer_width(modules[name])} | wanted
    batch = _batch_size(example)
    one = _first(example)  # taken before the network may write into the example
    raw = _raw_run(network, example, {name: record(name) for name in watched})
    output = output or _output_of(raw, None if head is None else _last(calls, head))
    logits = logits_in(raw, output)
    dense = task is not None and task.places > 0
    logits = _over_places(task, logits) if task is not None and dense else logits
    if logits.ndim != 2 or logits.shape[0] != batch:
        raise ModelError(
            f"the network returns shape {tuple(logits.shape)} for a batch of {batch}, not (batch, classes); "
            "foretoll takes classifiers with one output per class"
        )
    _check_values(logits)
    classes = logits.shape[1]
    if classes > 1 and bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-5).all()):
        raise ModelError("the network ends in a softmax; give foretoll one that returns logits, without it")
    _check_batch_of_one(network, one, classes, output, task)
    others: tuple[str, ...] = ()
    if head is not None:
        found = _last(calls, head)
        if found is None and (embedding_layer is None or not any(True for _ in modules[head].parameters())):
            raise ModelError(
                f"the head {shown(head)} is never called in a forward pass; name a module that is, or, where the "
                "network uses the head's weights itself, also the layer whose output the head gets "
                "(--embedding-layer NAME)"
            )
    else:
        found = _find_head(calls, logits, dense=dense)
        if found is None:
            raise _no_head(calls, classes)
        head = found[0]
    if found is not None and any(found is call for call in _fitting(calls, logits)):
        others = _other_heads(calls, found, logits)
    place = found if embedding_layer is None else _last(calls, embedding_layer)
    if place is None:
        raise ModelError(f"the embedding layer {shown(embedding_layer)} gives no tensor; name another module")
    pooled = pool_any(place[2] if embedding_layer is None else place[3], place[1])
    if len(pooled) != batch:
        raise ModelError(
            f"the {'input of the head' if embedding_layer is None else 'embedding layer'} {shown(place[0])} has "
            f"{len(pooled)} rows for a batch of {batch}, so it represents no sample; name a layer with one row a "
            "sample (--embedding-layer NAME)"
        )
    return Anatomy(head, embedding_layer, classes, int(pooled.shape[1]), others, output)


def _output_of(raw: Any, head: _Call | None) -> str | None:
    """Which of several outputs the named head makes; None where there is one, or no head was named."""
    several = outputs_of(raw)
    if head is None or len(several) < 2:
        return None
    return made_by(several, pool_positions(head[3], head[1]))


def _check_values(logits: Tensor) -> None:
    """Raise ModelError for outputs that no loss can be taken of."""
    if logits.is_meta:
        raise ModelError("the network is on the device meta and has no weights: load them, as with to_empty")
    if not logits.is_floating_point():
        raise ModelError(
            f"the network returns {str(logits.dtype).removeprefix('torch.')} numbers, not logits; let its forward "
            "return the floats from which it decides"
        )


def _last(calls: list[_Call], name: str) -> _Call | None:
    return next((call for call in reversed(calls) if call[0] == name), None)


def _no_head(calls: list[_Call], classes: int) -> ModelError:
    seen = [f"{shown(n, 40)} {tuple(o.shape)}" for n, _, _, o in calls[-3:]] or ["no Linear or Conv module"]
    return ModelError(
        f"no layer looks like the head of {classes} classes, so none looks like an embedding; name one with "
        f"--head NAME (and --embedding-layer NAME; head= and embedding_layer= in Python); called last were: "
        f"{', '.join(seen)}"
    )


def _over_places(task: Task, outputs: Tensor) -> Tensor:
    """Outputs of each place as their mean (B, C); ModelError where they are none."""
    arranged = task.arranged(outputs)
    if arranged.ndim != 2 + task.places:
        form = {1: "(batch, tokens, vocabulary)", 2: "(batch, classes, height, width)"}[task.places]
        raise ModelError(
            f"the network returns shape {tuple(outputs.shape)}, and {task.title} needs {form}: give a network made for "
            "it"
        )
    return arranged.flatten(2).mean(2)


def _find_head(calls: list[_Call], logits: Tensor, *, dense: bool = False) -> _Call | None:
    fitting = _fitting(calls, logits)
    for call in reversed(fitting):
        _, module, _, out = call
        for y in (out, torch.relu(out)):
            if torch.allclose(pool_positions(y, module).float(), logits.float(), rtol=1e-4, atol=1e-5):
                return call
    # the maps of a dense network may be enlarged behind its head, which changes their mean
    return next((c for c in reversed(fitting) if dense or isinstance(c[1], nn.Linear)), None)


def _fitting(calls: list[_Call], logits: Tensor) -> list[_Call]:
    """The calls with one output per class for each sample."""
    return [c for c in calls if layer_width(c[1]) == logits.shape[1] and c[3].shape[0] == logits.shape[0]]


def _other_heads(calls: list[_Call], head: _Call, logits: Tensor) -> tuple[str, ...]:
    """The other heads of a network whose logits are a weighted sum of several heads' outputs and of no single one's.

    A head on tokens counts with its mean or its largest value over them. The weights are found by least squares: for
    each other head beside this one, then for all of them.
    """
    if _is_sum([pool_positions(head[3], head[1])], logits):
        return ()
    others = [call for call in _fitting(calls, logits) if call[0] != head[0]]
    for call in others:
        if any(_is_sum([mine, theirs], logits) for mine in _pooled(head) for theirs in _pooled(call)):
            return (call[0],)
    together = [pool_positions(call[3], call[1]) for call in (head, *others)]
    return tuple(call[0] for call in others) if _is_sum(together, logits) else ()


def _pooled(call: _Call) -> list[Tensor]:
    """A head's output averaged over its positions, and its largest value over tokens."""
    _, module, _, out = call
    on_tokens = out.ndim > 2 and not isinstance(module, CONV)
    return [pool_positions(out, module), *([out.flatten(1, -2).amax(1)] if on_tokens else [])]


def _is_sum(parts: list[Tensor], logits: Tensor) -> bool:
    wanted = logits.double().flatten()[:, None]
    matrix = torch.stack([part.double().flatten() for part in parts], dim=1)
    if len(wanted) <= len(parts) or not (matrix.isfinite().all() and wanted.isfinite().all()):
        return False
    weights = torch.linalg.lstsq(matrix, wanted).solution
    return bool((matrix @ weights - wanted).norm() <= 1e-4 * wanted.norm())


def _check_batch_of_one(
    network: nn.Module, one: Tensor | dict[str, Tensor], classes: int, output: str | None, task: Task | None
) -> None:
    """Evaluations end with a batch of one sample as often as not."""
    try:
        outputs = dry_run(network, one, {}, output)
        shape = tuple((_over_places(task, outputs) if task is not None and task.places else outputs).shape)
    except ModelError as error:
        cause = error.__cause__ or error
        likely = f": {SQUEEZED}" if _OF_SHAPES.search(str(cause)) else ""
        raise ModelError(
            f"the network takes a batch of two but fails on a batch of one, as evaluations may have "
            f"({shown(cause, 100)}){likely}"
        ) from error
    if shape != (1, classes):
        likely = f": {SQUEEZED}" if len(shape) < 2 else ""
        raise ModelError(f"the network returns shape {shape} for a batch of one, not (1, {classes}){likely}")


def _first(example: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    """A copy of the first sample of a batch, as a batch of one."""
    if isinstance(example, dict):
        return {key: value[:1].clone() for key, value in example.items()}
    return example[:1].clone()


def dry_run(
    network: nn.Module,
    example: Tensor | dict[str, Tensor],
    hooks: Mapping[str, Callable[[nn.Module, tuple[Any, ...], Any], None]],
    output: str | None = None,
) -> Tensor:
    """The logits of one undisturbed pass with forward hooks on the named modules; ModelError where it fails."""
    return logits_in(_raw_run(network, example, hooks), output)


def _raw_run(
    network: nn.Module,
    example: Tensor | dict[str, Tensor],
    hooks: Mapping[str, Callable[[nn.Module, tuple[Any, ...], Any], None]],
) -> Any:
    """All that the network gives in such a pass."""
    handles = [network.get_submodule(name).register_forward_hook(hook) for name, hook in hooks.items()]
    try:
        with undisturbed(network):
            return _called(network, example)
    except ModelError:
        raise
    except Exception as error:  # whatever a user's network raises becomes one sentence
        raise ModelError(
            f"the network fails on a batch of {described(example)}: {type(error).__name__}: "
            f"{one_line(str(error), 150)}; "
            "check the input size and channels (options input_size=…)"
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def layer_width(module: nn.Module) -> int:
    """Output channels or features of a Conv or Linear; 0 for any other module.

    transformers' Conv1D (GPT-2) is a linear layer with its weight transposed, and counts as one.
    """
    if isinstance(module, CONV):
        return module.out_channels
    if isinstance(module, nn.Linear):
        return module.out_features
    width = getattr(module, "nf", 0) if type(module).__name__ == "Conv1D" else 0
    return width if isinstance(width, int) else 0


def token_of(output: Tensor, logits: Tensor) -> Tensor | None:
    """The token (B,) whose output (B, T, C) each sample's logits (B, C) are; None where they are not one's."""
    if output.ndim != 3 or output.shape[2] != logits.shape[1]:
        return None
    apart = (output.float() - logits.float()[:, None]).abs().amax(2)
    least, token = apart.min(1)
    return token if bool((least <= 1e-5 + 1e-4 * logits.float().abs().amax(1)).all()) else None


def pool_positions(output: Tensor, module: nn.Module) -> Tensor:
    """A Conv or Linear output averaged over its positions: (B, channels), in the output's own dtype.

    Conv outputs are (B, C, …) and averaged over all axes from 2 on; a Linear has its channels on the last
    axis, so (B, T, C) and (B, H, W, C) are averaged over all axes between.
    """
    if output.ndim <= 2:
        return output
    if isinstance(module, CONV):
        return output.flatten(2).mean(2)
    return output.flatten(1, -2).mean(1)


def pool_any(x: Tensor, module: nn.Module, mask: Tensor | None = None) -> Tensor:
    """The output (or a head's input) at any module averaged over positions: (B, d).

    For a module that is no Conv or Linear the channel axis is inferred from the widths of the layers inside it;
    where these do not decide, (B, T, C) is taken as tokens and (B, C, H, W) as an image. `mask` (B, T) leaves
    padded tokens out.
    """
    if x.ndim == 1:
        raise ModelError(
            f"the layer gives one number per sample (shape {tuple(x.shape)}), which is no embedding"
        )
    if x.ndim == 2:
        return x
    last = channels_last(x, module)
    if mask is not None and x.ndim == 3 and last and mask.shape == x.shape[:2]:
        weight = mask.to(x.dtype).unsqueeze(2)
        return (x * weight).sum(1) / weight.sum(1).clamp(min=1)
    return x.flatten(1, -2).mean(1) if last else x.flatten(2).mean(2)


def channels_last(x: Tensor, module: nn.Module) -> bool:
    """Whether the channels of what goes in or out of a module lie on the last axis."""
    return isinstance(module, nn.Linear) or (not isinstance(module, CONV) and _channels_last(x, module))


def _channels_last(x: Tensor, module: nn.Module) -> bool:
    widths: set[int] = set()
    convolutional = False
    for part in module.modules():
        if layer_width(part):
            widths.add(layer_width(part))
            convolutional |= isinstance(part, CONV)
        elif isinstance(part, nn.LayerNorm):
            widths.add(int(part.normalized_shape[-1]))
        elif hasattr(part, "num_features") and isinstance(part.num_features, int):
            widths.add(part.num_features)
    first, last = x.shape[1] in widths, x.shape[-1] in widths
    if first != last:
        return last
    return x.ndim == 3 and not convolutional


def first_tensor(value: Any) -> Tensor | None:
    """The first floating-point tensor in a module's output or arguments, or None."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, tuple | list) else ()
    return next((t for t in map(first_tensor, items) if t is not None), None)


def _named(network: nn.Module) -> list[str]:
    return [name for name, _ in network.named_modules() if name]


def _batch_size(example: Tensor | dict[str, Tensor]) -> int:
    return int((next(iter(example.values())) if isinstance(example, dict) else example).shape[0])


def described(example: Tensor | dict[str, Tensor]) -> str:
    """The shape of a batch, for messages."""
    if isinstance(example, dict) and "input_ids" not in example:
        return "shapes " + ", ".join(
            f"{shown(name, 20)} {tuple(x.shape)}" for name, x in list(example.items())[:6]
        )
    x = next(iter(example.values())) if isinstance(example, dict) else example
    return f"shape {tuple(x.shape)}"
