"""What a file may bring about: names and numbers are read from it, and code that it alone names is never imported.

A factory (``package.module:function``) that builds a network is the user's own code where the user names it in the
call. The same words on a model card, in a study file or on any other file are a stranger's: they are refused before
anything is imported, the module included, unless the user named the very same factory, with the very same options, or
said that files are trusted (`trust_code`, `--trust-code`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretoll.errors import ModelError, UsageError, shown

if TYPE_CHECKING:
    from foretoll.models.spec import Spec

# options by which a library's builder reads files or fetches something, rather than shapes a network
_REACHING = frozenset(
    ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_strict", "checkpoint_path", "cache_dir",
     "weights", "weights_backbone", "progress")
)  # fmt: skip


_NAME_IT = "name it yourself (--model FACTORY --weights FOLDER) or "


@dataclass(frozen=True)
class Trust:
    """The factories that may be imported.

    named: factories with their options, as `factory_key` writes them, that the user named in this call
    everything: whatever a file names (the user passed `trust_code`)
    """

    named: frozenset[str] = frozenset()
    everything: bool = False

    @classmethod
    def of_call(cls, spec: Spec, *, everything: bool = False) -> Trust:
        """What a call allows whose user named `spec`."""
        named = frozenset({factory_key(spec)}) if spec.scheme == "factory" else frozenset()
        return cls(named, everything)

    def check(self, spec: Spec, where: str, *, way: str = _NAME_IT) -> None:
        """Raise ModelError where `spec`, which `where` says, names a factory that may not be imported."""
        if spec.scheme != "factory" or self.everything or factory_key(spec) in self.named:
            return
        raise ModelError(
            f"{where} names code to run, {shown(spec.name, 60)}, and no file may do that: if you know this code, {way}"
            "pass --trust-code (Python: trust_code=True)"
        )


def factory_key(spec: Spec) -> str:
    """A factory with the options that it gets: what must be the same for it to be the very same."""
    return f"{spec.name}?{json.dumps(spec.build_options, sort_keys=True, default=str)}"


def check_build_options(spec: Spec) -> None:
    """Raise UsageError for options of a library's builder that would read a file or fetch weights.

    timm's `checkpoint_path`, for one, unpickles in some of its versions. Weights are named by --weights.
    """
    if spec.scheme not in ("timm", "torchvision"):
        return
    for name in spec.build_options:
        if name in _REACHING:
            raise UsageError(
                f"{spec.scheme}:… takes no option {name!r}, which reads files or fetches weights by itself: name the "
                "weights with --weights"
            )


def check_configuration(content: Mapping[str, Any], where: str) -> None:
    """Raise ModelError where a transformers configuration would fetch or read something that the user did not name.

    No code of the folder itself is ever run (`trust_remote_code=False`), whatever its `auto_map` says.
    """
    for part in _parts(content):
        for key in ("attn_implementation", "_attn_implementation", "experts_implementation"):
            value = str(part.get(key) or "")
            if "/" in value:
                raise _reaching(where, key, value)
        backbone = part.get("backbone")
        if isinstance(backbone, str) and (part.get("use_pretrained_backbone") or "/" in backbone):
            raise _reaching(where, "backbone", backbone)
        named = str(part.get("architecture") or "")
        if ":" in named or "/" in named:
            raise _reaching(where, "architecture", named)
        arguments = part.get("model_args")
        for key, value in arguments.items() if isinstance(arguments, dict) else ():
            if key in _REACHING:
                raise _reaching(where, key, value)


def check_configuration_file(folder: Path, where: str) -> None:
    """`check_configuration` of the config.json in a folder, before transformers reads it."""
    try:
        with (folder / "config.json").open("rb") as stream:
            content = stream.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST:,} bytes")
        read = json.loads(content)
        if not isinstance(read, dict):
            raise ValueError("it holds no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(
            f"no transformers configuration can be read from {where} ({shown(reason)[1:-1]}); save one there with "
            "save_pretrained"
        ) from error
    check_configuration(read, where)


def _parts(content: Any, depth: int = 0) -> list[Mapping[str, Any]]:
    """A configuration and those within it."""
    if depth > _DEEPEST or not isinstance(content, Mapping | list | tuple):
        return []
    inside = list(content.values()) if isinstance(content, Mapping) else list(content)
    found = [part for value in inside for part in _parts(value, depth + 1)]
    return [content, *found] if isinstance(content, Mapping) else found


_DEEPEST = 8  # configurations nest twice or three times
_LONGEST = 16 * 2**20  # bytes of a config.json: the names of 100,000 classes and more


def _reaching(where: str, key: str, value: object) -> ModelError:
    return ModelError(
        f"{where} says {key} = {shown(value)}, by which transformers would load something that you did not name; take "
        "it out of the folder's config.json"
    )
