"""Plays the tutorials as a new user would: in a clean virtual environment, with the wheel, away from the checkout.

    make release-check        # or: python release/tutorials.py [PYTHON] [page ...]

Builds the wheel, installs it without extras and pytest beside it, copies the pages and their test to an empty folder,
and runs every command there: each must print what its page says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wheel import ROOT, build, environment, faults


def main() -> int:
    """Play them; the exit code is the test's."""
    pages = [word for word in sys.argv[1:] if word.startswith("tutorial_")]
    python = next((word for word in sys.argv[1:] if word not in pages), sys.executable)
    wheel = build()
    if wrong := faults(wheel):
        print(*wrong, sep="\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder) / "away"
        (away / "tests" / "docs").mkdir(parents=True)
        shutil.copytree(ROOT / "docs", away / "docs", ignore=shutil.ignore_patterns("*.py", "img"))
        shutil.copy(ROOT / "tests" / "docs" / "test_tutorial.py", away / "tests" / "docs")
        programs = environment(wheel, python, Path(folder) / "venv", "pytest")
        told = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FORETOLL", "VIRTUAL"))}
        chosen = ["-k", " or ".join(pages)] if pages else []
        where = subprocess.run(
            [programs / "python", "-c", "import foretoll; print(foretoll.__file__)"],
            cwd=away, check=True, capture_output=True, text=True,
        )  # fmt: skip
        print(f"{wheel.name} in {Path(where.stdout.strip()).parent}", flush=True)
        words = [
            str(programs / "python"),
            "-m",
            "pytest",
            "-v",
            "--tb=short",
            "tests/docs/test_tutorial.py",
            *chosen,
        ]
        return subprocess.run(words, cwd=away, env=told | {"OMP_NUM_THREADS": "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
