"""Any torch map-style Dataset, or a DataLoader over one, as a source; lazy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

from foretoll.data.address import DataUri
from foretoll.data.images import Look, ToForm
from foretoll.data.items import array_of, class_name, item_of, size_of
from foretoll.data.kept_items import KeptItems
from foretoll.data.parts import is_tree, item_packer, packed_arrays, parts_said, row_width
from foretoll.data.raw import RawData, label_texts, targets_said
from foretoll.data.splits import INPUT_KEYS, LABEL_KEYS, ArraySplit, DatasetSplit, item_input, item_label
from foretoll.data.stored import item_array, natural_kind, span_in, stored_array, told_rgba, told_span
from foretoll.errors import DataError, shown
from foretoll.records import InputPart
from foretoll.tasks import read_targets

PEEKED = 16  # items that are read to learn what all are like


def open_dataset(source: Any, uri: DataUri | None = None) -> RawData:
    """A Dataset with items (x, y), (x,), (x1, x2, …, y) or dicts. A few items tell the kind and shape of all.

    Labels come from `.targets`, `.labels` or the last of `.tensors`, else from one pass over the items. A DataLoader
    stands for its Dataset. A TensorDataset is read at once, everything else batch by batch.
    """
    dataset = source.dataset if isinstance(source, DataLoader) else source
    name = class_name(dataset)
    if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
        raise DataError(
            f"{name} is no Dataset of torch: it needs __len__ and __getitem__, or to be an IterableDataset"
        )
    size = size_of(dataset)
    if size == 0:
        raise DataError(f"{name} is empty: it needs samples")
    kind = None if uri is None else uri.kind
    peek = Peek(dataset)
    taken = _taken(peek.item, name)
    if isinstance(dataset, KeptItems):
        taken += f", read once, {dataset.nbytes / 1e6:,.1f} MB in a temporary file"
    values = labels_of(dataset)
    task = "classification"
    labels: npt.NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    if values is not None:
        wanted = None if uri is None else uri.task
        labels, classes, task = read_targets(values, name, names=class_names_of(dataset), task=wanted)
    if labels is not None and len(labels) != size:
        raise DataError(f"{name} has {size} samples and {len(labels)} labels: they must be equally many")
    ids, told = np.arange(size), ""
    rows: ArraySplit | DatasetSplit
    shape: tuple[int, ...]
    parts: tuple[InputPart, ...] = ()
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) > 2:
        rows_of, parts = packed_arrays({"x": dataset.tensors[:-1]}, name)
        rows = ArraySplit(torch.from_numpy(rows_of["x"]), labels, ids=ids)
        kind, shape, told = "vector", (row_width(parts),), f": {parts_said(parts)}"
    elif isinstance(dataset, TensorDataset):
        values = array_of(dataset.tensors[0], f"{name}.tensors[0]")
        inputs, kind = stored_array(values, name, kind)
        told = told_rgba(values.shape) + told_span(span_in([values], name)) if kind == "image" else ""
        rows = ArraySplit(inputs, labels, ids=ids)
        shape = tuple(inputs.shape[1:])
    elif is_tree(peek.first):
        row, parts = item_packer(list(peek.more()), name)
        kind, shape, told = "vector", (row_width(parts),), f": {parts_said(parts)}"
        rows = DatasetSplit(dataset, labels=labels, ids=ids, convert=row)
    else:
        convert, kind, shape, told = converter(peek, name, kind)
        rows = DatasetSplit(dataset, labels=labels, ids=ids, convert=convert)
    numbers = np.empty(0) if labels is None else label_texts(labels, classes)
    return RawData(
        name=name,
        kind=kind,
        rows=rows,
        classes=classes,
        task=task,
        shape=shape,
        columns=() if labels is None else ("label",),
        column=lambda _: numbers,
        reading=f"{size:,} samples of {name}, {kind}{told}{taken}, "
        + (targets_said(classes, task) if labels is not None else "no labels"),
        parts=parts,
        notes=_left_out(peek.item, name),
    )


def _taken(item: Any, name: str) -> str:
    """What is taken of items of more than two values, as it stands in a reading; "" for others.

    Raises DataError where one before the last is no array with an axis, so that it may be the label itself.
    """
    if not isinstance(item, (tuple, list)) or len(item) < 3:
        return ""
    for place, value in enumerate(item[:-1]):
        if not len(getattr(value, "shape", ())):
            what = "a number" if isinstance(value, (int, float)) or hasattr(value, "shape") else "no array"
            raise DataError(
                f"{name} has items of {len(item)} values, of which number {place + 1} is {what}: which is the label is "
                'open; give items as ((x1, x2), y) or {"inputs": {…}, "label": y}'
            )
    return f", the last of {len(item)} values is the target"


def _left_out(item: Any, name: str) -> tuple[str, ...]:
    """The warning that items hold more arrays than the one that is taken for the input."""
    taken = next((key for key in INPUT_KEYS if key in item), None) if isinstance(item, dict) else None
    if taken is None:
        return ()
    known = (taken, *LABEL_KEYS)
    more = [str(key) for key, value in item.items() if key not in known and len(getattr(value, "shape", ()))]
    if not more:
        return ()
    names = ", ".join(shown(key, 20)[1:-1] for key in more[:5])
    return (
        f"{name}: {names} beside {taken} {'is' if len(more) == 1 else 'are'} left out; where a sample has several "
        'inputs, give its items as {"inputs": {…}, "label": …}',
    )


class Peek:
    """A Dataset's first item, and the inputs of it and a few more, evenly spaced, which are read when asked for."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.item = item_of(dataset, 0)
        self.first = item_input(self.item)

    def more(self) -> Iterator[Any]:
        """The first item's input and some others'."""
        yield self.first
        for row in np.unique(np.linspace(0, size_of(self.dataset) - 1, PEEKED).astype(int))[1:].tolist():
            yield item_input(item_of(self.dataset, row))


def converter(
    peek: Peek, where: str, kind: str | None = None, size: tuple[int, int] | None = None
) -> tuple[Callable[[Any], Tensor | str], str, tuple[int, ...], str]:
    """How one item's input becomes a stored sample, with kind and shape, and what was taken for granted.

    Learnt from the first item; of pictures and of images in other numbers than uint8 from a few more, whose colour,
    size and range of numbers the first one need not have.
    """
    first = peek.first
    if isinstance(first, str):
        return str, "text", (), ""
    if hasattr(first, "convert") and hasattr(first, "height"):  # a PIL image
        return _of_pictures(peek, size)
    sample = item_array(first, where)
    if isinstance(sample, str):
        return str, "text", (), ""
    channel_first = sample.ndim == 3 and sample.shape[0] in {1, 3} and sample.dtype.kind == "f"
    wanted, span = kind or ("image" if channel_first else None), None
    if (
        sample.dtype.kind in "iufb"
        and sample.dtype != np.uint8
        and wanted in {None, "image"}
        and sample.ndim > 1
    ):
        some = [a for a in (item_array(x, where) for x in peek.more()) if not isinstance(a, str)]
        if wanted is None and all(a.shape == sample.shape for a in some):
            wanted = natural_kind(np.stack(some))
        if wanted == "image":
            span = span_in(some, f"{where}, a sample,")

    def convert(value: Any) -> Tensor:
        array = item_array(value, where)
        if isinstance(array, str):
            raise DataError(f"{where} mixes texts with arrays: samples are of one kind")
        stored, _ = stored_array(array[None], f"{where}, a sample,", wanted, span=span)
        return stored[0]

    stored, found = stored_array(sample[None], where, wanted, span=span)
    told = told_rgba((1, *sample.shape)) if found == "image" else ""
    return convert, found, tuple(stored.shape[1:]), told + told_span(span)


def _of_pictures(
    peek: Peek, size: tuple[int, int] | None
) -> tuple[Callable[[Any], Tensor | str], str, tuple[int, ...], str]:
    look, wide = Look(len(peek.dataset)), []
    for row, picture in enumerate(peek.more()):
        look.add(row, picture)
        if look.wide and look.wide[-1] == row:
            wide.append(picture)
    if wide:
        look.range_of(wide)
    form = look.form(size)
    convert = ToForm(form, several=look.several(size), told=look.told_size(size))
    return convert, "image", form.shape, f", {', '.join(look.told(size))}"


def labels_of(dataset: Any) -> npt.NDArray[Any] | None:
    """All labels of a Dataset, without reading its inputs where they are kept apart; None when it has none."""
    if isinstance(dataset, Subset):
        labels = labels_of(dataset.dataset)
        return None if labels is None else labels[np.asarray(dataset.indices)]
    if isinstance(dataset, TensorDataset):
        last = len(dataset.tensors) - 1
        return array_of(dataset.tensors[last], f"tensors[{last}]") if last else None
    for key in ("targets", "labels"):
        values = getattr(dataset, key, None)
        if values is not None and not callable(values) and len(values) == size_of(dataset):
            return array_of(values, f"{class_name(dataset)}.{key}")
    if item_label(item_of(dataset, 0)) is None:
        return None
    return np.asarray([_plain(item_label(item_of(dataset, row))) for row in range(size_of(dataset))])


def _plain(label: Any) -> Any:
    if isinstance(label, (Tensor, np.ndarray, np.generic)):
        array = np.asarray(torch.as_tensor(label).cpu())
        return array.reshape(()).item() if array.size == 1 else array.reshape(-1)
    return label


def class_names_of(dataset: Any) -> Sequence[str] | None:
    """The names of the classes that a Dataset says it has; None where it says none."""
    names = getattr(dataset.dataset if isinstance(dataset, Subset) else dataset, "classes", None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and names else None
