"""Data that are open already, with their inputs in the order in which a model takes them."""

from __future__ import annotations

from dataclasses import replace

import torch

from foretoll.data.spelling import match_names
from foretoll.data.splits import ArraySplit, Split
from foretoll.data.taskdata import TaskData, reference_of
from foretoll.errors import DataError, shown
from foretoll.records import TableColumn, TableLayout


def arranged(data: TaskData, layout: TableLayout | None) -> TaskData:
    """The same samples with the columns of `layout`, found by name; as they are where they stand so already.

    Rows of numbers without names (arrays, .npz files) are taken as they are, with a note.

    Raises:
        DataError: a column of the layout is missing, or holds something else.

    """
    wanted = layout.columns if layout is not None else ()
    if not wanted or data.kind not in {"vector", "series"}:
        return data
    have = data.card.layout.columns if data.card.layout is not None else ()
    if have == wanted:
        return data
    width = sum(column.width for column in wanted)
    if not have:
        note = f"{data.name} names no columns: its {width:,} numbers are taken as the model's columns, in their order"
        notes = data.card.notes if data.shape[-1] != width else (*data.card.notes, note)
        return replace(data, card=data.card.model_copy(update={"notes": notes}))
    pairs, told = _pairs(data.name, have, wanted)
    splits = {
        role: _with_inputs(split, pairs, width)
        for role, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }
    card = data.card.model_copy(
        update={
            "layout": layout,
            "shape": (*data.shape[:-1], width),
            "notes": (*data.card.notes, *told),
        }
    )
    return TaskData(card, **splits, reference=reference_of(splits["train"], data.kind))


def _starts(columns: tuple[TableColumn, ...]) -> dict[str, tuple[int, TableColumn]]:
    """Each column by its name, with the position of its first input."""
    found, at = {}, 0
    for column in columns:
        found[column.name] = (at, column)
        at += column.width
    return found


def _pairs(
    name: str, have: tuple[TableColumn, ...], wanted: tuple[TableColumn, ...]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Which input at hand goes to which input wanted, and what there is to tell."""
    own, pairs, notes = _starts(have), [], []
    for column_name, (to, column) in _starts(wanted).items():
        if column_name not in own:
            raise DataError(
                f"{name} lacks the column {shown(column_name)} that the model reads: add it, or give a model that was "
                "trained without"
            )
        start, mine = own[column_name]
        categories = mine.kind == "category", column.kind == "category"
        if categories[0] != categories[1] or (not any(categories) and mine.width != column.width):
            raise DataError(
                f"{name} holds a {mine.kind} in column {shown(column_name)}, where the model reads a {column.kind}: "
                "give the column as that"
            )
        if not any(categories):
            pairs += [(start + i, to + i) for i in range(column.width)]
            continue
        known = match_names(mine.levels, column.levels)
        pairs += [(start + mine.levels.index(a), to + column.levels.index(b)) for a, b in known.items()]
        if len(known) < len(mine.levels):
            unseen = next(level for level in mine.levels if level not in known)
            notes.append(
                f"{name}: {len(mine.levels) - len(known)} levels of column {shown(column_name)} ({shown(unseen, 30)}) "
                "are unknown to the model, which reads no level there"
            )
    if new := [column_name for column_name in own if column_name not in _starts(wanted)]:
        left = ", ".join(shown(column_name, 30) for column_name in new[:5]) + (" …" if len(new) > 5 else "")
        notes.append(f"{name}: columns that the model does not read are left out: {left}")
    return pairs, notes


def _with_inputs(split: Split, pairs: list[tuple[int, int]], width: int) -> Split:
    inputs = split.all().inputs
    origin, goal = (torch.tensor(positions, dtype=torch.int64) for positions in zip(*pairs, strict=True))
    filled = inputs.new_zeros((*inputs.shape[:-1], width))
    filled.index_add_(-1, goal, inputs.index_select(-1, origin))  # levels that mean the same are one
    twin = ArraySplit(filled, split.labels, ids=split.ids)
    twin.explicit_ids = split.explicit_ids
    return twin
