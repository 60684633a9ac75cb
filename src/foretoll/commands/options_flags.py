"""Flags for settings of the options' own (`--program pad`), made from what the options say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated, Any

import typer

from foretoll.commands.bundles import Bundle
from foretoll.options.spelling import with_flags
from foretoll.options.table import OPTIONS, get_option

PANEL = "Options' own settings"


def option_flags() -> dict[str, str]:
    """The flags of the options that foretoll brings, each with its help; those of others are set in their names."""
    return {key: text for name in OPTIONS.built_in for key, text in OPTIONS[name].flags.items()}


@dataclass(frozen=True, init=False)
class OptionFlags(Bundle):
    """What was typed of the options' own settings."""

    given: dict[str, str]

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """A flag for each setting; what is not typed is not said."""
        return [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[str | None, typer.Option(f"--{name}", help=text, rich_help_panel=PANEL)],
            )
            for name, text in option_flags().items()
        ]

    @classmethod
    def of(cls, given: dict[str, Any]) -> OptionFlags:
        """What was typed."""
        flags = cls()
        object.__setattr__(
            flags, "given", {name: value for name, value in given.items() if value is not None}
        )
        return flags

    def applied(self, options: Sequence[str] | None) -> list[str]:
        """The options, all of them where none is named, with the settings that each takes.

        Raises UsageError for a name that there is not, and for a setting that none of them takes.
        """
        names = list(options or OPTIONS)
        return with_flags([get_option(name) for name in names], self.given) if self.given else names
