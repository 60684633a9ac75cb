"""Texts of a few kilobytes packed one by one: a Zstandard frame each, by a dictionary of what runs have in common.

A frame names its dictionary by a number, so a later one is a file beside the first, which stays for what it packed.
Number 2 is no file: it is the number of a text that goes on from another one, as a run's end does from its start, and
its dictionary is the end of the first one followed by that other text.
Nothing is unpacked that says it is larger than a record can be.
"""

from __future__ import annotations

from contextlib import suppress
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
_AFTER = 2  # number of the dictionaries that end in the text before
_HEADER = 127  # bytes of the first dictionary before its content: number, tables of codes, three offsets
_TAIL = 24_576  # of its content, where what is most common stands: the whole takes seven times as long for 3 % less


class PackingError(ValueError):
    """Bytes that are no packed text; the message is part of a sentence."""


def pack(text: str, after: bytes | None = None) -> bytes:
    """A text as a frame, with a checksum; `after`: the text before it, without which it cannot be unpacked."""
    return _compressor(after).compress(text.encode())


def is_packed(value: object) -> bool:
    """Whether a stored value is a frame rather than a text."""
    return isinstance(value, bytes) and value.startswith(MAGIC)


def goes_on(frame: bytes) -> bool:
    """Whether a frame can be unpacked only after the text that it goes on from."""
    import zstandard

    with suppress(zstandard.ZstdError):
        return bool(zstandard.get_frame_parameters(frame).dict_id == _AFTER)
    return False


def unpack(frame: bytes, after: bytes | None = None) -> bytes:
    """The text of a frame, as UTF-8; `after`: the text that it goes on from, where it does.

    Raises:
        PackingError: it is damaged, packed by a dictionary that is not known here, larger than a record can be, or
            goes on from another text than this.
    """
    import zstandard

    try:
        told = zstandard.get_frame_parameters(frame)
        if told.dict_id not in (0, _AFTER, _dictionary().dict_id()):
            raise PackingError("packed by a newer foretoll")
        if told.content_size > MOST_BYTES:  # one that is not told is larger than any number
            raise PackingError(f"packed, and would take more than {MOST_BYTES >> 20} MB")
        if told.dict_id != _AFTER:
            return _decompressor().decompress(frame)
        if after is None:
            raise PackingError("packed, and the record that it goes on from is not there or damaged")
        return zstandard.ZstdDecompressor(dict_data=_dictionary_after(after)).decompress(frame)
    except zstandard.ZstdError as error:
        raise PackingError("packed, and damaged") from error


@cache
def _dictionary() -> ZstdCompressionDict:
    import zstandard

    return zstandard.ZstdCompressionDict(DICTIONARY.read_bytes())


@cache
def _before_another() -> bytes:
    """What stands in a dictionary before the text that another one goes on from."""
    first = DICTIONARY.read_bytes()
    return first[:4] + _AFTER.to_bytes(4, "little") + first[8:_HEADER] + first[-_TAIL:]


def _dictionary_after(text: bytes) -> ZstdCompressionDict:
    import zstandard

    return zstandard.ZstdCompressionDict(_before_another() + text)


def _compressor(after: bytes | None) -> ZstdCompressor:
    return _usual_compressor() if after is None else _made_compressor(_dictionary_after(after))


@cache
def _usual_compressor() -> ZstdCompressor:
    return _made_compressor(_dictionary())


def _made_compressor(dictionary: ZstdCompressionDict) -> ZstdCompressor:
    import zstandard

    return zstandard.ZstdCompressor(level=_LEVEL, dict_data=dictionary, write_checksum=True)


@cache
def _decompressor() -> ZstdDecompressor:
    import zstandard

    return zstandard.ZstdDecompressor(dict_data=_dictionary())
