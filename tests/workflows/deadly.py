"""A split whose first reader in another process is killed; in a module of its own, so that workers can import it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from torch import Tensor

from foretoll.data import ArraySplit, Split
from foretoll.data.splits import Batch


class Deadly(ArraySplit):
    """The samples of `split`; whoever reads them first, other than the process that made it, dies by SIGKILL."""

    def __init__(self, split: Split, marker: Path, parent: int | None = None) -> None:
        super().__init__(split.all().inputs, split.labels, ids=split.ids)
        self.marker, self.parent = marker, os.getpid() if parent is None else parent

    def take(self, indices: Tensor) -> Deadly:
        return Deadly(super().take(indices), self.marker, self.parent)

    def _range(self, start: int, stop: int) -> Batch:
        if os.getpid() != self.parent:
            try:
                self.marker.touch(exist_ok=False)
            except FileExistsError:
                return super()._range(start, stop)
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._range(start, stop)
