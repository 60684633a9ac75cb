"""Tables: what becomes of their columns, and the same columns found again by name."""

from __future__ import annotations

import datetime
import decimal
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, ForetollError, UsageError
from foretoll.records import TableLayout

N = 120
CHANNELS = np.array(["app", "branch", "phone"])
LABELS = np.array(["ant", "bee", "cat"])[np.arange(N) % 3]


def frame(**extra: Any) -> dict[str, Any]:
    """Two columns of numbers, one of categories, labels; `extra` columns beside them."""
    random = np.random.default_rng(0)
    return {
        "age": random.normal(size=N),
        "income": random.normal(size=N),
        "channel": CHANNELS[random.integers(3, size=N)],
        **extra,
        "label": extra.get("label", LABELS),
    }


def table(
    tmp_path: Path, columns: dict[str, Any], query: str = "", layout: TableLayout | None = None
) -> TaskData:
    file = tmp_path / f"t{len(list(tmp_path.iterdir()))}.parquet"
    pq.write_table(pa.table(columns), file)
    return open_data(f"parquet:{file}{query}", layout=layout)


def inputs(data: TaskData) -> torch.Tensor:
    return torch.cat([split.all().inputs for split in (data.train, data.validation, data.test)])


def names(data: TaskData) -> list[str]:
    assert data.card.layout is not None
    return [column.name for column in data.card.layout.columns]


# --- by name -------------------------------------------------------------------------------------


def test_the_order_of_the_columns_does_not_matter(tmp_path: Path) -> None:
    whole = frame()
    first = table(tmp_path, whole)
    other = table(
        tmp_path, {k: whole[k] for k in ("label", "channel", "income", "age")}, layout=first.card.layout
    )
    assert torch.equal(inputs(first), inputs(other)) and first.card.layout == other.card.layout
    assert "3 columns matched by name" in other.card.reading and other.card.notes == ()


def test_a_shift_draws_the_same_numbers_whatever_the_order(tmp_path: Path) -> None:
    whole = frame()
    first = table(tmp_path, whole, "?shift=gaussian_noise:0.5")
    turned = {k: whole[k] for k in ("income", "age", "channel", "label")}
    other = table(tmp_path, turned, "?shift=gaussian_noise:0.5", layout=first.card.layout)
    assert torch.equal(inputs(first), inputs(other))


def test_levels_keep_their_inputs_and_unknown_ones_are_told(tmp_path: Path) -> None:
    first = table(tmp_path, frame())
    moved = np.where(frame()["channel"] == "app", "web", frame()["channel"])
    other = table(tmp_path, frame(channel=moved), layout=first.card.layout)
    assert other.shape == first.shape
    branch, app = inputs(first)[:, 3], inputs(first)[:, 2]
    assert torch.equal(inputs(other)[:, 3], branch) and inputs(other)[:, 2].sum() == 0 and app.sum() > 0
    assert any("'web' in column 'channel'" in note and f"of {N} rows" in note for note in other.card.notes)


def test_levels_in_another_spelling_or_as_a_dictionary_are_the_same(tmp_path: Path) -> None:
    first = table(tmp_path, frame())
    spelled = pa.array([f" {level.upper()}\r" for level in frame()["channel"]]).dictionary_encode()
    other = table(tmp_path, frame(channel=spelled), layout=first.card.layout)
    assert torch.equal(inputs(first), inputs(other))
    assert any("read as the model's: ' APP\\r' = 'app'" in note for note in other.card.notes)


def test_a_missing_column_is_named_with_its_nearest_and_new_ones_are_told(tmp_path: Path) -> None:
    layout = table(tmp_path, frame()).card.layout
    renamed = {("incme" if k == "income" else k): v for k, v in frame().items()}
    with pytest.raises(DataError, match=r"lacks the column 'income' .* did you mean 'incme'\? rename it"):
        table(tmp_path, renamed, layout=layout)
    with pytest.raises(DataError, match=r"lacks 2 columns \(age, income\) that the model reads"):
        table(
            tmp_path,
            {k: v for k, v in frame(x=np.zeros(N)).items() if k not in {"age", "income"}},
            layout=layout,
        )
    more = table(tmp_path, frame(height=np.zeros(N)), layout=layout)
    assert torch.equal(inputs(more), inputs(table(tmp_path, frame())))
    assert any("does not read are left out: height" in note for note in more.card.notes)
    nameless = table(tmp_path, frame(**{"": np.arange(N)}), layout=layout)  # as pandas writes an index
    assert any(note.endswith("does not read are left out: ''") for note in nameless.card.notes)


def test_a_missing_value_in_a_column_that_the_model_does_not_read_is_no_fault(tmp_path: Path) -> None:
    layout = table(tmp_path, frame()).card.layout
    data = table(tmp_path, frame(new=[None] + [1.0] * (N - 1)), layout=layout)
    assert names(data) == ["age", "income", "channel"]


def test_numbers_as_texts_are_read_and_texts_for_numbers_refused(tmp_path: Path) -> None:
    first = table(tmp_path, frame())
    texts = np.array([repr(float(v)) for v in frame()["age"]])
    other = table(tmp_path, frame(age=texts), layout=first.card.layout)
    assert torch.allclose(inputs(first), inputs(other))
    assert any("'age' holds texts, read as the numbers" in note for note in other.card.notes)
    with pytest.raises(
        DataError, match=r"texts in column 'age' \('old' in row 0\), where the model reads a number"
    ):
        table(tmp_path, frame(age=["old"] * N), layout=first.card.layout)
    with pytest.raises(DataError, match="none of the model's levels in column 'channel'"):
        table(tmp_path, frame(channel=np.arange(N) % 3), layout=first.card.layout)


def test_the_label_column_is_found_by_the_name_that_the_source_has(tmp_path: Path) -> None:
    risk = {("risk" if k == "label" else k): v for k, v in frame().items()}
    source = table(tmp_path, risk, "?label=risk")
    target = table(tmp_path, risk, layout=source.card.layout)
    assert target.classes == source.classes == ("ant", "bee", "cat")
    assert torch.equal(inputs(source), inputs(target))


def test_data_that_are_open_already_are_put_in_order_too(tmp_path: Path) -> None:
    whole = frame()
    first = table(tmp_path, whole)
    turned = table(tmp_path, {k: whole[k] for k in ("channel", "income", "age", "label")})
    assert not torch.equal(inputs(first), inputs(turned))
    other = open_data(turned, layout=first.card.layout)
    assert torch.equal(inputs(first), inputs(other)) and other.card.layout == first.card.layout
    two = table(tmp_path, {k: whole[k] for k in ("channel", "income", "label")})
    with pytest.raises(DataError, match="lacks the column 'age' that the model reads"):
        open_data(two, layout=first.card.layout)
    bare = open_data((np.zeros((60, 5), dtype=np.float32), np.arange(60) % 3), layout=first.card.layout)
    assert any("names no columns: its 5 numbers" in note for note in bare.card.notes)


# --- what is left out ----------------------------------------------------------------------------

ODD = {
    "customer": [f"C{i:05d}" for i in range(N)],
    "accountId": np.random.default_rng(1).permutation(10 * N)[:N],
    "line": np.arange(N)[::-1].copy(),
    "phone": 4_900_000_000 + 7919 * np.arange(N),
    "__index_level_0__": np.arange(N),
    "when": [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=i) for i in range(N)],
    "day": pa.array([0] * N, pa.date32()),
    "remark": [f"came in at {i} and left again" for i in range(N)],
    "nothing": pa.nulls(N),
    "nested": [{"a": 1}] * N,
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_input_is_left_out_aloud(name: str, tmp_path: Path) -> None:
    data = table(tmp_path, frame(**{name: ODD[name]}))
    assert names(data) == ["age", "income", "channel"]
    assert len(data.card.notes) == 1 and f"columns left out: {name} (" in data.card.notes[0]


def test_real_inputs_stay(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    inputs_ = {
        "cents": random.integers(1, 10**6, size=N),
        "grade": random.integers(5, size=N),
        "town": np.array([f"town {i}" for i in random.integers(30, size=N)]),
        "price": [decimal.Decimal("1.50")] * N,
        "member": random.integers(2, size=N).astype(bool),
        "id": random.integers(3, size=N),
    }
    data = table(tmp_path, frame(**inputs_))
    assert names(data) == ["age", "income", "channel", *inputs_] and data.card.notes == ()


def test_columns_and_drop_choose(tmp_path: Path) -> None:
    assert names(table(tmp_path, frame(), "?drop=age,channel")) == ["income"]
    assert names(table(tmp_path, frame(), "?columns=income,age")) == ["income", "age"]
    chosen = table(tmp_path, frame(customer=ODD["customer"]), "?columns=age,customer")
    assert chosen.shape == (1 + N,), "who names a column gets it"
    comma = table(tmp_path, frame(**{"a,b": np.zeros(N)}), "?drop=a%2Cb,age")
    assert names(comma) == ["income", "channel"]
    with pytest.raises(UsageError, match="did you mean 'income'"):
        table(tmp_path, frame(), "?drop=incme")
    with pytest.raises(DataError, match="'when', which are no inputs: leave it out with drop=when"):
        table(tmp_path, frame(when=ODD["when"]), "?columns=age,when")


def test_the_way_out_of_missing_values_can_be_taken(tmp_path: Path) -> None:
    holes = {"income": [None, float("nan"), *frame()["income"][2:].tolist()]}
    with pytest.raises(
        DataError, match=r"2 missing numbers in column 'income'.*drop=income.*where=income!\(missing\)"
    ):
        table(tmp_path, frame(**holes))
    assert names(table(tmp_path, frame(**holes), "?drop=income")) == ["age", "channel"]
    data = table(tmp_path, frame(**holes), "?where=income!(missing)")
    assert len(data.train) + len(data.validation) + len(data.test) == N - 2
    assert bool(torch.isfinite(inputs(data)).all())
    labels = [None, "", *LABELS[2:].tolist()]
    with pytest.raises(DataError, match=r"2 missing labels, the first in row 0: .*where=label!\(missing\)"):
        table(tmp_path, frame(label=labels))
    assert table(tmp_path, frame(label=labels), "?where=label!(missing)").classes == ("ant", "bee", "cat")


def test_a_way_out_is_only_advised_where_it_is_one(tmp_path: Path) -> None:
    rare = frame(label=np.array([1, *[0] * (N - 1)]))
    with pytest.raises(
        DataError, match=r"single class '0': it needs more samples of other classes \(of '1' there are 1"
    ):
        table(tmp_path, rare)
    with pytest.raises(DataError, match=r"it needs a larger limit$"):
        table(tmp_path, rare, "?limit=20")
    with pytest.raises(DataError, match=r"it needs a wider where$"):
        table(tmp_path, rare, "?where=label:0")


def test_texts_alone_are_read_as_texts_and_numbers_beside_them_are_told(tmp_path: Path) -> None:
    remarks = {"remark": ODD["remark"], "customer": ODD["customer"], "label": LABELS}
    data = table(tmp_path, remarks)
    assert data.kind == "text" and "texts of column 'remark'" in data.card.reading
    beside = table(tmp_path, {"text": ODD["remark"], **frame()})
    assert beside.kind == "text" and "left out: 'age', 'income', 'channel'" in beside.card.notes[0]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = pa.table([np.zeros(N), np.zeros(N), LABELS], names=["a", "a", "label"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    (tmp_path / "twice.csv").write_text("a,a,label\n1,2,x\n3,4,y\n")
    for scheme in ("parquet", "csv"):
        with pytest.raises(DataError, match="two columns named 'a'"):
            open_data(f"{scheme}:{tmp_path}/twice.{scheme}")


# --- CSV -----------------------------------------------------------------------------------------


def csv_text(sep: str = ",", end: str = "\n") -> str:
    whole = frame()
    rows = [sep.join(whole)]
    rows += [sep.join(str(whole[k][i]) for k in whole) for i in range(N)]
    return end.join(rows) + end


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.txt"])
def test_csv_reads_as_parquet_does(name: str, tmp_path: Path) -> None:
    sep = {"t.tsv": "\t", "t.txt": ";"}.get(name, ",")
    content = csv_text(sep, "\r\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    query = "?sep=%3B" if name == "t.txt" else ""
    data = open_data(f"csv:{tmp_path}/{name}{query}")
    assert torch.allclose(inputs(data), inputs(table(tmp_path, frame())))
    assert data.classes == ("ant", "bee", "cat") and data.name == "t"


def test_csv_of_another_separator_says_which(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv_text(";"))
    with pytest.raises(DataError, match=r"separated by ';'; say sep=%3B"):
        open_data(f"csv:{tmp_path}/t.csv")


def test_csv_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    cases = {
        "ragged": b"a,label\n1,0\n1,0,3\n",
        "bytes": b"a,label\n\xff\xfe,0\n",
        "empty": b"",
        "cut": b"\x1f\x8b\x08",
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ForetollError) as caught:
            open_data(f"csv:{tmp_path}/{name}")
        assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"a,label\n1,0\n" + b"1" * 2000, b'a,label\n"' + b"1,0\n" * 500])
def test_a_row_without_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("foretoll.data.open_csv.BLOCK", 400)
    (tmp_path / "d.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.csv' has a row of more than 400 bytes, .*close its quotes"):
        open_data(f"csv:{tmp_path}/d.csv")


def test_numbers_that_become_texts_late_in_a_file_are_categories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretoll.data.open_csv.BLOCK", 400)
    rows = [f"{i % 3},{i % 2}" for i in range(N - 1)] + ["many,0"]
    (tmp_path / "t.csv").write_text("\n".join(["count,label", *rows]))
    data = open_data(f"csv:{tmp_path}/t.csv")
    assert data.card.layout is not None and data.card.layout.columns[0].levels == ("0", "1", "2", "many")
    assert data.classes == ("0", "1")


def test_a_gzip_bomb_is_refused_before_its_memory_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretoll.data.limits.BOMB_BYTES", 2_000_000)
    for name, block in (("lines", b"\n" * 1_000_000), ("one line", b"0" * 1_000_000)):
        with gzip.open(tmp_path / f"{name}.csv.gz", "wb") as file:
            file.write(b"a,label\n")
            for _ in range(30):
                file.write(block)
        with pytest.raises(
            DataError, match=r"unpacks from .* to 2\.\d MB, which no data do|unpacks from .* to [2-9]"
        ):
            open_data(f"csv:{tmp_path}/{name}.csv.gz")


@pytest.mark.parametrize("key", ["limit=300", "classes=0,1", "part=1/2"])
def test_the_reading_says_how_many_rows_were_taken(key: str) -> None:
    assert "taken" not in open_data("digits").card.reading
    some = open_data(f"digits?{key}")
    count = sum(len(split) for split in (some.train, some.validation, some.test))
    assert 0 < count < 1797 and some.card.reading.endswith(f", {count:,} of them used")
