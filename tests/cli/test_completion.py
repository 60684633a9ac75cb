"""Shell completion: the library's script, and what it offers, by the real entry point."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FORETOLL = [sys.executable, "-c", "from foretoll.cli import main; main()"]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("foretoll est", "estimate"), ("foretoll ledger pa", "page"), ("foretoll compare --budg", "--budget")],
)
def test_commands_and_options_are_completed(typed: str, offered: str) -> None:
    words = typed.split()
    asked = {"_FORETOLL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    done = subprocess.run(
        FORETOLL, env=os.environ | asked, check=False, capture_output=True, text=True, timeout=120
    )
    assert offered in done.stdout.split(), (done.stdout, done.stderr)


def test_the_script_for_a_shell_is_shown() -> None:
    asked = {"_FORETOLL_COMPLETE": "source_bash"}
    done = subprocess.run(FORETOLL, env=os.environ | asked, check=False, capture_output=True, text=True)
    assert "_FORETOLL_COMPLETE=complete_bash" in done.stdout and "foretoll" in done.stdout
