"""Read weights from files without unpickling anything, and fit them to a network or say exactly why they do not."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from foretoll.errors import ModelError, check_refused, one_line, shown
from foretoll.models.archives import check_archive, check_plain
from foretoll.models.named import SAFE_SUFFIXES, TORCH_SUFFIXES, local_path, missing_path
from foretoll.models.shards import INDEX_SUFFIX, index_in, shard_files

_LONGEST_HEADER = 16 * 2**20  # bytes: 200,000 tensors and more
_WRAPPERS = (
    "state_dict", "model_state_dict", "model_state", "model", "network", "net", "weights", "module", "params",
    "swa_model", "swa_state_dict", "state_dict_ema", "ema_state_dict", "model_ema", "params_ema", "ema",
)  # fmt: skip
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
_PIECE = 2**22  # values that are looked at together
_DEEPEST = 8  # dicts around a state dict
_AVERAGED = ("ema", "swa", "avg", "average", "teacher")  # in the prefix of a second copy of the weights


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file, or in a torch file by weights_only=True, on the CPU.

    Weights in several files are read by their index (model.safetensors.index.json). Training checkpoints that wrap
    the state dict ("state_dict", "model", …) are unwrapped. Raises ModelError for a
    missing or truncated file, an unknown suffix, a pickled model, or a file without weights.
    """
    file = local_path(path)
    if file.is_dir():
        inside = file / "model.safetensors"
        index = None if inside.is_file() else index_in(file)
        if index is None and not inside.is_file():
            raise ModelError(
                f"the folder {shown(file)} holds no model.safetensors; name the weights file itself"
            )
        file = index or inside
    if not file.is_file():
        raise ModelError(missing_path("weights file", file))
    if file.suffix in SAFE_SUFFIXES:
        return _read_safetensors(file)
    if file.suffix in TORCH_SUFFIXES:
        return _unwrap(_read_torch(file), file)
    if file.name.endswith(INDEX_SUFFIX):
        return _read_shards(file)
    raise ModelError(
        f"{one_line(str(file), 80)} has a suffix that weights do not have; valid are "
        f"{', '.join(SAFE_SUFFIXES + TORCH_SUFFIXES)}"
    )


def read_metadata(file: Path) -> dict[str, str]:
    """The texts in the header of a .safetensors file. Raises ModelError for a truncated or invalid file."""
    from safetensors import safe_open

    with _safetensors(file), safe_open(file, framework="pt") as content:
        return content.metadata() or {}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    with _safetensors(file):
        return load_file(file)  # mapped: a tensor takes memory when it is looked at


@contextlib.contextmanager
def _safetensors(file: Path) -> Iterator[None]:
    """Check how long the header says it is before anybody believes it, and say what is wrong with a file."""
    from safetensors import SafetensorError

    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError(f"its header claims {length:,} bytes")
        yield
    except (SafetensorError, OSError, ValueError) as error:
        check_refused(error, shown(file), ModelError)
        raise ModelError(
            f"{shown(file)} cannot be read as safetensors ({_line(error)}): it is truncated or of another format; "
            "copy it again"
        ) from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for file, names in shard_files(index).items():
        part = read_weights(file)
        absent = [name for name in names if name not in part]
        if absent:
            raise ModelError(
                f"{shown(file, 120)} lacks {len(absent)} of the tensors that its index says are there "
                f"({shown(absent[0])}, …): copy it again"
            )
        state |= {name: part[name] for name in names}
    return state


def _read_torch(file: Path) -> Any:
    name = one_line(str(file), 80)
    try:
        with file.open("rb") as stream:
            start = stream.read(4)
    except OSError as error:
        check_refused(error, name, ModelError)
        raise
    truncated = ModelError(f"{name} is truncated or no torch file: copy or save it again")
    if not start or (start[:2] == b"PK" and not zipfile.is_zipfile(file)):
        raise truncated
    archive = zipfile.is_zipfile(file)
    if archive:
        check_archive(file)
    try:  # of an archive the tensors are mapped: one takes memory when it is looked at
        return torch.load(file, map_location="cpu", weights_only=True, mmap=archive or None)
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "global" not in str(error).lower():
            raise truncated from error
        raise ModelError(
            f"{name} holds a pickled object, and foretoll never unpickles, since that can run any code: where it was "
            "made, save the weights alone with torch.save(model.state_dict(), 'weights.pt'), and name the architecture "
            "with --arch"
        ) from error
    except Exception as error:  # on arbitrary bytes torch's reader raises nearly anything
        raise truncated from error


def _unwrap(content: Any, file: Path) -> dict[str, Tensor]:
    for _ in range(_DEEPEST):  # a file may hold a dict that holds itself
        if not isinstance(content, Mapping):
            break
        tensors = {k: v for k, v in content.items() if isinstance(v, Tensor) and isinstance(k, str)}
        inner = next((content[k] for k in _WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            if tensors:
                check_plain(tensors, file)
                return tensors
            break
        content = inner
    raise ModelError(
        f"{one_line(str(file), 80)} holds no state dict; save the weights with torch.save(model.state_dict(), "
        "'weights.pt')"
    )


def strip_prefixes(state: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """The network's own part of a state dict, under the network's names.

    Prefixes that wrappers put before names ("module.", "model.", "_orig_mod.", …) are taken off where the network
    does not use them. What a wrapper keeps beside the network (a loss, averaged weights, counters) is left out, but
    only where every name of the network is found.
    """
    own = set(names)
    prefix = _whole_prefix(state, names)
    if prefix is not None:
        inside = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        return {key: value for key, value in inside.items() if key in own or "." in key or value.numel() != 1}
    state = dict(state)
    while state:
        prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None or any(name.startswith(prefix) for name in names):
            break
        state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def _whole_prefix(state: Mapping[str, Tensor], names: Sequence[str]) -> str | None:
    """The prefix under which a state dict has every name of the network; of several, not that of averaged weights."""
    if not names:
        return None
    probe = max(names, key=len)
    found = [
        key[: -len(probe)]
        for key in state
        if key == probe or (key.endswith(probe) and key[-len(probe) - 1] == ".")
    ]
    whole = [
        prefix
        for prefix in found
        if (_of_wrappers(prefix) or all(key.startswith(prefix) for key in state))
        and all(prefix + name in state for name in names)
    ]
    return min(whole, key=lambda prefix: (_averaged(prefix), len(prefix)), default=None)


def _of_wrappers(prefix: str) -> bool:
    return all(f"{part}." in _PREFIXES or _averaged(part) for part in prefix.split(".")[:-1])


def _averaged(prefix: str) -> bool:
    return any(word in prefix.lower() for word in _AVERAGED)


def head_classes(state: Mapping[str, Tensor], head: str) -> int | None:
    """Number of classes of the head in a state dict, or None where it has no such head."""
    weight = state.get(f"{head}.weight")
    return None if weight is None else int(weight.shape[0])


def precision_of(state: Mapping[str, Tensor]) -> str:
    """The narrowest floating-point type among the tensors, such as "float16"."""
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    return str(min(kinds, key=lambda kind: kind.itemsize, default="")).removeprefix("torch.")


def fit_state_dict(
    network: nn.Module, state: Mapping[str, Tensor], *, source: str, head: str, new_head: bool = False
) -> None:
    """Load `state` into the network, strictly.

    With `new_head` the head of the file is left out and the network's own is kept. Raises ModelError with counts and
    the first few missing, unexpected and mis-shaped names; a head that alone does not fit is named with both class
    counts. Weights that are NaN or infinite are refused.
    """
    own = network.state_dict()
    state = strip_prefixes(state, list(own))
    source = one_line(source, 60)
    if new_head:
        state = {k: v for k, v in state.items() if not k.startswith(f"{head}.")}
        state |= {k: v for k, v in own.items() if k.startswith(f"{head}.")}
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [n for n in own if n in state and own[n].shape != state[n].shape]
    if not missing and not unexpected and not shapes:
        _check_finite(state, source)  # of what fits: nothing larger than the network is looked at
        network.load_state_dict(state)
        return
    if shapes and not missing and not unexpected and all(n.startswith(f"{head}.") for n in shapes):
        have, want = head_classes(state, head), head_classes(own, head)
        if (
            have != want
            and f"{head}.weight" in shapes
            and own[f"{head}.weight"].shape[1:] == state[f"{head}.weight"].shape[1:]
        ):
            raise ModelError(
                f"all weights in {source} fit except the head {shown(head, 40)}: the model has {have} classes and the "
                f"data have {want}; give it a new head with the option new_head=true, or use the data that it was "
                "trained on"
            )
    parts, several = [], bool(missing) + bool(unexpected) + bool(shapes) > 1
    if missing:
        parts.append(f"{len(missing)} missing ({_some(missing, 28 if several else 100)})")
    if unexpected:
        parts.append(f"{len(unexpected)} unexpected ({_some(unexpected, 24 if several else 100)})")
    if shapes:
        pairs = [f"{n}: file {tuple(state[n].shape)}, model {tuple(own[n].shape)}" for n in shapes]
        parts.append(f"{len(shapes)} of another shape ({_some(pairs, 60 if several else 100)})")
    raise ModelError(
        f"the weights in {one_line(source, 40)} do not fit the architecture: {'; '.join(parts)}; name the one that "
        "they were saved from"
    )


def _some(names: Sequence[str], limit: int) -> str:
    """The first of some names, the very first cut to `limit` characters."""
    text = one_line(names[0], limit)
    for name in names[1:]:
        more = one_line(name, limit)
        if len(text) + len(more) > limit:
            return f"{text}, …"
        text = f"{text}, {more}"
    return text


def _check_finite(state: Mapping[str, Tensor], source: str) -> None:
    unreal = [n for n, value in state.items() if value.is_complex()]
    if unreal:
        raise ModelError(f"{source} holds complex numbers ({_some(unreal, 60)}); save weights that are real")
    broken = [n for n, value in state.items() if value.is_floating_point() and not _is_finite(value)]
    if broken:
        raise ModelError(
            f"{source} holds NaN or infinite weights in {len(broken)} tensors ({_some(broken, 60)}); use weights from "
            "before they diverged"
        )


def _is_finite(value: Tensor) -> bool:
    wide = value if value.dtype.itemsize > 1 else value.float()
    # a piece at a time: of a whole tensor the answer takes as much memory as the tensor
    return all(bool(piece.isfinite().all()) for piece in wide.reshape(-1).split(_PIECE))  # type: ignore[no-untyped-call]


def _line(error: BaseException) -> str:
    return shown(" ".join(str(error).split()), 120)[1:-1]
