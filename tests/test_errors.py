"""Messages repeat text from users and files safely."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.errors import SHOWN, shown


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_shown_is_printable_and_short(text: str) -> None:
    said = shown(text)
    assert said.isprintable()
    assert len(said) <= SHOWN + 2
    said.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain name", "'plain name'"),
        ("\x1b[31mred", "'\\x1b[31mred'"),
        ("two\nlines", "'two\\nlines'"),
        ("left\u202eright", "'left\\u202eright'"),
        ("lone \udcff", "'lone \\udcff'"),
        ("a" * 100, f"'{'a' * 79}…'"),
    ],
)
def test_shown(text: str, said: str) -> None:
    assert shown(text) == said
