"""The GitHub Action: its own script, run as a runner does, with the real command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github" / "actions" / "forecast"
MODEL = (
    "--model foretoll:mlp?width=4 --source digits?limit=200 --target 'digits?limit=200&shift=contrast:0.5'"
)


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The environment of a step; `foretoll` and `python` are those of the tests, `gh` writes down how it was called."""
    if shutil.which("bash") is None:
        pytest.skip("no bash on the path")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, line in (
        ("python", f'exec "{sys.executable}" "$@"'),
        ("foretoll", f'exec "{sys.executable}" -c "from foretoll.cli import main; main()" "$@"'),
        ("gh", f'printf "%s\\n" "$@" > "{tmp_path}/comment"'),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o755)
    files = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary.md"}
    for file in files.values():
        file.touch()
    return os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(tmp_path / "temp"),
        "GITHUB_REPOSITORY": "us/ours",
        "FORETOLL_LEDGER": str(tmp_path / "ledger.db"),
        **{name: str(file) for name, file in files.items()},
    }


def step(runner: dict[str, str], arguments: str, **inputs: str) -> int:
    env = (
        runner
        | {"FORETOLL_ARGUMENTS": arguments}
        | {f"FORETOLL_{name.upper()}": value for name, value in inputs.items()}
    )
    return subprocess.run(
        ["bash", str(FOLDER / "forecast.sh")], env=env, cwd=ROOT, check=False, capture_output=True
    ).returncode


def test_the_report_is_the_summary_and_a_comment(runner: dict[str, str], tmp_path: Path) -> None:
    asked = f"compare {MODEL} --until 0.99 --option keep --energy watts:65 --region DE"
    assert step(runner, asked, gate="false", comment="true", pull_request="7") == 0
    summary = (tmp_path / "summary.md").read_text()
    assert "No recommendation" in summary and "| option |" in summary
    folder = tmp_path / "temp" / "foretoll-report"
    assert (tmp_path / "output").read_text() == f"exit-code=3\nfolder={folder}\n", "keep does not reach it"
    assert {"comparison.json", "report.html", "report.md"} <= {file.name for file in folder.iterdir()}
    called = (tmp_path / "comment").read_text().split("\n")
    assert called[:5] == ["pr", "comment", "7", "--repo", "us/ours"] and f"{folder}/report.md" in called


@pytest.mark.parametrize(
    ("code", "gate", "ended"), [(3, "true", 3), (3, "false", 0), (1, "false", 1), (0, "true", 0)]
)
def test_the_gate_is_the_exit_code(
    runner: dict[str, str], tmp_path: Path, code: int, gate: str, ended: int
) -> None:
    (tmp_path / "bin" / "foretoll").write_text(f"#!/bin/sh\nexit {code}\n")
    assert step(runner, "compare", gate=gate, comment="true", pull_request="7") == ended
    assert not (tmp_path / "comment").exists(), "there is no report"


def test_words_are_split_and_never_executed(runner: dict[str, str], tmp_path: Path) -> None:
    evil = f"estimate --model 'a b' --target '$(touch {tmp_path}/owned)' --until 0.9 ; touch {tmp_path}/owned"
    assert step(runner, evil) == 2, "wrong use fails, gate or not"
    assert step(runner, evil, gate="false") == 2
    assert not (tmp_path / "owned").exists()


def test_inputs_reach_the_script_by_the_environment_alone() -> None:
    text = (FOLDER / "action.yml").read_text()
    for line in text.split("runs:")[1].splitlines():
        if "${{" in line:
            name = line.strip().split(":")[0]
            assert name.isupper() and "run:" not in line, line
    assert text.count('bash "$GITHUB_ACTION_PATH/forecast.sh"') == 1
