"""The card of a life lies in a ledger, which may be a stranger's: an option that it names runs no code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foretoll.errors import ModelError
from foretoll.records import Decision
from foretoll.workflows.life import Life

from .worlds import ACCOUNTING, build, start

STUDENT = """
from pathlib import Path
from torch import nn
Path("IMPORTED").touch()

def build(num_classes):
    return nn.Linear(2, num_classes)
"""


def test_an_option_of_a_card_names_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "students_of_a_life.py").write_text(STUDENT)
    build(tmp_path, batches=1)
    option = "distill?student=students_of_a_life:build"
    start(tmp_path, policy="every", options=(option,), worth=None, floor=0.99, window=1)
    read = Life.open("shop", ledger=str(tmp_path / "ledger.db"))
    with pytest.raises(
        ModelError, match=r"the life 'shop' names code to run, 'students_of_a_life:build'.*--trust"
    ):
        read.watch(f"npz:{tmp_path}/w0.npz")
    update = Decision(action="update", option=option, reason="as recorded", after=1, policy="every")
    with pytest.raises(ModelError, match="names code to run"):
        read.carry_out(update)
    assert not (tmp_path / "IMPORTED").exists()
    assert "students_of_a_life" not in sys.modules
    trusted = Life.open("shop", ledger=str(tmp_path / "ledger.db"), trust_code=True, accounting=ACCOUNTING)
    trusted.carry_out(trusted.decide())
    assert (tmp_path / "IMPORTED").exists()
