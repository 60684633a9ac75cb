"""`skip_unreadable=true`: pictures that cannot be read are left out, and it is said how many and which.

To know them every picture is decoded once when the data are opened, since a header may be whole where its picture is
cut off.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from foretoll.data.images import EncodedImages, ImageForm, to_form
from foretoll.errors import DataError

_SMALL = ImageForm(
    channels=3, height=8, width=8
)  # a JPEG is then decoded at an eighth, from all of its bytes


def readable(encoded: EncodedImages) -> tuple[npt.NDArray[np.bool_], tuple[str, ...]]:
    """Which pictures can be read, bool (n,), and what to tell of the others.

    Raises:
        DataError: none of them can.

    """

    def fault(row: int) -> DataError | None:
        try:
            with encoded[row] as picture:
                try:
                    to_form(picture, _SMALL)
                except Exception as error:
                    raise encoded.unreadable(row, error) from error
        except DataError as error:
            return error
        return None

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # of damaged metadata: the picture itself says whether it can be read
        faults = list(pool.map(fault, range(len(encoded)), chunksize=16))
    found = [error for error in faults if error is not None]
    kept = np.array([error is None for error in faults], dtype=bool)
    if not found:
        return kept, ()
    first = str(found[0]).partition(": ")[0]
    if not kept.any():
        raise DataError(f"{first}, and of {len(kept):,} images none can be read: give one that can")
    note = (
        f"{len(found):,} of {len(kept):,} images cannot be read and are left out (skip_unreadable=true), such as "
        f"this: {first}"
    )
    return kept, (note,)
