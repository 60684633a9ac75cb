"""Tokenizers: of transformers, from a local folder; or the bytes of a text, where none is named."""

from __future__ import annotations

from typing import Any

from foretoll.errors import MissingExtraError, ModelError, one_line, shown

BYTES = 256


def load_tokenizer(folder: str | None) -> Any:
    """A transformers tokenizer from a local folder, without running any code that the folder holds."""
    if folder is None:
        raise ModelError(
            "the model has no tokenizer, so it cannot read texts: load it with options tokenizer=FOLDER"
        )
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtraError("a text model's tokenizer", "hf") from error
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # on a file of somebody else's the library raises nearly anything
        raise ModelError(
            f"no tokenizer can be read from {shown(folder)} ({one_line(str(error), 100)}); save one there with "
            "tokenizer.save_pretrained"
        ) from error


class Tokens:
    """Texts as ids: with the tokenizer of a folder, whose end-of-text token ends each text, or as their UTF-8 bytes.

    size: of the vocabulary. Raises ModelError where the folder holds no tokenizer.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._tokenizer: Any = None if folder is None else load_tokenizer(folder)
        self.size = BYTES if self._tokenizer is None else len(self._tokenizer)

    def ids(self, text: str) -> list[int]:
        """The ids of one text."""
        if self._tokenizer is None:
            return list(text.encode("utf-8", "replace"))
        found: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        end = self._tokenizer.eos_token_id
        return found if end is None else [*found, int(end)]
