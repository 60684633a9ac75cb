"""Where studies are: files that ship or are named, and the ledgers of those that ran. Nothing is read."""

from __future__ import annotations

from pathlib import Path

from foretoll.errors import UsageError, shown, unknown_name

FILES = Path(__file__).parent / "files"  # those that ship
LEDGER = "ledger.db"
REFERENCE = "reference"  # the ledger that ships


def find_study(name: str) -> Path:
    """The path of a study file: as named, or one that ships with foretoll under that name."""
    path = Path(name)
    try:
        if path.suffix == ".toml" or path.is_file():
            return path
    except (OSError, ValueError):  # a name that no file can have
        pass
    shipped = {file.stem: file for file in FILES.glob("*.toml")}
    if name not in shipped:
        raise UsageError(f"{unknown_name('study', name, shipped)}; or give the path of a .toml file")
    return shipped[name]


def check_place(where: str) -> None:
    """Raise UsageError where there are no runs of a study; a database is not asked."""
    if where != REFERENCE and "://" not in where:
        ledger_file(where)


def ledger_file(where: str) -> Path:
    """The file of a study's folder, or the ledger or export that is named. UsageError where it is not there."""
    try:
        path = Path(where).expanduser()
        path = path / LEDGER if path.is_dir() else path
        there = path.is_file()
    except (OSError, ValueError, RuntimeError):  # a name too long, a null byte, nobody's home
        path, there = Path(where), False
    if not there:
        raise UsageError(
            f"{shown(path, 120)} is no ledger: give the folder of a study, a ledger (.db) or an export "
            "(.jsonl, .jsonl.gz)"
        )
    return path
