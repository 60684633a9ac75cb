"""What a stranger's file names is not run by any command, and what the user trusts is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from foretoll.data import open_data
from foretoll.models import Loading, build_model, save_checkpoint
from foretoll.workflows.sharded import ModelRef

from .conftest import Call

FLAGS = "--source digits --target digits?shift=contrast:0.5 --energy none --region DE --quiet"
FACTORY = """
from pathlib import Path
from torch import nn
Path("IMPORTED").touch()

def build(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, num_classes))
"""


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Three checkpoints whose card, card in the header, or nested card would make a file CANARY, and a study."""
    good = save_checkpoint(
        build_model("foretoll:mlp?width=8", data=open_data("digits"), seed=0), tmp_path / "good"
    )
    weights = load_file(good / "model.safetensors")
    card: dict[str, Any] = json.loads((good / "model.json").read_text())
    evil = {**card, "arch": "os:system", "arch_options": {"command": "touch CANARY"}}
    nested = {**card, "program": {"program": "pad", "mapping": "fixed", "source": evil}}
    for name, inside, beside in (("card", evil, evil), ("header", evil, card), ("nested", nested, nested)):
        shutil.copytree(good, tmp_path / name)
        (tmp_path / name / "model.json").write_text(json.dumps(beside))
        metadata = {"foretoll": json.dumps(inside), "format": "pt"}
        save_file(weights, tmp_path / name / "model.safetensors", metadata=metadata)
    (tmp_path / "study.toml").write_text(
        'schema = "foretoll.study/1"\nname = "s"\ndescription = "x"\n[models]\nm = "os:system?command=touch CANARY"\n'
        '[[sources]]\nname = "a"\nsource = "digits?part=1/2"\ntarget = "digits?part=2/2"\n[shifts]\ncontrast = [0.5]\n'
    )
    return tmp_path


@pytest.mark.parametrize("command", ["estimate", "retrain", "compare"])
def test_no_door_runs_what_a_file_names(command: str, stranger: Path, call: Call) -> None:
    for door in ("card", "header", "nested"):
        done = call(f"{command} --model {door} {FLAGS}")
        assert done.code == 1
        assert f"the model card in '{door}' names code to run, 'os:system'" in done.err
        assert "--trust-code" in done.err
        assert done.err.count("\n") == 1
        assert len(done.err) <= 300
    assert not (stranger / "CANARY").exists()
    done = call(f"{command} --model card --trust-code {FLAGS}")  # trusted, but no network can come of it
    assert "standard library" in done.err
    assert not (stranger / "CANARY").exists()


@pytest.mark.parametrize("plan", ["--plan", ""])
def test_a_study_runs_nothing_that_its_file_names(plan: str, stranger: Path, call: Call) -> None:
    done = call(f"study run study.toml {plan} --energy none --region DE")
    assert done.code == 1
    assert "names code to run, 'os:system'" in done.err
    assert len(done.err) <= 300
    assert not (stranger / "CANARY").exists()
    assert not (stranger / "study-s").exists()


def test_what_the_user_trusts_is_run(call: Call, tmp_path: Path) -> None:
    (tmp_path / "trusted_builders.py").write_text(FACTORY)
    save_checkpoint(build_model("trusted_builders:build", data=open_data("digits"), seed=0), tmp_path / "m")
    flags = f"--option keep --until 0.1 {FLAGS} --out out"
    assert call(f"retrain --model m {flags}").code == 1
    assert call(f"retrain --model m --trust-code {flags}").code == 0
    assert call(f"retrain --model trusted_builders:build --weights m {flags}").code == 0
    with pytest.raises(Exception, match="names code to run"):  # in a worker as well
        ModelRef(str(tmp_path / "m"), "digits", 0).load()
    assert ModelRef(str(tmp_path / "m"), "digits", 0, Loading(trust_code=True)).load().num_classes == 10
