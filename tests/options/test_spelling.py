"""Options by name, with settings of their own, and as objects."""

from __future__ import annotations

import pytest

from foretoll.errors import UsageError
from foretoll.options import OPTIONS, Option, get_option, traits_of
from foretoll.options.finetune import Finetune
from foretoll.options.reprogram import Reprogram
from foretoll.options.spelling import in_words
from foretoll.options.table import named


def test_settings_after_the_name_make_an_option_of_the_same_kind() -> None:
    option = get_option("reprogram?program=pad&mapping=linear")
    assert isinstance(option, Reprogram)
    assert (option.program, option.mapping) == ("pad", "linear")
    assert OPTIONS["reprogram"] is not option
    assert traits_of("reprogram?program=pad") is OPTIONS["reprogram"]


def test_an_object_with_settings_is_spelled_as_it_can_be_named() -> None:
    text = named(Reprogram(program="pad"))
    assert text == "reprogram?program=pad"
    again = get_option(text)
    assert isinstance(again, Reprogram) and again.program == "pad"
    assert named(Finetune()) == "finetune" == named("finetune")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("reprogram?programme=pad", "did you mean 'program'"),
        ("reprogram?program", "program has no value"),
        ("finetune?lr=1", "no settings of its own"),
        ("fintune", "did you mean 'finetune'"),
    ],
)
def test_mistakes_are_told(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        get_option(text)


def test_no_other_option_takes_a_name_that_foretoll_has() -> None:
    class Mine(Finetune):
        pass

    with pytest.raises(UsageError, match="is taken"):
        named(Mine())
    with pytest.raises(UsageError, match="is no option"):
        get_option(object())  # type: ignore[arg-type]


def test_an_option_that_is_not_installed_is_taken_for_one_that_trains() -> None:
    unknown = traits_of("of somebody else")
    assert unknown.takes_steps and unknown.reuses_weights and not isinstance(unknown, Option)


def test_an_option_in_words_names_what_was_set() -> None:
    assert in_words("head") == "head"
    assert (
        in_words("reprogram?program=low_rank&mapping=linear")
        == "reprogram with program low rank, mapping linear"
    )
