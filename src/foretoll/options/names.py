"""Parts of a network by the beginning of their names, as settings give them.

A beginning is a whole part of a dotted name: `layer1` is not the beginning of `layer10`. `head` and `backbone` stand
for the layers that classify and for all others, where the network itself has no part of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from foretoll.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from foretoll.models import Model

HEAD, BACKBONE = "head", "backbone"


def named_by(prefix: str, names: Iterable[str], model: Model, *, where: str) -> list[str]:
    """The names that begin with `prefix`.

    Raises UsageError, with the nearest beginnings, where the network has no such part. A part of it that none of
    `names` belongs to (it is not trained) is no mistake.
    """
    every = list(names)
    network = [name for name, _ in model.network.named_modules()] + every
    role = _role(prefix, network)
    if role:
        return [name for name in every if _in_head(name, model) is (role == HEAD)]
    if not any(_begins(name, prefix) for name in network):
        parts = {".".join(name.split(".")[:depth]) for name in network if name for depth in (1, 2)}
        raise UsageError(f"{where}: {unknown_name('part of the network', prefix, {HEAD, BACKBONE, *parts})}")
    return [name for name in every if _begins(name, prefix)]


def modules_by(prefix: str, model: Model) -> list[nn.Module]:
    """The modules that begin with `prefix`, those within them included."""
    modules = dict(model.network.named_modules())
    role = _role(prefix, modules)
    if not role:
        return [module for name, module in modules.items() if _begins(name, prefix)]
    return [
        module
        for name, module in modules.items()
        if (
            _in_head(name, model) if role == HEAD else not (_in_head(name, model) or _holds_head(name, model))
        )
    ]


def _role(prefix: str, names: Iterable[str]) -> str:
    """`head` or `backbone` where that is what is meant."""
    known = prefix in (HEAD, BACKBONE) and not any(_begins(name, prefix) for name in names)
    return prefix if known else ""


def _in_head(name: str, model: Model) -> bool:
    return any(_begins(name, head) for head in model.head_names())


def _holds_head(name: str, model: Model) -> bool:
    return not name or any(head.startswith(f"{name}.") for head in model.head_names())


def _begins(name: str, prefix: str) -> bool:
    plain = prefix.strip(".")
    return name == plain or name.startswith(f"{plain}.")
