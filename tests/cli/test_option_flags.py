"""Flags for the options' own settings: who takes them, and who does not."""

from __future__ import annotations

import pytest
from typer.main import get_command

from foretoll.cli import app
from foretoll.commands.options_flags import PANEL, OptionFlags, option_flags
from foretoll.errors import UsageError
from foretoll.options import OPTIONS, get_option


def applied(options: list[str] | None, **given: str) -> list[str]:
    return OptionFlags.of({**dict.fromkeys(option_flags()), **given}).applied(options)


@pytest.mark.parametrize("command", ["estimate", "retrain", "compare"])
def test_the_commands_have_a_flag_for_each_setting(command: str) -> None:
    found = {o.name: o for o in get_command(app).commands[command].params}  # type: ignore[attr-defined]
    assert {"program", "mapping", "optimiser", "student"} <= set(option_flags())
    for name, text in option_flags().items():
        assert (found[name].opts, found[name].help, found[name].rich_help_panel) == (
            [f"--{name}"],
            text,
            PANEL,
        )


def test_each_option_gets_what_it_takes_and_the_others_stay() -> None:
    assert applied(["head", "reprogram"]) == ["head", "reprogram"]
    found = applied(["head", "reprogram", "reprogram+head"], program="pad", optimiser="spsa_gc")
    assert found == ["head", "reprogram?program=pad&optimiser=spsa_gc", "reprogram+head?program=pad"]
    assert applied(["reprogram?mapping=linear"], program="pad") == ["reprogram?program=pad&mapping=linear"]


def test_without_options_all_of_them_are_meant() -> None:
    student = "foretoll:cnn?width=4&norm=none"
    found = applied(None, student=student)
    assert [name.partition("?")[0] for name in found] == list(OPTIONS)
    [distill] = [get_option(name) for name in found if name.startswith("distill")]
    assert vars(distill)["student"] == student


@pytest.mark.parametrize(
    ("options", "given", "said"),
    [
        (["finetune"], {"program": "pad"}, "--program is a setting of other options, not of finetune"),
        (["reprogram"], {"program": "pda"}, "did you mean 'pad'"),
        (["reprogram+head"], {"optimiser": "spsa_gc"}, "not of reprogram.head"),
        (["reprogram?program=full"], {"program": "pad"}, "say it once"),
        (["reprogramm"], {"program": "pad"}, "did you mean 'reprogram'"),
    ],
)
def test_mistakes_are_told(options: list[str], given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        applied(options, **given)
