"""The page on several machines: its scripts run, and its files are what they say."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from foretoll.cli import app
from foretoll.ledger import Ledger
from foretoll.records import Outcome

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scale_out.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
(SBATCH,) = [text for kind, text in BLOCKS if kind == "bash" and "#SBATCH" in text]
(RAY_JOB,) = [yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml"]


def _is_a_command(line: str) -> None:
    """Its options are ones that the command has."""
    words = shlex.split(line)
    assert words[0] == "foretoll"
    names = words[1:3] if words[1] in ("study", "ledger", "life") else words[1:2]
    said = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200"}).output
    assert all(word in said for word in words if word.startswith("--")), line


def test_the_commands_have_the_options_that_the_page_gives_them() -> None:
    text = "\n".join(text for kind, text in BLOCKS if kind == "bash" and text is not SBATCH)
    lines = [line.split("  #")[0] for line in text.replace("\\\n", "").splitlines()]
    commands = [line for line in lines if line.startswith("foretoll ")]
    assert len(commands) == 2
    for line in commands:
        _is_a_command(line)


def test_the_job_for_kuberay_has_what_ray_asks_for() -> None:
    assert (RAY_JOB["apiVersion"], RAY_JOB["kind"]) == ("ray.io/v1", "RayJob")
    _is_a_command(RAY_JOB["spec"]["entrypoint"])
    cluster: dict[str, Any] = RAY_JOB["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    folder = shlex.split(RAY_JOB["spec"]["entrypoint"])[5]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        volumes = {volume["name"] for volume in group["template"]["spec"]["volumes"]}
        assert mounts.keys() <= volumes and folder.startswith(mounts["shared"] + "/")


@pytest.mark.slow
def test_the_script_for_slurm_trains_its_own_seed(tmp_path: Path) -> None:
    script = tmp_path / "array.sbatch"
    script.write_text(SBATCH)
    own = {
        "SLURM_ARRAY_TASK_ID": "3",
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_CPUS_PER_TASK": "1",
        "EPOCHS": "0.2",
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, env=os.environ | own | {"PATH": path},
        check=False, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "77" / "seed-3" / "model.json").is_file()
    (run,) = Ledger.open().runs()
    assert run.settings.seed == 3 and run.outcome is not Outcome.FAILED
