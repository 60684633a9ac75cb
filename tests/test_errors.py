"""Messages repeat text from users and files safely."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.data import open_data
from foretoll.errors import SHOWN, ForetollError, listed, one_line, read_small, shown, unknown_name
from foretoll.models.weights import read_weights


@given(st.text(st.characters(exclude_categories=[]), max_size=300))
def test_shown_is_printable_and_short(text: str) -> None:
    said = shown(text)
    assert said.isprintable()
    assert len(said) <= SHOWN + 2
    said.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plain name", "'plain name'"),
        ("\x1b[31mred", "'\\x1b[31mred'"),
        ("two\nlines", "'two\\nlines'"),
        ("left\u202eright", "'left\\u202eright'"),
        ("lone \udcff", "'lone \\udcff'"),
        ("a" * 100, f"'{'a' * 79}…'"),
    ],
)
def test_shown(text: str, said: str) -> None:
    assert shown(text) == said


def test_a_path_keeps_its_end() -> None:
    said = shown(Path("/far" * 40) / "name\n.npz")
    assert said.startswith("'…")
    assert said.endswith("/name\\n.npz'")
    assert len(said) <= SHOWN + 2


@given(st.text(st.characters(exclude_categories=[]), max_size=900), st.integers(20, 300))
def test_a_message_is_one_printable_line(text: str, limit: int) -> None:
    said = one_line(text, limit)
    assert said.isprintable()
    assert len(said) <= limit


def test_a_long_message_keeps_its_beginning_and_the_way_out() -> None:
    said = one_line("the file 'a.npz' " + "is bad " * 100 + "copy it again", 300)
    assert len(said) <= 300
    assert said.startswith("the file 'a.npz' is bad")
    assert said.endswith("copy it again")


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=60), max_size=60))
def test_lists_and_unknown_names_are_short(names: list[str]) -> None:
    assert listed(names).isprintable()
    assert len(listed(names)) <= 230
    said = unknown_name("thing", "x\x1b[31m" * 100, names)
    assert said.isprintable()
    assert len(said) <= 300


@pytest.fixture
def somebody_else() -> Iterator[Path]:
    """A folder that everybody can reach, and a process that is not root for a while."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        place.chmod(0o755)
        yield place
        if os.getuid() == 0:
            os.seteuid(0)


def test_no_permission_is_not_called_damage(somebody_else: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from safetensors.torch import save_file

    x, y = np.zeros((9, 3), np.float32), np.arange(9) % 3
    np.savez(somebody_else / "d.npz", x=x, y=y)
    pq.write_table(pa.table({"a": x[:, 0], "label": y}), somebody_else / "d.parquet")
    save_file({"w": torch.zeros(3)}, somebody_else / "w.safetensors")
    torch.save({"w": torch.zeros(3)}, somebody_else / "w.pt")
    for file in somebody_else.iterdir():
        file.chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    for name, read in (
        ("d.npz", lambda file: open_data(f"npz:{file}")),
        ("d.parquet", lambda file: open_data(f"parquet:{file}")),
        ("w.safetensors", read_weights),
        ("w.pt", read_weights),
    ):
        with pytest.raises(ForetollError, match=rf"{name}.* cannot be read .*Permission denied") as told:
            read(somebody_else / name)
        assert "truncated" not in str(told.value)


def test_small_files_are_files_and_small(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert read_small(tmp_path / "a", 100) == b"x" * 100
    with pytest.raises(OSError, match="it is longer than 99 bytes"):
        read_small(tmp_path / "a", 99)
    for name in ("pipe", "loop", "."):
        with pytest.raises(OSError, match="it is no file"):
            read_small(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="No such file"):
        read_small(tmp_path / "gone")
    with pytest.raises(OSError, match="it is no file"):
        read_small(Path("/dev/zero"))
