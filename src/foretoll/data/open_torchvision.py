"""`torchvision:NAME?root=…`: the data sets of torchvision, from files that are there already.

Nothing is downloaded unless the URI says `download=1`. Sets whose files are Python pickles are refused.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from foretoll.data.address import DataUri
from foretoll.data.open_dataset import Peek, converter, labels_of
from foretoll.data.raw import RawData, label_texts, targets_said
from foretoll.data.splits import ArraySplit, DatasetSplit
from foretoll.data.stored import stored_array
from foretoll.errors import DataError, UsageError, unknown_name
from foretoll.tasks import read_targets

PICKLED = {"CIFAR10": "hf:uoft-cs/cifar10", "CIFAR100": "hf:uoft-cs/cifar100", "LSUN": "folder:PATH"}


def open_torchvision(uri: DataUri) -> RawData:
    """Both parts of a set (train and test, by its `train=` or `split=` argument), or the set as a whole."""
    from torchvision import datasets

    names = [
        n for n in datasets.__all__ if inspect.isclass(getattr(datasets, n, None)) and n != "VisionDataset"
    ]
    if uri.path not in names:
        raise UsageError(unknown_name("torchvision data set", uri.path, names))
    if uri.path in PICKLED:
        raise DataError(
            f"torchvision:{uri.path} is kept in Python pickles, which are never unpickled: use {PICKLED[uri.path]}"
        )
    parts = _parts(getattr(datasets, uri.path), uri)
    for part in parts.values():
        if len(part) == 0:
            raise DataError(
                f"torchvision:{uri.path} has an empty part in {uri.root}: copy its files there again"
            )
    first = next(iter(parts.values()))
    given = np.repeat(list(parts), [len(part) for part in parts.values()]) if len(parts) > 1 else None
    found = [labels_of(part) for part in parts.values()]
    values = (
        None
        if any(labels is None for labels in found)
        else np.concatenate([x for x in found if x is not None])
    )
    class_names = getattr(first, "classes", None)
    names_given = (
        [str(c) for c in class_names] if isinstance(class_names, (list, tuple)) and class_names else None
    )
    task = "classification"
    labels: npt.NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    if values is not None:
        place = f"torchvision:{uri.path}"
        labels, classes, task = read_targets(values, place, names=names_given, task=uri.task)
    size = sum(len(part) for part in parts.values())
    rows: ArraySplit | DatasetSplit
    told = ""
    arrays = [getattr(part, "data", None) for part in parts.values()]
    if all(
        isinstance(a, (torch.Tensor, np.ndarray)) and len(a) == len(p)
        for a, p in zip(arrays, parts.values(), strict=True)
    ):
        stacked = np.concatenate([np.asarray(a) for a in arrays])
        inputs, kind = stored_array(stacked, f"torchvision:{uri.path}", uri.kind)
        rows = ArraySplit(inputs, labels, ids=np.arange(size))
        shape = tuple(inputs.shape[1:])
    else:
        whole: Any = torch.utils.data.ConcatDataset(list(parts.values()))
        convert, kind, shape, told = converter(Peek(whole), f"torchvision:{uri.path}", uri.kind, uri.size)
        rows = DatasetSplit(whole, labels=labels, ids=np.arange(size), convert=convert)
    numbers = np.empty(0) if labels is None else label_texts(labels, classes)
    return RawData(
        name=uri.path.lower(),
        kind=kind,
        rows=rows,
        classes=classes,
        task=task,
        shape=shape,
        given=given,
        columns=() if labels is None else ("label",),
        column=lambda _: numbers,
        reading=f"{size:,} samples of torchvision's {uri.path}, {kind}{told}, "
        + (targets_said(classes, task) if labels is not None else "no labels")
        + (", splits of its own" if given is not None else ", no splits of its own"),
    )


def _parts(factory: Any, uri: DataUri) -> dict[str, Any]:
    known = inspect.signature(factory).parameters
    common: dict[str, Any] = {}
    if "root" in known:
        if uri.root is None and known["root"].default is inspect.Parameter.empty:
            raise UsageError(f"torchvision:{uri.path} needs root: write torchvision:{uri.path}?root=FOLDER")
        if uri.root is not None:
            common["root"] = str(Path(uri.root).expanduser())
    if "download" in known:
        common["download"] = uri.download
    if uri.path == "EMNIST":
        common["split"] = uri.config or "balanced"
    choices: dict[str, dict[str, Any]] = {"": {}}
    if "train" in known:
        choices = {"train": {"train": True}, "test": {"train": False}}
    elif "split" in known and "split" not in common:
        choices = {"train": {"split": "train"}, "test": {"split": "test"}}
    try:
        return {role: factory(**common, **choice) for role, choice in choices.items()}
    except (RuntimeError, FileNotFoundError, NotADirectoryError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0].rstrip(".")
        raise DataError(
            f"torchvision:{uri.path} is not in {uri.root}: {reason}; give its folder as root, or add download=1"
        ) from error
    except (TypeError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"torchvision:{uri.path} cannot be opened by name: {reason}; open it in Python and hand the Dataset over"
        ) from error
