"""The commands from end to end, on real data, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer import Typer

from foretoll.cli import app
from foretoll.indices.table import INDICES
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.records import Estimate, Outcome, Run

from .conftest import Call

QUIET = "--energy watts:30 --region DE --quiet"
SOURCE = "--source 'digits?part=1/2&limit=300'"
NOISY = "--target 'digits?part=2/2&limit=300&shift=gaussian_noise:0.3'"
ESTIMATE_KEYS = set(
    "schema model source target shift option until indices signals forecast reach_probability coverage basis "  # noqa: SIM905
    "self_cost warnings".split()
)
COSTS = {"epochs", "gradient_norm", "parameter_change", "energy_kwh", "emissions_kg", "duration_s"}


def in_a_shell(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as a shell starts it."""
    kept = {k: v for k, v in os.environ.items() if k != "FORETOLL_REGION"}
    return subprocess.run(
        [sys.executable, "-m", "foretoll.cli", *words],
        cwd=cwd,
        env={**kept, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.slow
def test_the_demo_writes_its_forecast_down_before_it_retrains(tmp_path: Path) -> None:
    done = in_a_shell("demo", "--json", "--region", "DE", "--out", "shown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "with --json nothing but the JSON object is printed"
    found = json.loads(done.stdout)
    assert set(found) == {"estimate", "run"}
    estimate, run = Estimate.model_validate(found["estimate"]), Run.model_validate(found["run"])
    out = tmp_path / "shown"
    assert Estimate.model_validate_json((out / "estimate.json").read_bytes()) == estimate
    assert (out / "estimate.json").stat().st_mtime < run.started_at.timestamp()
    assert (out / "report.html").stat().st_mtime >= (run.finished_at or run.started_at).timestamp()
    assert run.outcome is Outcome.REACHED and (run.toll.epochs or 0) > 0
    assert run.signals == estimate.signals and run.forecast == estimate.made_forecast
    assert load_model(str(out / "updated")).card.run_id == run.id
    kinds = [("demo" in r.tags, "calibration" in r.tags) for r in Ledger.open(out / "ledger.db").runs()]
    assert (
        kinds.count((True, False)) == 2 and kinds.count((False, True)) == estimate.basis.calibration_runs > 0
    )
    assert not Path(os.environ["FORETOLL_LEDGER"]).exists(), "the user's own ledger is not filled with digits"


def test_train_estimate_retrain_and_the_ledger(call: Call, tmp_path: Path) -> None:
    done = call(f"train --arch foretoll:cnn?width=8 --data 'digits?part=1/2&limit=300' --out src --max-epochs 8 "
                f"--batch-size 32 --lr 0.01 --json {QUIET}")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    trained = Run.model_validate(done.data)
    assert trained.outcome is Outcome.REACHED and trained.toll.epochs == 8 and trained.source is None
    assert load_model("src").card.run_id == trained.id
    assert (
        json.loads(Path("src/run.json").read_text()) == done.data
        and Path("src/report.html").stat().st_size > 1e4
    )

    # before anything is retrained: a forecast that rests on three short runs of this very model
    done = call(f"estimate --model src {SOURCE} {NOISY} --calibrate 3runs --json --out est {QUIET}")
    assert (done.code, done.err) == (0, "")
    assert set(done.data) >= ESTIMATE_KEYS and done.data["schema"] == "foretoll.estimate/1"
    assert set(done.data["forecast"]) == COSTS
    for interval in done.data["forecast"].values():
        assert interval is None or {"median", "low", "high"} <= set(interval)
    assert {"runs", "nearest", "energy", "grid", "hardware"} <= set(done.data["basis"])
    assert {"duration_s", "energy_kwh"} <= set(done.data["self_cost"])
    assert json.loads(Path("est/estimate.json").read_text()) == done.data
    found = Estimate.model_validate(done.data)
    assert (found.shift, found.option, found.basis.calibration_runs) == ("distribution", "finetune", 3)
    assert found.model.run_id == trained.id and found.target.shift[0].kind == "gaussian_noise"
    assert found.self_cost.calibration_duration_s > 0 and found.self_cost.duration_s > 0
    assert (found.basis.energy and found.basis.energy.method) == "30 W set by the user"
    assert found.basis.grid is not None and found.basis.grid.region.startswith("DEU")

    # the same, carried out
    done = call(f"retrain --model src {SOURCE} {NOISY} --estimate est/estimate.json --max-epochs 6 --lr 0.01 "
                f"--out new --json {QUIET}")  # fmt: skip
    assert (done.code, done.err) == (0, "")
    run = Run.model_validate(done.data)
    assert {"option", "outcome", "toll", "quality", "settings"} <= set(done.data) and set(
        done.data["toll"]
    ) == COSTS
    assert run.forecast is None, "it was made for other settings"
    assert run.settings.until == found.until, "95 % of the quality on the source, for both"
    assert run.model.parent_run_id == trained.id and run.lineage == (trained.id,)
    assert (run.toll.energy_kwh or 0) == pytest.approx(30 * (run.toll.duration_s or 0) / 3.6e6)
    assert load_model("new").card.parent_run_id == trained.id

    # all of it is in the ledger: what was trained, calibrated and retrained
    listed = call("ledger list --json").data
    assert [r["id"] for r in listed][:1] == [run.id] and len(listed) == 5
    assert len(call("ledger list --tag calibration --json").data) == 3
    assert call("ledger list --option finetune --outcome failed --json").data == []
    assert call(f"ledger show {run.id} --json").data == done.data
    assert run.id[:15] in call("ledger list").out and run.id in call(f"ledger show {run.id}").out
    assert call("ledger export runs.jsonl.gz").out == "5 runs written to runs.jsonl.gz\n"
    assert call("ledger import runs.jsonl.gz --ledger other.db").out == "5 runs added from runs.jsonl.gz\n"
    again = call("ledger import runs.jsonl.gz --ledger other.db --json")
    assert again.data == {"file": "runs.jsonl.gz", "runs": 0}
    assert Ledger.open("other.db").get(run.id) == run
    assert call("ledger doctor").out == "nothing to report\n"
    assert call("ledger doctor --json").data == {"findings": []}

    # and the updated model is the next source
    done = call(f"retrain --model new --source 'digits?part=2/2&limit=300&shift=gaussian_noise:0.3' "
                f"--target 'digits?part=2/2&limit=300&shift=contrast:0.4' --option scratch --until 0.2 --max-epochs 1 "
                f"--out third --json {QUIET}")  # fmt: skip
    assert Run.model_validate(done.data).lineage == (trained.id, run.id)


@pytest.fixture
def small(call: Call, tmp_path: Path) -> Call:
    """A trained perceptron `m` on ok.npz, and some targets for it."""
    random = np.random.default_rng(0)
    y = np.arange(300) % 3
    x = random.normal(size=(300, 6)).astype(np.float32)
    x[np.arange(300), y] += 3
    np.savez("ok.npz", x=x, y=y)
    np.savez("moved.npz", x=x + 0.7, y=y)
    np.savez("bare.npz", x=x + 0.7)
    np.savez("other.npz", x=x, y=np.arange(300) % 2, classes=["left", "right"])
    done = call(
        f"train --arch foretoll:mlp?width=16 --data npz:ok.npz --out m --max-epochs 5 --lr 0.01 {QUIET}"
    )
    assert (done.code, done.err) == (0, "")
    return call


def test_train_and_scratch_take_the_head_that_is_named(call: Call, tmp_path: Path) -> None:
    """A layer of the user's own class, which nobody can find by its looks."""
    (tmp_path / "own_heads.py").write_text(
        "import torch\nfrom torch import nn\n\nclass Own(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.weight = nn.Parameter(torch.randn(10, 64) / 8)\n\n"
        "    def forward(self, x):\n        return x @ self.weight.T\n\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), Own())\n"
    )
    train = f"train --arch own_heads:build --data digits?limit=100 --max-epochs 1 {QUIET} --out m"
    assert "name one with --head NAME" in call(train).err
    assert call(f"{train} --head 1").code == 0
    data = "--source digits?limit=100 --target digits?limit=100&shift=inversion:1"
    done = call(
        f"retrain --model own_heads:build --weights m {data} --option scratch --max-epochs 1 {QUIET} --json"
    )
    assert done.data["model"]["head"] == "1"


def test_quiet_prints_the_page_and_no_progress(small: Call) -> None:
    done = small(f"estimate --model m --source npz:ok.npz --target npz:moved.npz --out est {QUIET}")
    assert (done.code, done.err) == (0, "")
    assert "epochs" in done.out and "90 % interval" in done.out and "report   est/report.html" in done.out
    shown = small("retrain --model m --source npz:ok.npz --target npz:moved.npz --until 0.2 --out new "
                  "--energy none --region DE")  # fmt: skip
    assert shown.code == 0 and "open data and model" in shown.err and "finetune on moved" in shown.err
    assert "Traceback" not in shown.err


def test_an_unlabelled_target_can_be_estimated_and_not_retrained(small: Call) -> None:
    done = small(f"estimate --model m --source npz:ok.npz --target npz:bare.npz --json --out est {QUIET}")
    assert (done.code, done.err) == (0, "")
    found = Estimate.model_validate(done.data)
    assert found.shift == "distribution" and not found.target.labelled
    assert any(
        w.startswith("bare has no labels: ") and w.endswith("could not be computed") for w in found.warnings
    )
    assert found.signals.get("initial_loss") is None and found.signals["resque"] is not None
    assert (
        found.basis.probe is None and found.forecast.energy_kwh is None and found.forecast.duration_s is None
    )
    done = small(f"retrain --model m --source npz:ok.npz --target npz:bare.npz --out new {QUIET}")
    assert done.code == 1 and not Path("new").exists()
    assert (
        done.err
        == "foretoll: npz:bare.npz has no labels: finetune needs them; only foretoll estimate works without\n"
    )
    assert len(Ledger.open().runs()) == 1


def test_a_new_task_asks_for_a_quality(small: Call) -> None:
    words = "--model m --source npz:ok.npz --target npz:other.npz --task"
    for command in ("estimate", "retrain"):
        done = small(f"{command} {words} {QUIET}")
        assert (done.code, done.out) == (2, "")
        assert done.err == (
            "foretoll: a new task has no natural quality target: name one, for example --until 0.9\n"
        )
    done = small(f"retrain {words} --until 0.4 --out new --json {QUIET}")
    assert done.code == 0 and done.data["task_shift"] is True
    assert load_model("new").classes == ("left", "right")


def test_a_run_that_fails_is_shown_kept_and_a_failure(small: Call) -> None:
    words = "--model m --source npz:ok.npz --target npz:moved.npz --until 0.999 --optimizer sgd --lr 1e6"
    done = small(f"retrain {words} --out new --json {QUIET}")
    assert done.code == 1 and done.data["outcome"] == "failed"
    run = done.data["id"]
    assert done.err.startswith(f"foretoll: run {run} failed (the loss became ") and done.err.count("\n") == 1
    assert done.err.endswith(f"try a smaller --lr); what was measured is kept: foretoll ledger show {run}\n")
    assert Ledger.open().get(run).outcome is Outcome.FAILED
    assert json.loads(Path("new/run.json").read_text())["outcome"] == "failed"


def test_a_diseased_ledger_is_a_failure_until_it_is_repaired(small: Call) -> None:
    """A run of a process that is no more, as SIGKILL leaves it."""
    code = (
        "import os, sys; from foretoll.ledger import Ledger; from foretoll.records import Run, Outcome;"
        "old = Ledger.open().runs()[0];"
        "Ledger.open().begin(old.model_copy(update={'id': 'dead', 'outcome': Outcome.RUNNING, 'finished_at': None}));"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    done = small("ledger doctor")
    assert done.code == 1 and "run dead has no end: process" in done.out
    assert small("ledger doctor --json").data["findings"] == done.out.splitlines()
    assert small("ledger show dead --json").data["outcome"] == "interrupted"
    assert "repaired: an interrupted end was appended" in small("ledger doctor --repair").out
    assert small("ledger doctor").code == 0


def test_indices(call: Call) -> None:
    rows = call("indices --json").data
    assert [row["name"] for row in rows] == list(INDICES)
    shown = call("indices")
    assert shown.code == 0 and "resque" in shown.out


def test_version_help_and_wrong_use(call: Call) -> None:
    from foretoll import __version__

    assert call("--version").out == f"{__version__}\n"
    for words in ("", "ledger", "study"):
        done = call(words)
        assert done.code == 2 and "Usage: foretoll" in done.out and done.err == ""
    assert call("--help").code == 0
    done = call("estimate --model m")
    assert (done.code, done.out) == (2, "")
    assert done.err == "foretoll: missing option '--target' / '-t'; see foretoll estimate --help\n"
    assert call("nosuch").err == "foretoll: no such command 'nosuch'; see foretoll --help\n"
    done = call("retrain --seed x -m m -s s -t t")
    assert done.code == 2 and done.err.startswith("foretoll: invalid value for '--seed': ")


def commands(app: Typer = app, prefix: str = "") -> list[str]:
    """Every command with the name of its group, groups within groups."""
    found = [
        prefix + (command.name or command.callback.__name__)
        for command in app.registered_commands
        if command.callback
    ]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = f"{group.name} " if isinstance(group.name, str) else ""
        found += commands(group.typer_instance, prefix + name)
    return found


@pytest.mark.parametrize("command", commands())
def test_every_command_has_help_with_an_example_and_json(call: Call, command: str) -> None:
    done = call(f"{command} --help")
    assert done.code == 0 and done.err == ""
    assert "Example:" in done.out and f"foretoll {command.split(maxsplit=1)[0]}" in done.out
    assert "--json" in done.out
