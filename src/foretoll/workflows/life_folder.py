"""The folder of a life: sums of its shadows, outputs that wait for labels, its models, and which of them is served.

    shadow-MODEL.npz      sums over the labelled batches, as MODEL represents them
    reference-MODEL.npz   outputs of MODEL on data like those that it was made on
    waiting-MODEL-BATCH.npz   representations and outputs of a batch whose labels have not come; gone when they have
    earlier.npz           a bounded sample of the labelled samples so far, where the life keeps one
    models/MODEL/         a checkpoint folder for each model that was made
    served                a link to the one that is served: switched in one step, a reader never sees half a model

Of inputs that sample alone is kept. All files are plain arrays, written whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from foretoll.atomic import clear_leftovers, own_name, replacing
from foretoll.errors import ForetollError, shown
from foretoll.indices.reservoir import Reservoir
from foretoll.indices.shadow import Shadow
from foretoll.workflows.look import KEPT, Look

ALIGNED = 64  # bytes to which each array of a file is filled up
START = "start"  # the model that the life began with
Arrays = dict[str, npt.NDArray[Any]]
Stamp = tuple[int, int, int] | None
T = TypeVar("T")


class LifeFolder:
    """The files of one life. Raises ForetollError, in one sentence, where one cannot be written or read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._held: dict[str, tuple[Stamp, Any]] = {}  # what this process read or wrote last, by file name

    @property
    def served(self) -> Path:
        """The link that a serving process reads."""
        return self.path / "served"

    def model(self, name: str) -> Path:
        """The checkpoint folder of a model of this life."""
        return self.path / "models" / name

    @property
    def served_name(self) -> str | None:
        """Which model the link names; None where there is none yet."""
        try:
            return self.served.readlink().name
        except OSError:
            return None

    def serve(self, name: str) -> None:
        """Switch the link in one step; `name` is a model of this life."""
        beside = self.path / own_name(".served.", ".part")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            beside.symlink_to(Path("models") / name, target_is_directory=True)
            beside.replace(self.served)
        except OSError as error:
            raise ForetollError(
                f"the model {name} cannot be served from {shown(str(self.served), 120)} ({error.strerror}): make that "
                "folder writable and try again"
            ) from error

    def shadow(self, model: str, window: int) -> Shadow:
        """The shadow of a model; a new one where it has none yet."""
        path = self.path / f"shadow-{model}.npz"
        return self._lent(path, lambda arrays: Shadow.from_state(arrays), lambda: Shadow(window=window))

    def keep_shadow(self, model: str, shadow: Shadow) -> None:
        """Write the sums of a model's shadow."""
        self._write(self.path / f"shadow-{model}.npz", shadow.state(), holds=shadow)

    def earlier(self, most: int) -> Reservoir:
        """The sample of what was labelled so far, of so many at the most; a new one where there is none yet."""
        path = self.path / "earlier.npz"
        return self._lent(path, lambda arrays: Reservoir.from_state(arrays, most), lambda: Reservoir(most))

    def keep_earlier(self, sample: Reservoir) -> None:
        """Write the sample of what was labelled so far."""
        self._write(self.path / "earlier.npz", sample.state(), holds=sample)

    def reference(self, model: str) -> Look | None:
        """The outputs that drift is measured against."""
        path = self.path / f"reference-{model}.npz"
        found = self._lent(path, _look_of, lambda: None)
        if found is not None:  # it is never changed
            self._held[path.name] = (_stamp(path), found)
        return found

    def keep_reference(self, model: str, look: Look) -> None:
        """Write the outputs that drift is measured against, at most KEPT samples of them."""
        some = slice(None) if len(look) <= KEPT else np.linspace(0, len(look) - 1, KEPT).astype(int)
        self._keep(self.path / f"reference-{model}.npz", Look(look.representations[some], look.outputs[some]))

    def waiting(self, model: str, batch: str) -> Look | None:
        """What a model made of a batch whose labels have not come."""
        return self._look(self.path / f"waiting-{model}-{batch}.npz")

    def keep_waiting(self, model: str, batch: str, look: Look) -> None:
        """Write what a model made of a batch until its labels come."""
        self._keep(self.path / f"waiting-{model}-{batch}.npz", look)

    def forget_waiting(self, model: str, batch: str) -> None:
        """The labels are there."""
        (self.path / f"waiting-{model}-{batch}.npz").unlink(missing_ok=True)

    def tidy(self, labelled: Collection[str]) -> None:
        """Take away what killed processes left: half-written files, and what waits for labels that were taken."""
        clear_leftovers(self.path, ".", ".part", named=True)
        for path in self.path.glob("waiting-*.npz"):
            if path.stem.rpartition("-")[2] in labelled:
                path.unlink(missing_ok=True)

    def _keep(self, path: Path, look: Look) -> None:
        self._write(path, {"representations": look.representations, "outputs": look.outputs})

    def _look(self, path: Path) -> Look | None:
        found = self._read(path)
        return None if found is None else _look_of(found)

    def _lent(self, path: Path, made: Callable[[Arrays], T], new: Callable[[], T]) -> T:
        """What a file holds, which the caller may change; a new one where there is no file.

        Read once where this process wrote or read the same file last. What is lent is held again when it is written:
        between the two, and where writing fails, the file counts.
        """
        held = self._held.pop(path.name, None)
        if held is not None and held[0] is not None and held[0] == _stamp(path):
            return held[1]  # type: ignore[no-any-return]  # of one file there is one kind of thing
        found = self._read(path)
        return new() if found is None else made(found)

    def _write(self, path: Path, arrays: Arrays, *, holds: object = None) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, ".part") as part:
                np.savez(part, **packed(arrays))  # type: ignore[arg-type]  # arrays by name
                part.flush()
                stamp = _stamp_of(os.fstat(part.fileno()))
            if holds is not None:
                self._held[path.name] = (stamp, holds)
        except OSError as error:
            raise ForetollError(
                f"{shown(str(path), 120)} cannot be written ({error.strerror}): make room, or the folder "
                "writable, and try again"
            ) from error

    @staticmethod
    def _read(path: Path) -> dict[str, npt.NDArray[Any]] | None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                return unpacked({name: stored[name] for name in stored.files})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ForetollError(
                f"{shown(str(path), 120)} is damaged: remove it, and look at the labelled batches again"
            ) from error


def _look_of(found: Arrays) -> Look | None:
    """A look from its arrays, as older lives named them too."""
    return Look(found["representations"], found["outputs"] if "outputs" in found else found["probabilities"])


def _stamp(path: Path) -> Stamp:
    """What tells one version of a file from another, which is written anew each time; None where there is none."""
    try:
        return _stamp_of(path.stat())
    except OSError:
        return None


def _stamp_of(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Many arrays as two: their bytes, and what they are. A file of a hundred takes its time by their number."""
    whole, index = bytearray(), []
    for name, value in arrays.items():
        array = np.ascontiguousarray(value)
        index.append([name, array.dtype.str, list(np.shape(value)), len(whole)])
        whole += array.data.cast("B") if array.size else b""
        whole += bytes(-len(whole) % ALIGNED)
    return {"packed": np.frombuffer(whole, dtype=np.uint8), "index": np.array(json.dumps(index))}


def unpacked(stored: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `packed`; those of a file that is older as they are. ValueError where they are none."""
    if "packed" not in stored:
        return stored
    whole, found = stored["packed"], {}
    for name, kind, shape, first in json.loads(str(stored["index"])):
        dtype = np.dtype(kind)
        if dtype.hasobject:
            raise ValueError(f"the array {name} holds objects")
        count = math.prod(shape)
        found[name] = (
            np.frombuffer(whole, dtype, count, first).reshape(shape) if count else np.empty(shape, dtype)
        )
    return found
