"""`folder:PATH`: images in one folder per class, with or without train, val and test folders above; lazy."""

from __future__ import annotations

import numpy as np

from foretoll.data.address import DataUri
from foretoll.data.folders import read_layout
from foretoll.data.images import DecodedImages, EncodedImages, look_at
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData
from foretoll.data.splits import DatasetSplit
from foretoll.data.unreadable import readable
from foretoll.errors import UsageError


def open_folder(uri: DataUri) -> RawData:
    """List the files (`foretoll.data.folders`); images are decoded when a batch asks for them.

    Images of another size than the commonest one (or `size=`) are resized; photographs are kept smaller than they
    are (`MOST_PIXELS`) where `size=` says nothing, until a model says how it wants them (`foretoll.data.fitting`). A
    class is a folder; classes of all splits together are sorted by name.
    """
    root = uri.file
    check_there(uri)
    if uri.kind not in {None, "image"}:
        raise UsageError(f"folder: holds images, and kind={uri.kind} was asked for: leave kind out")
    layout = read_layout(root)
    notes: tuple[str, ...] = ()
    if uri.skip_unreadable:
        kept, notes = readable(EncodedImages(layout.files, len(layout.files), str(root)))
        layout = layout.only(kept.tolist())
    files = layout.files
    classes = tuple(sorted(set(layout.classes)))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[name] for name in layout.classes], dtype=np.int64)
    encoded = EncodedImages(files, len(files), str(root))
    look = look_at(encoded)
    form = look.form(uri.size)
    texts = np.array(layout.classes)
    reading = [
        f"{len(files):,} images in {len(classes):,} classes",
        *look.told(uri.size),
        "splits from folders" if layout.splits else "no splits of its own",
    ]
    return RawData(
        name=root.resolve().name,
        kind="image",
        rows=DatasetSplit(
            DecodedImages(encoded, form, several=look.several(uri.size), told=look.told_size(uri.size)),
            labels=labels,
            ids=np.arange(len(files)),
            threads=look.threads,
        ),
        classes=classes,
        shape=form.shape,
        given=np.array(layout.splits) if layout.splits else None,
        columns=("label",),
        column=lambda _: texts,
        reading=", ".join(reading),
        notes=(*layout.notes, *notes),
    )
