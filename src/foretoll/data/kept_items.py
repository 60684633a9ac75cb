"""A torch IterableDataset as a map-style one: its items are read once, into files that go with the process.

A sample by class, splits and an order that is shuffled anew each epoch need items that can be found again, and an
IterableDataset gives each once, in an order of its own. So one pass writes them down as they come: the values of each
place of an item one after the other in a file, with where each ends in memory (some 16 bytes an item and place).
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from foretoll.data.items import KeptDataset, array_of, class_name, reason
from foretoll.data.splits import LABEL_KEYS
from foretoll.errors import DataError, ForetollError

_SHARE = 0.5  # of the free room of the folder for temporary files that items may take
_CHECKED = 256  # items between two looks at that room
MOST_ITEMS = 10_000_000  # more are taken for a stream without end


def map_style(data: Any) -> Any:
    """The data, with KeptItems in place of each IterableDataset, or DataLoader over one; as a whole, or as splits.

    Raises DataError where reading one fails, or where it goes on beyond half of the free room on disk, or beyond
    MOST_ITEMS.
    """
    if isinstance(data, Mapping) and any(map(_is_iterable, data.values())):
        return {key: map_style(value) for key, value in data.items()}
    if isinstance(data, (tuple, list)) and any(map(_is_iterable, data)):
        return tuple(map_style(value) for value in data)
    return KeptItems(data) if _is_iterable(data) else data


def _is_iterable(data: Any) -> bool:
    return isinstance(data.dataset if isinstance(data, DataLoader) else data, IterableDataset)


class KeptItems(KeptDataset):
    """The items of an IterableDataset, in its order. An item is as it came: pictures, tensors, arrays, numbers, texts.

    A DataLoader stands for its dataset; where it makes no batches of its own (`batch_size=None`) and the dataset gives
    batches, their samples are the items.
    """

    def __init__(self, source: Any) -> None:
        dataset = source.dataset if isinstance(source, DataLoader) else source
        self.owner = class_name(dataset)
        names = getattr(dataset, "classes", None)
        self.classes = list(names) if isinstance(names, (list, tuple)) else None
        self._folder = Path(tempfile.mkdtemp(prefix="foretoll-items-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._form: Any = None
        self._columns: list[_Column] = []
        self._size = 0
        try:
            self._write(_items_of(source, dataset))
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            for column in self._columns:
                column.close()

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, row: int) -> Any:
        return _filled(self._form, iter([column[row] for column in self._columns]))

    @cached_property
    def targets(self) -> Any:
        """All labels, without reading the inputs; None where items have none, or they are not all of one form."""
        place = _label_place(self._form)
        return None if place is None else self._columns[place].whole()

    @property
    def nbytes(self) -> int:
        """Bytes that the items take on disk."""
        return sum(column.nbytes for column in self._columns)

    def _write(self, items: Iterator[Any]) -> None:
        room = _SHARE * shutil.disk_usage(self._folder).free
        while (item := self._next(items)) is not _END:
            try:
                self._add(item)
            except OSError as error:
                raise DataError(
                    f"the items of {self.owner} cannot be written to {tempfile.gettempdir()} ({reason(error)}): "
                    "make room there, or name another folder by TMPDIR"
                ) from error
            if self._size % _CHECKED == 0 and self.nbytes > room:
                raise DataError(
                    f"{self.owner} has given {self._size:,} items of {self.nbytes / 1e9:.1f} GB, half of what is "
                    f"free in {tempfile.gettempdir()}, and goes on: let it end, or name a larger folder by TMPDIR"
                )
            if self._size >= MOST_ITEMS:
                raise DataError(
                    f"{self.owner} has given {self._size:,} items and goes on: let it end (itertools.islice), "
                    "or give its files, which are read where they are needed (tar:, parquet:, folder:)"
                )

    def _next(self, items: Iterator[Any]) -> Any:
        try:
            return next(items, _END)
        except ForetollError:
            raise
        except Exception as error:
            raise DataError(
                f"item {self._size} of {self.owner} cannot be read ({reason(error)}): correct its __iter__, or "
                "leave that item out"
            ) from error

    def _add(self, item: Any) -> None:
        leaves: list[Any] = []
        form = _form_of(item, leaves, self._form)
        if self._form is None:
            self._form = form
            self._columns += (_Column(self._folder / str(number)) for number in range(len(leaves)))
        if form != self._form:
            raise DataError(
                f"item {self._size} of {self.owner} is {_said(form)}, and the first is {_said(self._form)}: give "
                "all items alike"
            )
        for column, leaf in zip(self._columns, leaves, strict=True):
            column.add(leaf, f"item {self._size} of {self.owner}")
        self._size += 1


_END = object()


def _items_of(source: Any, dataset: Any) -> Iterator[Any]:
    """The samples, one by one, of a loader that leaves the batches to its dataset, too."""
    unbatched = isinstance(source, DataLoader) and source.batch_size is None
    for item in dataset:
        leaves: list[Any] = []
        if unbatched:
            form = _form_of(item, leaves)
        sizes = {len(leaf) if getattr(leaf, "ndim", 0) else None for leaf in leaves}
        if len(leaves) < 2 or len(sizes) > 1 or None in sizes:
            yield item
            continue
        for row in range(sizes.pop() or 0):
            yield _filled(form, iter([leaf[row] for leaf in leaves]))


def _form_of(item: Any, leaves: list[Any], like: Any = None) -> Any:
    """How an item is put together; its values are added to `leaves`, of a dict in the order of one that is alike.

    Lists within an item are values.
    """
    if isinstance(item, Mapping):
        likes: dict[Any, Any] = like if isinstance(like, dict) and like.keys() == item.keys() else {}
        return {key: _form_of(item[key], leaves, likes.get(key)) for key in likes or item}
    if isinstance(item, tuple) or (isinstance(item, list) and not leaves and any(map(_is_one, item))):
        ones = like[: len(item)] if isinstance(like, tuple) else ()
        return tuple(_form_of(value, leaves, one) for value, one in zip_longest(item, ones))
    if item is not None:
        leaves.append(item)
    return None if item is None else _VALUE


_VALUE = "value"


def _is_one(value: Any) -> bool:
    """Whether a list that has this is an item, and not numbers."""
    return not isinstance(value, (int, float, list))


def _filled(form: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(form, dict):
        return {key: _filled(part, leaves) for key, part in form.items()}
    if isinstance(form, tuple):
        return tuple(_filled(part, leaves) for part in form)
    return None if form is None else next(leaves)


def _said(form: Any) -> str:
    if isinstance(form, dict):
        return f"a dict of {', '.join(map(str, form))}"
    return f"a tuple of {len(form)}" if isinstance(form, tuple) else "one value" if form else "None"


def _label_place(form: Any) -> int | None:
    """The number of the value that is an item's label (`splits.item_label`); None where it has none."""
    before: list[Any]
    if isinstance(form, dict):
        key = next((key for key in LABEL_KEYS if key in form), None)
        if key is None:
            return None
        wanted, names = form[key], list(form)
        before = [form[name] for name in names[: names.index(key)]]
    elif isinstance(form, tuple) and len(form) > 1:
        *before, wanted = form
    else:
        return None
    return sum(map(_count, before)) if wanted == _VALUE else None


def _count(form: Any) -> int:
    if isinstance(form, dict):
        return sum(map(_count, form.values()))
    return sum(map(_count, form)) if isinstance(form, tuple) else int(form is not None)


class _Column:
    """The values at one place of all items, one after the other in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.nbytes = 0
        self._file = path.open("wb")
        self._ends = array("q")
        self._kinds = array("l")  # of each value, a number of `_known`
        self._known: dict[tuple[str, str, tuple[int, ...]], int] = {}

    def add(self, value: Any, where: str) -> None:
        kind, content = _packed(value, where)
        self._file.write(content)
        self.nbytes += len(content)
        self._ends.append(self.nbytes)
        self._kinds.append(self._known.setdefault(kind, len(self._known)))

    def close(self) -> None:
        self._file.close()
        self._every = list(self._known)

    def __getitem__(self, row: int) -> Any:
        kind, end = self._every[self._kinds[row]], self._ends[row]
        start = self._ends[row - 1] if row % len(self._ends) else 0
        return _unpacked(kind, self._values[start:end].tobytes())

    def whole(self) -> Any:
        """All values as one array or a list of texts; None where that cannot be."""
        if len(self._every) != 1:
            return None
        what, detail, shape = self._every[0]
        if what == "text":
            return [self[row] for row in range(len(self._ends))]
        if what == "picture":
            return None
        return self._values.view(detail).reshape(len(self._ends), *shape).copy()

    @cached_property
    def _values(self) -> npt.NDArray[np.uint8]:
        if not self.nbytes:  # nothing can be mapped
            return np.empty(0, np.uint8)
        return np.memmap(self.path, dtype=np.uint8, mode="r")


def _packed(value: Any, where: str) -> tuple[tuple[str, str, tuple[int, ...]], bytes]:
    """The kind of a value (what it is, its type of numbers or colours, its shape), and its bytes."""
    if isinstance(value, str):
        return ("text", "", ()), value.encode("utf-8", "surrogatepass")
    if hasattr(value, "convert") and hasattr(value, "tobytes") and hasattr(value, "mode"):  # a PIL image
        if value.mode == "P":  # its colours lie beside it
            value = value.convert("RGBA" if "transparency" in value.info else "RGB")
        return ("picture", value.mode, tuple(value.size)), value.tobytes()
    plain = array_of(value, where)
    if plain.dtype.kind not in "iufb":
        raise DataError(f"{where} has a {type(value).__name__}: give numbers, arrays, pictures or texts")
    whats: dict[str, Any] = {"tensor": Tensor, "scalar": np.generic, "number": (int, float)}
    what = next((name for name, types in whats.items() if isinstance(value, types)), "array")
    return (what, plain.dtype.str, plain.shape), plain.tobytes()


def _unpacked(kind: tuple[str, str, tuple[int, ...]], content: bytes) -> Any:
    what, detail, shape = kind
    if what == "text":
        return content.decode("utf-8", "surrogatepass")
    if what == "picture":
        from PIL import Image

        return Image.frombytes(detail, (shape[0], shape[1]), content)
    values = np.frombuffer(bytearray(content), dtype=detail).reshape(shape)
    if what in {"number", "scalar"}:
        return values.item() if what == "number" else values[()]
    return torch.from_numpy(values) if what == "tensor" else values
