"""Checks of what was typed that load nothing heavy: a call that is wrong is refused within a second."""

from __future__ import annotations

import os
from collections.abc import Sequence

from foretoll.errors import UsageError, shown

READ_VARIABLES = ("FORETOLL_LEDGER", "FORETOLL_DATA", "FORETOLL_REGION", "FORETOLL_PUE", "XDG_DATA_HOME")


def check_texts(words: Sequence[str]) -> None:
    """Refuse words and variables that are no text: bytes that the machine's encoding does not know.

    They could be opened but neither stored in a ledger nor shown.
    """
    for what, text in (
        *(("the argument", word) for word in words),
        *((name, os.environ.get(name, "")) for name in READ_VARIABLES),
    ):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{what} {shown(text)} is no UTF-8 text: rename what it names, or set a UTF-8 locale"
            ) from None
