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
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foretoll.atomic import clear_leftovers, own_name, replacing
from foretoll.errors import ForetollError, shown
from foretoll.indices.reservoir import Reservoir
from foretoll.indices.shadow import Shadow
from foretoll.workflows.look import KEPT, Look

ALIGNED = 64  # bytes to which each array of a file is filled up
START = "start"  # the model that the life began with


class LifeFolder:
    """The files of one life. Raises ForetollError, in one sentence, where one cannot be written or read."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

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
        found = self._read(self.path / f"shadow-{model}.npz")
        return Shadow(window=window) if found is None else Shadow.from_state(found)

    def keep_shadow(self, model: str, shadow: Shadow) -> None:
        """Write the sums of a model's shadow."""
        self._write(self.path / f"shadow-{model}.npz", shadow.state())

    def earlier(self, most: int) -> Reservoir:
        """The sample of what was labelled so far, of so many at the most; a new one where there is none yet."""
        found = self._read(self.path / "earlier.npz")
        return Reservoir(most) if found is None else Reservoir.from_state(found, most)

    def keep_earlier(self, sample: Reservoir) -> None:
        """Write the sample of what was labelled so far."""
        self._write(self.path / "earlier.npz", sample.state(), compressed=False)

    def reference(self, model: str) -> Look | None:
        """The outputs that drift is measured against."""
        return self._look(self.path / f"reference-{model}.npz")

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
        if found is None:
            return None
        outputs = (
            found["outputs"] if "outputs" in found else found["probabilities"]
        )  # as older lives named them
        return Look(found["representations"], outputs)

    def _write(self, path: Path, arrays: dict[str, npt.NDArray[Any]], *, compressed: bool = True) -> None:
        save = np.savez_compressed if compressed else np.savez
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, ".part") as part:
                save(part, **packed(arrays))  # type: ignore[arg-type]  # arrays by name
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


def packed(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Many arrays as two: their bytes, and what they are. A file of a hundred takes its time by their number."""
    whole, index = bytearray(), []
    for name, value in arrays.items():
        array = np.ascontiguousarray(value)
        index.append([name, array.dtype.str, list(np.shape(value)), len(whole)])
        whole += array.tobytes()
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
