"""Flags that belong together: a command takes a bundle as one parameter, and has the flags of all its fields."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import MISSING, asdict, dataclass, fields
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

Command = Callable[..., None]


@dataclass(frozen=True)
class Bundle:
    """Flags as the fields of a dataclass, each `Annotated` with its typer.Option."""

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """The parameters that a command has for it."""
        hints = get_type_hints(cls, include_extras=True)
        return [
            Parameter(
                field.name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty if field.default is MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in fields(cls)
        ]

    @classmethod
    def of(cls, given: dict[str, Any]) -> Bundle:
        """The bundle of what was typed, by name."""
        return cls(**given)

    def around(self) -> AbstractContextManager[None]:
        """What holds while the command runs."""
        return nullcontext()

    def values(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def unfolded(command: Command) -> Command:
    """The command with the flags of its bundles, in the order in which it takes them."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[Parameter] = []
    bundles: dict[str, tuple[type[Bundle], list[str]]] = {}
    for name, parameter in signature(command).parameters.items():
        hint = hints[name]
        if isinstance(hint, type) and issubclass(hint, Bundle):
            own = hint.parameters()
            bundles[name] = (hint, [p.name for p in own])
            parameters += own
        else:
            parameters.append(parameter.replace(annotation=hint, kind=Parameter.KEYWORD_ONLY))

    def called(**given: Any) -> None:
        with ExitStack() as stack:
            for name, (kind, names) in bundles.items():
                given[name] = kind.of({own: given.pop(own) for own in names})
                stack.enter_context(given[name].around())
            command(**given)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    called.__annotations__ = {p.name: p.annotation for p in parameters}
    return called
