"""Texts of a few kilobytes packed one by one: a Zstandard frame each, by a dictionary of what runs have in common.

A frame names its dictionary by a number, so a later one is a file beside the first, which stays for what it packed.
Nothing is unpacked that says it is larger than a record can be.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zstandard import ZstdCompressionDict, ZstdCompressor, ZstdDecompressor

MAGIC = b"\x28\xb5\x2f\xfd"  # of a frame (RFC 8878); no JSON text and no UTF-8 begins so
MOST_BYTES = (
    32 * 2**20
)  # of a text; a run is some kB, and a few MB with changes by tensor of a very large network
# Trained on the runs that ship by benchmarks/record_dictionary.py. It never changes: what is packed needs it.
DICTIONARY = Path(__file__).with_name("records-1.zdict")
_LEVEL = 15


class PackingError(ValueError):
    """Bytes that are no packed text; the message is part of a sentence."""


def pack(text: str) -> bytes:
    """A text as a frame, with a checksum."""
    return _compressor().compress(text.encode())


def is_packed(value: object) -> bool:
    """Whether a stored value is a frame rather than a text."""
    return isinstance(value, bytes) and value.startswith(MAGIC)


def unpack(frame: bytes) -> bytes:
    """The text of a frame, as UTF-8.

    Raises:
        PackingError: it is damaged, packed by a dictionary that is not known here, or larger than a record can be.
    """
    import zstandard

    try:
        told = zstandard.get_frame_parameters(frame)
        if told.dict_id not in (0, _dictionary().dict_id()):
            raise PackingError("packed by a newer foretoll")
        if told.content_size > MOST_BYTES:  # one that is not told is larger than any number
            raise PackingError(f"packed, and would take more than {MOST_BYTES >> 20} MB")
        return _decompressor().decompress(frame)
    except zstandard.ZstdError as error:
        raise PackingError("packed, and damaged") from error


@cache
def _dictionary() -> ZstdCompressionDict:
    import zstandard

    return zstandard.ZstdCompressionDict(DICTIONARY.read_bytes())


@cache
def _compressor() -> ZstdCompressor:
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=_dictionary(), write_checksum=True)


@cache
def _decompressor() -> ZstdDecompressor:
    import zstandard

    return zstandard.ZstdDecompressor(dict_data=_dictionary())
