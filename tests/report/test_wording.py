"""What users read is plain English of the field: words that were translated from elsewhere stay away."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import foretoll

PACKAGE = Path(foretoll.__file__).parent
AWAY = re.compile(
    r"\btold\b(?! apart)|\bforetell(?:s|ing)?\b|\bforetold\b|still (?:linearly )?readable|"
    r"\bcarr(?:y|ies|ied|ying) (?:\w+ ){0,3}?out\b|on the front|\bgets? there\b|miss(?:es)? the new classes|"
    r"of them taken|\btaken as (?:a new|the same)\b|which is what it is|would do, at|kept apart\b.*data|leave open \(|"
    r"\blooked for\b|nearest \S+ within|could not be known",
    re.IGNORECASE,
)


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Every text of a file that may be shown: all but docstrings, save those of commands, which are their help."""
    tree = ast.parse(path.read_text("utf-8"))
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            re.search(r"\.(?:command|callback)\b", ast.unparse(decorator))
            for decorator in node.decorator_list
        ):
            first = node.body[0]
            if isinstance(first, ast.Expr):
                documentation.discard(id(first.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, " ".join(node.value.split())


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_sentence_has_a_word_that_readers_stumble_over(path: Path) -> None:
    found = [f"{line}: {text}" for line, text in sentences(path) if AWAY.search(text)]
    assert not found


def test_the_words_are_looked_for_where_users_read(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        '"""This was told."""\n'
        "X = 1\n"
        '"""Also told."""\n'
        "@app.command()\ndef go():\n    '''Foretell it.'''\n    say(f'it was foretold: {X}')\n"
    )
    assert [line for line, text in sentences(file) if AWAY.search(text)] == [6, 7]
    for text in ("two told apart", "foretoll", "the toll of retraining", "carried on", "a look at the data"):
        assert not AWAY.search(text), text
    for text in (
        "900 of them taken",
        "taken as the same task",
        "a target, which is what it is expected to reach",
    ):
        assert AWAY.search(text), text
    for text in ("carry it out", "carried out", "the nearest 8 within 0.83", "what is still readable"):
        assert AWAY.search(text), text
