"""`text:PATH`: texts for a language model, cut into blocks of tokens; the next token is what is to be predicted.

A text file is one text. Of a .jsonl file, a .parquet file and a folder written by `datasets`, each row is one: the
column `text`, or `column=`; their other columns can be asked for with `where=`, and `split` says the split. A folder
of such files is all of them, in the order of their names. `block=` tokens go into one sample (64 unless it is said);
`tokenizer=` is the folder of a transformers tokenizer, without which the tokens are the text's bytes (256).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from foretoll.data.address import DataUri
from foretoll.data.blocks import BLOCK, blocks
from foretoll.data.open_parquet import read_table
from foretoll.data.presence import check_there
from foretoll.data.raw import RawData, role_of, splits_said
from foretoll.data.splits import ArraySplit
from foretoll.data.tokenizers import Tokens
from foretoll.errors import DataError, UsageError, check_refused, shown, unknown_name
from foretoll.tasks.language import vocabulary

TASK = "language"
ROWS, FILES = (".jsonl", ".ndjson", ".parquet"), (".txt", ".md", ".rst")
LONGEST_BLOCK = 65_536


class Texts(NamedTuple):
    """Texts, and further columns of each by name."""

    texts: list[str]
    columns: dict[str, list[Any]]


def open_text(uri: DataUri) -> RawData:
    """Read all texts, tokenise them and cut them into blocks."""
    if uri.task not in {None, TASK}:
        raise UsageError(
            f"data URI {shown(uri.text)}: text: holds texts to go on writing, so task={uri.task} has no targets in it; "
            "use parquet:, csv: or hf: for labelled texts"
        )
    check_there(uri)
    length = _block(uri)
    root = uri.file
    found = read_texts(root, uri.own.get("column", "text"), uri.shown_path)
    tokens = Tokens(uri.own.get("tokenizer"))
    inputs, targets, of_text = blocks([tokens.ids(text) for text in found.texts], length, uri.shown_path)
    columns = {name: np.array([str(v) for v in values])[of_text] for name, values in found.columns.items()}
    given = columns.get("split")
    source = RawData(
        name=root.resolve().stem,
        kind="text",
        rows=ArraySplit(_tensor(inputs), targets, ids=np.arange(len(inputs))),
        classes=vocabulary(tokens.size),
        shape=(),
        task=TASK,
        given=None if given is None else np.array([role_of(name) for name in given.tolist()]),
        columns=tuple(columns),
        column=lambda name: columns[name],
    )
    named = f"tokens of {Path(uri.own['tokenizer']).name}" if "tokenizer" in uri.own else "bytes"
    count = f"{len(found.texts):,} texts" if len(found.texts) > 1 else "a text"
    source.reading = (
        f"{count} in {len(inputs):,} blocks of {inputs.shape[1]:,} {named} ({tokens.size:,} different), the next one "
        f"to be predicted, {splits_said(source, uri)}"
    )
    return source


def _block(uri: DataUri) -> int:
    text = uri.own.get("block", str(BLOCK))
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= LONGEST_BLOCK):
        raise UsageError(
            f"data URI {shown(uri.text)}: block={shown(text, 40)[1:-1]} is no number of tokens from 1 "
            f"to {LONGEST_BLOCK:,}"
        )
    return int(text)


def read_texts(path: Path, column: str, where: str) -> Texts:
    """The texts of a file or folder; DataError where there are none, UsageError for a column that there is not."""
    if path.is_dir():
        if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
            return _of_datasets(path, column, where)
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (*ROWS, *FILES) and p.is_file())
        if not files:
            raise DataError(
                f"{where} holds no {', '.join((*FILES, *ROWS))} file: give texts, or their folder"
            )
        parts = [read_texts(file, column, shown(file)) for file in files]
        texts = [text for part in parts for text in part.texts]
        names = [
            file.relative_to(path).as_posix()
            for file, part in zip(files, parts, strict=True)
            for _ in part.texts
        ]
        return Texts(texts, {"file": names})
    if path.suffix.lower() == ".parquet":
        table = read_table(path, where)
        return _of_columns(
            {name: table.column(name).to_pylist() for name in table.column_names}, column, where
        )
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        check_refused(error, where, DataError)
        raise DataError(f"{where} is no text in UTF-8: save it as such") from error
    if path.suffix.lower() in ROWS:
        return _of_columns(_of_lines(content, where), column, where)
    return Texts([content], {})


def _of_lines(content: str, where: str) -> dict[str, list[Any]]:
    """Columns of a .jsonl file: each line is an object, or a text."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where} cannot be read as JSON in line {number}: give one object a line"
            ) from error
        rows.append(row if isinstance(row, dict) else {"text": row})
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _of_datasets(path: Path, column: str, where: str) -> Texts:
    from foretoll.data.open_hf import load_parts

    columns: dict[str, list[Any]] = {}
    count = 0
    parts = load_parts(DataUri(text=f"hf:{path}", scheme="hf", path=str(path)))
    for role, part in parts.items():
        for name in part.column_names:
            columns.setdefault(name, [None] * count).extend(part[name])
        if role:
            columns.setdefault("split", [None] * count).extend([role] * len(part))
        count += len(part)
    return _of_columns(columns, column, where)


def _of_columns(columns: dict[str, list[Any]], column: str, where: str) -> Texts:
    if column not in columns:
        raise UsageError(f"{where}: {unknown_name('column of texts', column, columns or ('none',))}")
    texts = columns[column]
    row = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if row is not None:
        raise DataError(
            f"{where} has no text in row {row} of column {shown(column, 40)}, but {shown(texts[row], 40)}: remove such "
            "rows, or name another column (column=)"
        )
    plain = {
        name: v
        for name, v in columns.items()
        if name != column and isinstance(next(iter(v), None), str | int)
    }
    return Texts(texts, plain)


def _tensor(values: Any) -> Any:
    import torch

    return torch.from_numpy(values)
