"""Whether the file or folder that a data URI names is there; nothing is opened, and no torch is loaded."""

from __future__ import annotations

import os

from foretoll.data.address import DataUri
from foretoll.errors import DataError, shown

_FILES = {"npz": "an .npz file", "parquet": "a .parquet file", "csv": "a .csv file"}


def check_there(uri: DataUri) -> None:
    """Raise DataError where a file or folder is not there; a scheme that names none passes."""
    if uri.scheme == "folder" and not os.path.isdir(uri.file):  # noqa: PTH112  (pathlib raises on odd names)
        raise DataError(
            f"{uri.shown_path} is no folder: give a folder with one sub-folder of images for each class"
        )
    if uri.scheme == "npz" and os.path.isdir(uri.file):  # noqa: PTH112
        return
    if uri.scheme in _FILES and not os.path.isfile(uri.file):  # noqa: PTH113
        where = shown(uri.file) if uri.scheme == "csv" else uri.shown_path
        raise DataError(f"{where} is no file: give the path of {_FILES[uri.scheme]}")
