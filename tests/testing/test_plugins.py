"""Parts of another distribution: found by their entry points, imported when they are asked for, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from foretoll.decide.policies import POLICIES, get_policy
from foretoll.errors import UsageError
from foretoll.forecast import Case
from foretoll.forecast.case import OTHER, setting_features
from foretoll.ledger import Ledger
from foretoll.measure import open_meter
from foretoll.options import OPTIONS, get_option
from foretoll.records import Outcome, TrainingSettings
from foretoll.report.words import option_name, option_phrase
from foretoll.testing import check_meter, check_option, check_policy, small_data, small_model
from foretoll.workflows import retrain

MODULE = '''
"""Parts of somebody else."""
import sys
from foretoll.data.schemes import DataScheme
from foretoll.decide.policies import Policy, Verdict
from foretoll.indices.table import IndexEntry
from foretoll.measure import ReplayMeter
from foretoll.options.finetune import Finetune


class Gently(Finetune):
    name = "gently"
    summary = "train all weights at a tenth of the rate"
    title = "retrain all weights gently"
    phrase = "Retraining {model} gently"
    lr_factor = 0.1


class Plug(ReplayMeter):
    def __init__(self, watts="7", *, device="cpu"):
        super().__init__(watts=float(watts), by_user=True, device=device)


class Counting(DataScheme):
    name, follows = "counting", "a name"

    def open(self, uri, layout=None):
        import numpy as np

        x = np.arange(240, dtype=np.float32).reshape(120, 2)
        return x, np.arange(120) % 2


def width(source, target):
    return float(target.representations.shape[1])


class Patient(Policy):
    name, title = "patient", "update when the lead held for two batches"
    needs = ("labels", "lead")

    def _due(self, view, choice):
        held = [batch.lead or 0.0 for batch in view.measured[-2:]]
        return Verdict(len(held) == 2 and min(held) > 0, "the lead of the last two batches")


WIDTH = IndexEntry("width", "width", "how wide the representation is", "somebody", compute=width)
BROKEN = 7
'''
POINTS = """
[foretoll.options]
gently = somebody:Gently
broken = somebody:BROKEN
finetune = somebody:Gently

[foretoll.meters]
plug = somebody:Plug

[foretoll.data]
counting = somebody:Counting

[foretoll.policies]
patient = somebody:Patient

[foretoll.indices]
width = somebody:WIDTH
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution in a folder that Python imports from."""
    folder = tmp_path / "site"
    told = folder / "somebody-1.0.dist-info"
    told.mkdir(parents=True)
    (folder / "somebody.py").write_text(MODULE)
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "somebody", raising=False)
    return folder


def test_its_parts_are_named_and_listed_without_being_imported(installed: Path) -> None:
    code = (
        "import sys; from foretoll.options.table import OPTIONS; from foretoll.indices.table import INDICES;"
        "assert 'gently' in OPTIONS and 'gently' in list(OPTIONS) and 'width' in INDICES;"
        "sys.exit(sorted({'torch', 'somebody'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    helped = subprocess.run(
        [sys.executable, "-m", "foretoll.cli", "retrain", "--help"],
        env={"PYTHONPATH": str(installed), "COLUMNS": "200", "TERM": "dumb"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert "gently" in helped.stdout, helped.stderr


def test_its_option_keeps_the_contract_and_is_carried_out(installed: Path, tmp_path: Path) -> None:
    option = get_option("gently")
    check_option(option)
    assert OPTIONS.from_others()["gently"] == "'somebody'"
    data = small_data()
    ledger = Ledger.open(tmp_path / "l.db")
    run = retrain(
        small_model(data),
        data,
        small_data(seed=1, distance=3.0),
        option="gently",
        until=0.6,
        settings=TrainingSettings(max_epochs=1, lr=0.01),
        ledger=ledger,
    )
    assert run.outcome in (Outcome.REACHED, Outcome.CENSORED) and run.option == "gently"
    assert [kept.option for kept in ledger.runs()] == ["gently"]
    assert option_name("gently") == "gently (retrain all weights gently)"
    assert option_phrase("gently", "m") == "Retraining m gently"


def test_what_foretoll_brings_is_never_replaced_and_what_is_broken_is_told(installed: Path) -> None:
    assert type(OPTIONS["finetune"]).__module__ == "foretoll.options.finetune"
    with pytest.raises(UsageError, match=r"'broken' of 'somebody' cannot be used .*update or uninstall"):
        get_option("broken")
    with pytest.raises(UsageError, match="did you mean 'gently'"):
        get_option("gentle")


def test_its_meter_its_data_and_its_index_are_used(installed: Path) -> None:
    check_meter(lambda: open_meter("plug"))
    check_meter(lambda: open_meter("plug:12"))
    from foretoll.data import open_data
    from foretoll.indices.survey import survey

    counted = open_data("counting:up?limit=60")
    assert counted.num_classes == 2 and counted.shape == (2,)
    data = small_data()
    seen = survey(small_model(data), data, small_data(seed=1), TrainingSettings(until=0.9), task_shift=False)
    assert seen.signals["width"] == 8.0


def test_its_policy_keeps_the_contract(installed: Path) -> None:
    policy = get_policy("patient")
    check_policy(policy)
    assert str(policy) == "patient" and POLICIES.from_others()["patient"] == "'somebody'"


def test_a_folder_of_the_place_of_work_plugs_nothing_in(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(installed)
    monkeypatch.setattr(sys, "path", ["", str(installed), *(p for p in sys.path if p != str(installed))])
    assert "plug" not in list(__import__("foretoll.measure").measure.METERS)


def test_the_forecast_tells_its_runs_from_those_of_the_default() -> None:
    case = Case.model_construct(
        option="gently", until=0.9, num_classes=3, lr=0.1, batch_size=8, steps_per_epoch=9, parameters=9,
        has_batch_norm=False, task_shift=False, optimizer="adam",
    )  # fmt: skip
    assert setting_features(case)[f"{OTHER}gently"] == 1.0
    assert not any(
        name.startswith(OTHER) for name in setting_features(case.model_copy(update={"option": "lora"}))
    )
