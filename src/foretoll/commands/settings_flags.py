"""The flags of a training, made from the record of its settings, and `--settings`, a file of the same names.

What is typed wins over the file, the file over what stands behind it (`precedence`). A setting needs nothing here:
its name, type, help and limits are those of its field.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from foretoll.commands.bundles import Bundle
from foretoll.commands.precedence import Behind, Given
from foretoll.errors import UsageError, nearest_name, one_line, read_small, shown
from foretoll.records import TrainingSettings
from foretoll.records.settings import MOST_EPOCHS, setting_fields
from foretoll.tasks import check_until

AUTO = "auto"
MOST_BYTES = 1_000_000  # of a settings file
PANEL = "Training"
FILE_HELP = "file (TOML) of training settings by these names, as in docs/settings.md; flags win over it"


@dataclass(frozen=True, init=False)
class SettingsFlags(Bundle):
    """What was typed of the training's settings."""

    defaults: ClassVar[dict[str, Any]] = {}  # where a command's own differ from the record's
    helps: ClassVar[dict[str, str]] = {}  # where a command's own say something else
    typed: ClassVar[dict[str, Any]] = {}  # where a command reads another type than the record has
    may_look_for_rate: ClassVar[bool] = True

    file: Path | None
    given: dict[str, Any]
    behind: dict[str, Given]

    @classmethod
    def parameters(cls) -> list[Parameter]:
        """A flag for each setting, without a default of its own: what is not typed is not said."""
        file = Annotated[Path | None, typer.Option("--settings", help=FILE_HELP, rich_help_panel=PANEL)]
        found = [_parameter("settings_file", file)]
        for name, field in setting_fields().items():
            default = None if name == "lr" else cls.defaults.get(name, field.default)
            help_ = cls.helps.get(name, field.description or "")
            extra: Any = field.json_schema_extra
            kind = cls.typed.get(name) or _typed_as(field.annotation, text=extra["text"])
            found.append(_parameter(name, _flag(name, field, kind, help_, default)))
        return found

    @classmethod
    def of(cls, given: dict[str, Any]) -> SettingsFlags:
        """What was typed; nothing is checked or read yet."""
        flags = cls()
        typed = {
            name: value for name, value in given.items() if value is not None and name != "settings_file"
        }
        object.__setattr__(flags, "file", given["settings_file"])
        object.__setattr__(flags, "given", typed)
        object.__setattr__(flags, "behind", {})
        return flags

    def read(self) -> tuple[TrainingSettings, Literal["auto"] | None]:
        """The settings, and whether a learning rate is to be looked for.

        A rate that was not named, or is to be looked for, is left unset: it depends on the option. Raises UsageError
        that names every mistake of flags and file.
        """
        stored = {} if self.file is None else _read(self.file)
        known = setting_fields()
        problems = [f"unknown setting {nearest_name(name, known)}" for name in stored if name not in known]
        in_file = {n: v for n, v in stored.items() if n in known}
        object.__setattr__(self, "behind", self._behind({**in_file, **self.given}))
        behind = {name: given.value for name, given in self.behind.items()}
        values = {**self.defaults, **behind, **in_file, **self.given}
        auto = values.get("lr") == AUTO and self.may_look_for_rate
        if auto:
            del values["lr"]
        problems += self._numbers(values)
        try:
            settings = TrainingSettings.model_validate(values)
        except ValidationError as error:
            problems += [text for text in dict.fromkeys(map(self._told, error.errors())) if text]
        if problems:
            elsewhere = (*map(_long, self.given), *(given.origin for given in self.behind.values()))
            of_file = self.file is not None and any(not text.startswith(elsewhere) for text in problems)
            raise UsageError(f"{self.file}: " * of_file + "; ".join(problems))
        return settings, "auto" if auto else None

    def _behind(self, nearer: Mapping[str, Any]) -> dict[str, Given]:
        """What the environment or the project's file says of settings that nothing nearer says."""
        found = {n: given for n, given in Behind.here().settings.items() if n not in nearer}
        if found.get("lr", Given("", "")).value == AUTO and not self.may_look_for_rate:
            del found["lr"]
        return found

    def _numbers(self, values: dict[str, Any]) -> list[str]:
        """What the record cannot say of a rate and a budget; such values are taken out."""
        problems = []
        lr, epochs = values.get("lr"), values.get("max_epochs")
        if isinstance(lr, str):
            try:
                values["lr"] = float(lr)
            except ValueError:
                values["lr"] = math.nan
            if math.isnan(values["lr"]) or (self.may_look_for_rate and not 0 < values["lr"] < math.inf):
                ways = ", or auto to search for one" if self.may_look_for_rate else ""
                name = self._name("lr")
                problems.append(
                    f"{name} {shown(lr)} is no learning rate: give a number above 0 such as 3e-4{ways}"
                )
                del values["lr"]
        if isinstance(epochs, int | float) and epochs > MOST_EPOCHS:
            problems.append(
                f"{self._name('max_epochs')} {epochs:g} is more than {MOST_EPOCHS:,}: give a budget that can be spent"
            )
            del values["max_epochs"]
        return problems

    def _name(self, setting: str) -> str:
        """A setting as whoever gave it wrote it."""
        if setting in self.behind:
            return self.behind[setting].origin
        in_file = self.file is not None and setting not in self.given
        return setting if in_file else _long(setting)

    def _told(self, error: Any) -> str:
        """One of pydantic's findings as part of a sentence."""
        text = str(error["msg"]).removeprefix("Value error, ")
        if not error["loc"]:
            return text
        name, value = str(error["loc"][0]), error["input"]
        if text.startswith("unknown "):  # it says the value itself
            return f"{self._name(name)}: {text}"
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        plain = text.lower() if text.startswith("Input") else text
        told = shown(value, 40) if isinstance(value, str) else repr(value)[:40]
        return f"{self._name(name)} {told}: {plain}"


class EstimateFlags(SettingsFlags):
    """Those of `estimate`, which forecasts several quality targets at once: `--until 0.85,0.9,0.95`."""

    helps: ClassVar[dict[str, str]] = {
        "until": "quality to reach on the validation split, in the metric's unit, or several by commas: of these the "
        "first is what everything but their own table is about; without it 95 % of that on the source (same task only)",
    }
    typed: ClassVar[dict[str, Any]] = {"until": str}

    targets: tuple[float, ...]

    @classmethod
    def of(cls, given: dict[str, Any]) -> EstimateFlags:
        """What was typed; UsageError for targets that are no numbers, or too many."""
        from foretoll.decide.allowance import several_targets

        targets = () if given["until"] is None else several_targets(given["until"])
        flags = super().of({**given, "until": targets[0] if targets else None})
        assert isinstance(flags, EstimateFlags)  # noqa: S101  (for the type checker)
        object.__setattr__(flags, "targets", targets)
        return flags

    def read(self) -> tuple[TrainingSettings, Literal["auto"] | None]:
        """The settings, with the first target; UsageError where one of the targets is no quality of the metric."""
        settings, lr = super().read()
        for target in self.targets:
            check_until(target, settings.metric)
        return settings, lr


class TrainFlags(SettingsFlags):
    """Those of `train`, which starts from nothing: there is a rate of its own."""

    defaults: ClassVar[dict[str, Any]] = {"max_epochs": 10.0}
    helps: ClassVar[dict[str, str]] = {
        "until": "quality on the validation split to stop at, in the metric's unit",
        "lr": "learning rate; without it 0.001",
    }
    may_look_for_rate: ClassVar[bool] = False


def _long(setting: str) -> str:
    return f"--{setting.replace('_', '-')}"


def _parameter(name: str, annotation: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _flag(name: str, field: FieldInfo, kind: Any, help_: str, default: Any) -> Any:
    """The flag of a field, as typer reads it."""
    extra: Any = field.json_schema_extra
    long = _long(name)
    names = [f"{long}/--no-{long[2:]}" if kind is bool else long, *filter(None, [extra["short"]])]
    option = typer.Option(
        *names, help=help_, rich_help_panel=PANEL, show_default=_default(default), **extra["flag"]
    )
    return Annotated[kind | None, option]


def _typed_as(annotation: Any, *, text: bool) -> Any:
    """The type of what is typed: numbers and switches as they are, a list where there may be several, else a text."""
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind is not type(None)]
    if not text and len(kinds) == 1 and kinds[0] in (bool, int, float):
        return kinds[0]
    several = any(get_origin(kind) is dict for kind in (annotation, *kinds)) or Ellipsis in kinds
    return list[str] if several else str


def _default(value: Any) -> str | bool:
    """What the help says of a default; nothing where there is none."""
    if value is None or value in ((), {}) or isinstance(value, bool):
        return False
    return (
        ",".join(f"{v:g}" for v in value)
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _read(path: Path) -> dict[str, Any]:
    """What a settings file holds; UsageError where it cannot be read or is no TOML."""
    name = shown(path, 100)[1:-1]
    try:
        return tomllib.loads(read_small(path, MOST_BYTES).decode("utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"the settings file {name} cannot be read: {reason}; check its path") from None
    except (ValueError, RecursionError) as error:
        reason = one_line(str(error), 100) if isinstance(error, ValueError) else "it is nested too deeply"
        raise UsageError(f"{name} is no TOML file: {reason}") from None
