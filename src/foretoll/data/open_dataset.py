"""Any torch map-style Dataset, or a DataLoader over one, as a source; lazy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from foretoll.data.checks import read_labels
from foretoll.data.images import ImageForm, to_form
from foretoll.data.source import Source
from foretoll.data.splits import ArraySplit, DatasetSplit, item_input, item_label
from foretoll.data.stored import item_array, stored_array
from foretoll.data.uri import DataUri
from foretoll.errors import DataError


def open_dataset(source: Any, uri: DataUri | None = None) -> Source:
    """A Dataset with items (x, y), (x,) or dicts. The first item tells the kind and shape of all.

    Labels come from `.targets`, `.labels` or `.tensors[1]`, else from one pass over the items. A DataLoader
    stands for its Dataset. A TensorDataset is read at once, everything else batch by batch.
    """
    dataset = source.dataset if isinstance(source, DataLoader) else source
    name = type(dataset).__name__
    if isinstance(dataset, IterableDataset) or not (
        hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
    ):
        raise DataError(f"{name} is no map-style Dataset: it needs __len__ and __getitem__")
    if len(dataset) == 0:
        raise DataError(f"{name} is empty: it needs samples")
    kind = None if uri is None else uri.kind
    values = labels_of(dataset)
    labels, classes = (None, ()) if values is None else read_labels(values, name, names=_class_names(dataset))
    if labels is not None and len(labels) != len(dataset):
        raise DataError(
            f"{name} has {len(dataset)} samples and {len(labels)} labels: they must be equally many"
        )
    ids = np.arange(len(dataset))
    rows: ArraySplit | DatasetSplit
    if isinstance(dataset, TensorDataset):
        inputs, kind = stored_array(dataset.tensors[0].detach().cpu().numpy(), name, kind)
        rows = ArraySplit(inputs, labels, ids=ids)
        shape = tuple(inputs.shape[1:])
    else:
        convert, kind, shape = converter(item_input(dataset[0]), name, kind)
        rows = DatasetSplit(dataset, labels=labels, ids=ids, convert=convert)
    numbers = np.empty(0) if labels is None else np.asarray(classes)[labels]
    return Source(
        name=name,
        kind=kind,
        rows=rows,
        classes=classes,
        shape=shape,
        columns=() if labels is None else ("label",),
        column=lambda _: numbers,
    )


def converter(
    first: Any, where: str, kind: str | None = None, size: tuple[int, int] | None = None
) -> tuple[Callable[[Any], Tensor | str], str, tuple[int, ...]]:
    """How one item's input becomes a stored sample, with kind and shape, learnt from the first item."""
    if isinstance(first, str):
        return str, "text", ()
    if hasattr(first, "convert") and hasattr(first, "height"):  # a PIL image
        grey = first.mode in {"1", "L", "LA", "I", "F"}
        height, width = size or (first.height, first.width)
        form = ImageForm(1 if grey else 3, height, width)
        return (lambda picture: to_form(picture, form)), "image", form.shape
    sample = item_array(first, where)
    if isinstance(sample, str):
        return str, "text", ()
    channel_first = sample.ndim == 3 and sample.shape[0] in {1, 3} and sample.dtype.kind == "f"
    wanted = kind or ("image" if channel_first else None)

    def convert(value: Any) -> Tensor:
        array = item_array(value, where)
        if isinstance(array, str):
            raise DataError(f"{where} mixes texts with arrays: samples are of one kind")
        stored, _ = stored_array(array[None], f"{where}, a sample,", wanted)
        return stored[0]

    stored, found = stored_array(sample[None], where, wanted)
    return convert, found, tuple(stored.shape[1:])


def labels_of(dataset: Any) -> npt.NDArray[Any] | None:
    """All labels of a Dataset, without reading its inputs where they are kept apart; None when it has none."""
    if isinstance(dataset, Subset):
        labels = labels_of(dataset.dataset)
        return None if labels is None else labels[np.asarray(dataset.indices)]
    if isinstance(dataset, TensorDataset):
        return np.asarray(dataset.tensors[1].cpu().numpy()) if len(dataset.tensors) > 1 else None
    for key in ("targets", "labels"):
        values = getattr(dataset, key, None)
        if values is not None and not callable(values) and len(values) == len(dataset):
            return np.asarray(values.cpu().numpy() if isinstance(values, Tensor) else values)
    if item_label(dataset[0]) is None:
        return None
    return np.asarray([_plain(item_label(dataset[row])) for row in range(len(dataset))])


def _plain(label: Any) -> Any:
    if isinstance(label, (Tensor, np.ndarray, np.generic)):
        array = np.asarray(torch.as_tensor(label).cpu())
        if array.size != 1:
            raise DataError(
                f"a label has shape {array.shape}: labels are one class number a sample, not one-hot"
            )
        return array.reshape(()).item()
    return label


def _class_names(dataset: Any) -> Sequence[str] | None:
    names = getattr(dataset.dataset if isinstance(dataset, Subset) else dataset, "classes", None)
    return [str(name) for name in names] if isinstance(names, (list, tuple)) and names else None
