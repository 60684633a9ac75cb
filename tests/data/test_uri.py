"""Data URIs: what they mean, and what they refuse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data import open_data, parse_uri
from foretoll.data.address import Where
from foretoll.errors import DataError, UsageError
from foretoll.records import Shift


def test_everything_is_parsed() -> None:
    uri = parse_uri(
        "parquet:/a/b c.parquet?split=train&limit=50&classes=cat,2&shift=rotation:10&shift=contrast:0.5&part=2/3"
        "&where=sex:A|B%26C&where=age!5&rows=:100&kind=vector&label=y&seed=4&size=8x9"
    )
    assert (uri.scheme, uri.path, uri.split, uri.limit) == ("parquet", "/a/b c.parquet", "train", 50)
    assert uri.classes == ("cat", "2")
    assert uri.shifts == (Shift(kind="rotation", level=10), Shift(kind="contrast", level=0.5))
    assert uri.part == (2, 3)
    assert uri.where == (Where("sex", ("A", "B&C")), Where("age", ("5",), negated=True))
    assert (uri.rows, uri.kind, uri.label, uri.seed, uri.size) == ((0, 100), "vector", "y", 4, (8, 9))


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(UsageError) as caught:
        parse_uri("digits?limt=3&rows=5:5&kind=picture")
    message = str(caught.value)
    assert "3 mistakes" in message
    for expected in ("'limit'", "rows=5:5", "'picture'"):
        assert expected in message
    many = "digits?" + "&".join(f"k{i}=1" for i in range(3000))
    with pytest.raises(UsageError, match=r"3,000 mistakes: unknown key 'k0'.*; and 2,9\d\d more$") as caught:
        parse_uri(many)
    assert len(str(caught.value)) <= 300 and str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("digit", "did you mean 'digits'"),
        ("npz:", "needs a path"),
        ("hf:", "needs a name"),
        ("digits:x", "takes no path"),
        ("digits?shift=frost:1.5", "outside 0 … 1"),
        ("digits?shift=frost:nan", "needs a level"),
        ("digits?root=/tmp", "unknown key 'root'"),
        ("digits?seed=1&seed=2", "seed stands twice"),
        ("digits?seed=-1", "at least 0"),
        ("digits?where=label", "COLUMN:VALUE"),
        ("digits?classes=1,,2", "separated by commas"),
        ("torchvision:MNIST?download=yes", "must be true or false"),
        ("folder:x?size=0", "PIXELS"),
        ("folder:x?size=100000", "16,777,216 pixels at most"),
        ("digits?limit=" + "9" * 46, "limit=9{39}… is not a whole number of at least 2"),
        ("digits?limit=" + "9" * 20, "at most 1,000,000,000,000"),
        ("digits?limit=" + "9" * 5000, "is not a whole number"),
        ("digits?rows=" + "9" * 5000 + ":", "START:STOP"),
        ("digits?part=1/1000000000", "K ≤ 10,000"),
        ("digits?limit=%00", r"limit=\\x00 is not"),
        ("digits?shift=jpeg:%1b[31m", r"shift=jpeg:\\x1b\[31m needs a level"),
    ],
)
def test_single_mistakes(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_uri(text)


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused_cleanly(query: str) -> None:
    try:
        parse_uri("digits?" + query)
    except UsageError as error:
        assert "digits" in str(error)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("digits?classes=0,zwei", "unknown class of digits 'zwei'"),
        ("digits?classes=1,10", "unknown class of digits '10'"),
        ("digits?where=size:3", "unknown column of digits 'size'"),
        ("digits?where=label:11", "unknown value of column label"),
        ("digits?split=test", "no splits of its own"),
        ("digits?kind=vector&shift=jpeg:10", "jpeg is for image data"),
        ("some/file.npz", "write npz:some/file.npz"),
    ],
)
def test_mistakes_that_need_the_data(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_data(uri)


def test_digits_splits_and_limits() -> None:
    data = open_data("digits")
    assert (len(data.train), len(data.validation), len(data.test)) == (1079, 359, 359)
    assert (data.kind, data.shape, data.num_classes, data.name) == ("image", (1, 8, 8), 10, "digits")
    assert data.card.train == 1079
    limited = open_data("digits?limit=100")
    assert (len(limited.train), len(limited.validation), len(limited.test)) == (75, 25, 25)
    # fewer rows, never rows of another split
    for part in ("train", "validation", "test"):
        assert set(getattr(limited, part).ids.tolist()) <= set(getattr(data, part).ids.tolist())
    assert torch.equal(limited.train.ids, open_data("digits?limit=100").train.ids)
    assert not torch.equal(limited.train.ids, open_data("digits?limit=100", seed=1).train.ids)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    query=st.sampled_from(["limit=300", "classes=3,5", "rows=200:1500", "where=label!7", "part=1/2"]),
)
def test_test_rows_stay_test_rows_whatever_else_is_chosen(seed: int, query: str) -> None:
    whole, some = open_data("digits"), open_data(f"digits?{query}", seed=seed)
    for part in ("train", "validation", "test"):
        assert set(getattr(some, part).ids.tolist()) <= set(getattr(whole, part).ids.tolist())


def test_parts_share_no_sample_even_under_other_run_seeds() -> None:
    one, two = open_data("digits?part=1/2", seed=3), open_data("digits?part=2/2&shift=frost:0.3", seed=8)
    ids = [set(torch.cat([d.train.ids, d.validation.ids, d.test.ids]).tolist()) for d in (one, two)]
    assert not ids[0] & ids[1]
    assert len(ids[0] | ids[1]) == 1797
    counts = torch.bincount(one.train.labels)  # type: ignore[arg-type]  # digits are labelled
    assert int(counts.max() - counts.min()) <= 5


def test_classes_are_relabelled_in_the_order_given() -> None:
    whole, two = open_data("digits"), open_data("digits?classes=7,2")
    assert two.classes == ("7", "2")
    at = {int(i): int(y) for i, y in zip(whole.train.ids, whole.train.labels, strict=True)}  # type: ignore[arg-type]
    assert {(at[int(i)], int(y)) for i, y in zip(two.train.ids, two.train.labels, strict=True)} == {
        (7, 0),
        (2, 1),
    }  # type: ignore[arg-type]


def test_rows_keep_their_order() -> None:
    data = open_data("digits?rows=100:700")
    for split in (data.train, data.validation, data.test):
        assert (torch.diff(split.ids) > 0).all()
        assert int(split.ids.min()) >= 100
        assert int(split.ids.max()) < 700


def test_kind_can_be_chosen() -> None:
    data = open_data("digits?kind=vector")
    assert (data.kind, data.shape) == ("vector", (64,))
    assert float(data.train.all().inputs.max()) == 1.0


# --- paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "written"),
    [
        ("q?mark", "q?mark"),
        ("q?mark", "q%3Fmark"),
        ("per%20cent", "per%20cent"),
        ("with space", "with%20space"),
        ("am&p", "am&p"),
        ("ha#sh", "ha#sh"),
        ("eq=ual?a=b", "eq=ual?a=b"),
        ("colon:x", "colon:x"),
        ("naïve-日本", "naïve-日本"),
        ("line\nend", "line%0Aend"),
        ("~tilde", "./~tilde"),
    ],
)
def test_every_path_can_be_named(
    folder: str, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    for query in ("", "?limit=9"):
        uri = parse_uri(f"folder:{written}{query}")
        assert uri.file.is_dir() and uri.file.name == folder
        assert uri.limit == (9 if query else None)


def test_a_path_in_bytes_that_are_no_text_is_written_so_that_it_is_found_again(tmp_path: Path) -> None:
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    Path(folder).mkdir()
    uri = parse_uri(f"folder:{folder}")
    assert uri.file.is_dir()
    assert uri.text == f"folder:{tmp_path}/%FF%FE" == uri.text.encode().decode()
    assert parse_uri(uri.text).file.is_dir()


@pytest.mark.parametrize("scheme", ["npz", "folder"])
@pytest.mark.parametrize(
    "path", ["~nosuchuser/x", "a\0b", "a\nb", "\x1b[31m", "a" * 100_000, "/dev/zero", "~"]
)
def test_odd_paths_are_refused_in_one_printable_line(scheme: str, path: str) -> None:
    with pytest.raises(
        DataError, match=r"is no (file|folder)|has no (images|\.npy file)|one folder too many"
    ) as caught:
        open_data(f"{scheme}:{path}")
    assert str(caught.value).isprintable() and len(str(caught.value)) <= 300
