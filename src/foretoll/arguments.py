"""What a call may name and in which range its numbers lie: checked without loading what is named.

`quality` and the devices are heavy to load; their names are here as well, and tests keep both equal.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from foretoll.errors import ForetollError, UsageError, shown, unknown_name

DEVICES = ("cpu", "cuda", "xpu")


def check_device_name(name: str) -> str:
    """Return the name of a kind of device that foretoll can use, whether this machine has one or not.

    Raises UsageError for an unknown name and for Apple's MPS, which has no float64: the sums behind the indices
    need it.
    """
    kind = name.partition(":")[0]
    if kind == "mps":
        raise UsageError("device 'mps' has no float64, which the indices need: use --device cpu")
    if name != "auto" and kind not in DEVICES:
        raise UsageError(unknown_name("device", name, ("auto", *DEVICES)))
    return name


def check_out(out: str | Path | None) -> None:
    """Raise before any work that nothing can be written to a folder, rather than after it.

    Folders that are made to try it are taken away again.
    """
    if out is None:
        return
    path = Path(out)
    try:
        folder = path.expanduser()
    except RuntimeError as error:  # the home of a user that there is not
        raise ForetollError(
            f"the folder {shown(path)} has no home ({error}): name another with --out"
        ) from error
    made: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise ForetollError(f"{shown(path)} is a file and no folder: name another with --out")
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"foretoll")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ForetollError(
            f"nothing can be written to the folder {shown(path)} ({reason}): name another with --out"
        ) from error
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
