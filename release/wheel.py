"""Builds the wheel and checks it: what is in it, and that it works without extras on each Python that is found.

    make wheel-check          # or: python release/wheel.py [--contents | --demo] [PYTHON …]

Writes the wheel's size into CONTRIBUTING.md; `--contents` ends there. Then a fresh virtual environment for each
interpreter (3.11 to 3.13 on the path, pyenv's, or those that are named), the wheel and its dependencies at the
versions of constraints.txt, nothing else; then, in an empty folder, `foretoll --version`, `doctor`, a forecast on the
digits, and with `--demo` the demo. Prints a row for each; with `--demo` they are written too.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from email import message_from_bytes
from pathlib import Path

from written import block, write

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "build" / "dist"
VERSIONS = ("3.11", "3.12", "3.13")
PAGE = "../CONTRIBUTING.md"
MOST_BYTES = 40_000_000
UV = Path(sys.executable).with_name("uv")
ESTIMATE = (
    "estimate --model foretoll:mlp --source digits?part=1/2 --target digits?part=2/2&shift=contrast:0.5 --until 0.7 "
    "--energy watts:65 --quiet"
)


def build(out: Path = DIST, *, offline: bool = False) -> Path:
    """Build the wheel with uv. Returns its path; CalledProcessError where that fails."""
    words = [
        str(UV),
        "build",
        "--wheel",
        "--quiet",
        "--out-dir",
        str(out),
        *(["--offline"] if offline else []),
    ]
    subprocess.run([*words, str(ROOT)], check=True, capture_output=True)
    return max(out.glob("*.whl"), key=lambda path: path.stat().st_mtime)


def faults(wheel: Path) -> list[str]:
    """What is wrong with the contents of a wheel."""
    source = ROOT / "src"
    wanted = {
        str(path.relative_to(source))
        for path in (source / "foretoll").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
        told = message_from_bytes(packed.read(next(n for n in names if n.endswith(".dist-info/METADATA"))))
        entry = packed.read(next(n for n in names if n.endswith("entry_points.txt"))).decode()
    info = {name for name in names if ".dist-info/" in name}
    found = [f"{name} is missing" for name in sorted(wanted - names)]
    found += [f"{name} does not belong there" for name in sorted(names - wanted - info)]
    found += [] if "foretoll/py.typed" in names else ["there is no py.typed: types are not seen"]
    found += [] if any("licenses/LICENSE" in name for name in info) else ["there is no licence"]
    found += [] if "foretoll = foretoll.cli:main" in entry else ["there is no command"]
    needs = told.get_all("Requires-Dist") or []
    found += [f"{need} is of no index" for need in needs if "@" in need]
    size = wheel.stat().st_size
    found += [f"{size:,} bytes are more than {MOST_BYTES:,}"] if size > MOST_BYTES else []
    return found


def contents(wheel: Path) -> str:
    """The name of a wheel, its size and its number of files, as the page has it."""
    with zipfile.ZipFile(wheel) as packed:
        files = len(packed.namelist())
    return f"{'-'.join(wheel.name.split('-')[:2])}: {wheel.stat().st_size / 1e6:.1f} MB, {files} files"


def stale(wheel: Path) -> bool:
    """Whether the page says another size than that of a wheel, by more than a tenth of either number."""
    said = re.search(r": ([\d.]+) MB, (\d+) files", block(PAGE, "wheel")[1])
    now = re.search(r": ([\d.]+) MB, (\d+) files", contents(wheel))
    if said is None or now is None:
        return True
    return any(
        abs(float(a) - float(b)) > float(b) / 10 for a, b in zip(said.groups(), now.groups(), strict=True)
    )


def interpreters() -> list[str]:
    """Every Python that is found, one of each version."""
    found = []
    for version in VERSIONS:
        known = [shutil.which(f"python{version}")]
        known += map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")))
        works = [
            p
            for p in known
            if p and subprocess.run([p, "-c", ""], check=False, capture_output=True).returncode == 0
        ]
        found += works[:1]
    return found


def environment(wheel: Path, python: str, where: Path, *extra: str) -> Path:
    """A fresh virtual environment with the wheel and what is named beside it. Returns its folder of programs."""
    subprocess.run([str(UV), "venv", "--quiet", "--python", python, str(where)], check=True)
    words = [
        str(UV),
        "pip",
        "install",
        "--quiet",
        "--constraint",
        str(ROOT / "constraints.txt"),
        str(wheel),
        *extra,
    ]
    subprocess.run(words, check=True, env=os.environ | {"VIRTUAL_ENV": str(where)})
    return where / "bin"


def tried(programs: Path, words: str, folder: Path) -> str:
    """How long a command of the wheel took, in words; SystemExit where it failed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FORETOLL", "VIRTUAL"))}
    start = time.perf_counter()
    done = subprocess.run(
        [str(programs / "foretoll"), *words.split()],
        cwd=folder,
        env=env
        | {"FORETOLL_LEDGER": str(folder / "ledger.db"), "FORETOLL_REGION": "DE", "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{programs}: foretoll {words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return f"{time.perf_counter() - start:.0f} s"


def main() -> int:
    """Build, look into it, and try it on each interpreter."""
    demo = "--demo" in sys.argv
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    wheel = build()
    print(contents(wheel), flush=True)
    found = faults(wheel)
    if found:
        print(*found, sep="\n")
        return 1
    write(PAGE, "wheel", contents(wheel))
    if "--contents" in sys.argv:
        return 0
    rows = ["| Python | packages | `--version` | `doctor` | `estimate` | `demo` |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    print("", *rows, sep="\n", flush=True)
    for python in named or interpreters():
        with tempfile.TemporaryDirectory() as folder:
            programs = environment(wheel, python, Path(folder) / "venv")
            version = subprocess.run(
                [str(programs / "python"), "-V"], check=True, capture_output=True, text=True
            )
            packages = len(list((Path(folder) / "venv").glob("lib/python*/site-packages/*.dist-info")))
            work = Path(folder) / "work"
            work.mkdir()
            times = [tried(programs, words, work) for words in ("--version", "doctor", ESTIMATE)]
            times.append(tried(programs, "demo --quiet", work) if demo else "not tried")
            rows.append(f"| {version.stdout.split()[1]} | {packages} | " + " | ".join(times) + " |")
            print(rows[-1], flush=True)
    if demo:
        where = (
            f"{contents(wheel)}; {platform.system()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}:"
        )
        write(PAGE, "tried", "\n".join([where, "", *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
