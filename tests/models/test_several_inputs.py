"""Models with several inputs: a batch is a tree, and everything that walks over samples walks over trees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import foretoll
from foretoll.data import TaskData, open_data
from foretoll.data.parts import columns_of, unpacked
from foretoll.errors import DataError, ModelError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.options import get_option
from foretoll.records import Shift, TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.context import open_update
from foretoll.workflows.retrain import take_signals

N = 240
ACCOUNTING = Accounting("watts:20", region="DE")
SETTINGS = TrainingSettings(batch_size=16, max_epochs=2, until=0.99)


def arrays() -> tuple[dict[str, np.ndarray], np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(N) % 3
    image = generator.integers(0, 200, (N, 8, 8, 1)).astype(np.uint8)
    image[np.arange(N), labels] = 255
    table = generator.normal(size=(N, 4)).astype(np.float32)
    table[:, 0] += labels
    codes = np.stack([labels, generator.integers(0, 5, N)], axis=1)
    return {"image": image, "table": table, "codes": codes}, labels


def data() -> TaskData:
    return open_data(arrays())


class Net(nn.Module):
    """A picture, numbers and codes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.embed = nn.Conv2d(1, 4, 3), nn.Embedding(5, 3)
        self.mix, self.head = nn.Linear(4 + 4 + 6, 12), nn.Linear(12, 3)

    def forward(self, image: Tensor, table: Tensor, codes: Tensor) -> Tensor:
        seen = self.conv(image).relu().mean((2, 3))
        both = torch.cat([seen, table, self.embed(codes).flatten(1)], dim=1)
        out: Tensor = self.head(self.mix(both).relu())
        return out


class OfBatch(Net):
    def forward(self, batch: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(**batch)


class OfNumbers(nn.Module):
    """One array by name, or without."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.head = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, table: Tensor) -> Tensor:
        table -= 0.1  # in place: what it is given is its own
        out: Tensor = self.head(self.norm(self.first(table)).relu())
        return out


def seeded(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return kind()


class Rows(Dataset[Any]):
    def __init__(self, form: str) -> None:
        self.form, (self.inputs, self.labels) = form, arrays()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        leaves = {name: torch.as_tensor(values[i]) for name, values in self.inputs.items()}
        y = int(self.labels[i])
        forms: dict[str, Any] = {
            "tuple": (tuple(leaves.values()), y),
            "pair": (leaves, y),
            "item": {"inputs": leaves, "label": y},
            "flat": {"pixels": leaves["image"], "row": leaves["table"], "label": y},
            "part": {"image": leaves["image"], "row": leaves["table"], "label": y},
        }
        return forms[self.form]


def test_a_tree_is_stored_as_rows_and_made_again_exactly() -> None:
    (inputs, labels), opened = arrays(), data()
    for part in (opened.train, opened.validation, opened.test):
        batch = part.all()
        tree = unpacked(batch.inputs, opened.card.parts)
        assert torch.equal(batch.labels, torch.from_numpy(labels)[part.ids])
        assert torch.equal(tree["table"], torch.from_numpy(inputs["table"])[part.ids])
        assert torch.equal(tree["codes"], torch.from_numpy(inputs["codes"])[part.ids])
        pixels = torch.from_numpy(inputs["image"])[part.ids].permute(0, 3, 1, 2)
        assert torch.equal(tree["image"], pixels / 255.0)
    assert opened.card.reading.startswith(
        "240 samples of the inputs image (image 1 × 8 × 8), table (vector 4), codes"
    )


@pytest.mark.parametrize("form", ["tuple", "pair", "item"])
def test_data_sets_with_several_inputs_hold_what_the_arrays_hold(form: str) -> None:
    ours, theirs = data(), open_data(Rows(form))
    assert [part.kind for part in theirs.card.parts] == ["image", "vector", "codes"]
    for a, b in ((ours.train, theirs.train), (ours.test, theirs.test)):
        assert torch.equal(a.ids, b.ids)
        assert torch.equal(a.all().inputs, b.all().inputs)


def test_items_that_are_dicts() -> None:
    assert [part.name for part in open_data(Rows("flat")).card.parts] == ["pixels", "row"]
    one = open_data(Rows("part"))
    assert not one.card.parts
    assert any("row beside image is left out" in note for note in one.card.notes), "never silently"


def test_files_with_several_inputs(tmp_path: Path) -> None:
    inputs, labels = arrays()
    np.savez(tmp_path / "all.npz", y=labels, **inputs)
    flat = {name: list(values.reshape(N, -1)) for name, values in inputs.items() if name != "image"}
    pq.write_table(
        pa.table({**flat, "label": labels, "place": ["a", "b"] * (N // 2)}), tmp_path / "all.parquet"
    )
    of_npz = open_data(f"npz:{tmp_path}/all.npz?inputs=image,table,codes")
    assert torch.equal(of_npz.train.all().inputs, data().train.all().inputs)
    of_table = open_data(f"parquet:{tmp_path}/all.parquet?inputs=table,codes&where=place:a")
    assert [(part.name, part.kind, part.shape) for part in of_table.card.parts] == [
        ("table", "vector", (4,)),
        ("codes", "codes", (2,)),
    ]
    assert sum(map(len, (of_table.train, of_table.validation, of_table.test))) == N // 2
    with pytest.raises(DataError, match="inputs=image,tabel names arrays"):
        open_data(f"npz:{tmp_path}/all.npz?inputs=image,tabel")


@pytest.mark.parametrize("kind", [Net, OfBatch])
def test_forwards_by_name_and_of_one_batch_give_the_same(kind: type[Net]) -> None:
    opened = data()
    model = load_model(seeded(kind), data=opened)
    rows = opened.train.all().inputs
    before = rows.clone()
    tree = unpacked(rows, opened.card.parts)
    with torch.no_grad():
        assert torch.equal(model.eval()(rows), seeded(Net).eval()(**tree))
    assert torch.equal(rows, before)
    assert model.card.head == "head"


def test_inputs_of_a_tuple_go_in_their_order() -> None:
    (inputs, labels) = arrays()
    opened = open_data((tuple(inputs.values()), labels))
    assert [part.name for part in opened.card.parts] == ["0", "1", "2"]
    with torch.no_grad():
        ours = load_model(seeded(Net), data=opened).eval()(opened.test.all().inputs)
        assert torch.equal(ours, load_model(seeded(Net), data=data()).eval()(data().test.all().inputs))


def test_a_tree_of_one_leaf_is_the_plain_array(tmp_path: Path) -> None:
    """Indices, steps and toll bit for bit."""
    inputs, labels = arrays()
    found = []
    for x in (inputs["table"], {"table": inputs["table"]}):
        target = open_data((x, labels))
        update = open_update(seeded(OfNumbers), None, target, task=False)
        signals = take_signals(update, SETTINGS).signals
        run = foretoll.retrain(
            seeded(OfNumbers), None, target, task=False, settings=SETTINGS, accounting=ACCOUNTING,
            ledger=Ledger(tmp_path / "runs.db"),
        )  # fmt: skip
        assert run.quality is not None
        found.append(
            (signals, run.steps, run.toll.gradient_norm, run.toll.parameter_change, run.quality.after)
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("option", ["finetune", "head", "lora", "partial", "scratch"])
def test_options_serve_several_inputs(option: str, tmp_path: Path) -> None:
    run = foretoll.retrain(
        seeded(Net), None, data(), option=option, task=False, settings=SETTINGS, accounting=ACCOUNTING,
        ledger=Ledger(tmp_path / "runs.db"),
    )  # fmt: skip
    assert run.steps
    assert [part.name for part in run.target.parts] == ["image", "table", "codes"]


def test_what_takes_one_input_says_so() -> None:
    opened = data()
    model = load_model(seeded(Net), data=opened)
    why = get_option("reprogram").suits(model, opened, task_shift=False)
    assert why is not None
    assert "the model takes several (image, table, codes)" in why
    with pytest.raises(ModelError, match="foretoll:mlp takes one input"):
        load_model("foretoll:mlp", data=opened)
    with pytest.raises(
        ModelError, match="forward takes codes, image, table, and the data have the inputs picture"
    ):
        load_model(
            seeded(Net), data=open_data(({"picture": arrays()[0]["image"]} | arrays()[0], arrays()[1]))
        )


def test_a_shift_moves_the_named_input_alone() -> None:
    opened = data()
    moved = opened.shifted(Shift(kind="gaussian_noise", level=0.3, part="image"))
    plain = open_data((arrays()[0]["image"], arrays()[1])).shifted(Shift(kind="gaussian_noise", level=0.3))
    tree, before = (unpacked(x.test.all().inputs, opened.card.parts) for x in (moved, opened))
    assert torch.equal(tree["table"], before["table"])
    assert torch.equal(tree["codes"], before["codes"])
    assert torch.equal(tree["image"], plain.test.all().inputs / 255.0), "as the picture alone would be"
    lazy = open_data(Rows("pair")).shifted(Shift(kind="gaussian_noise", level=0.3, part="image"))
    assert torch.equal(lazy.test.all().inputs, moved.test.all().inputs)
    where = columns_of(opened.card.parts[0], opened.card.parts)
    blurred = opened.shifted(Shift(kind="gaussian_blur", level=1.0)).test.all().inputs
    assert not torch.equal(blurred[:, where], opened.test.all().inputs[:, where]), "the only picture"


@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (Shift(kind="gaussian_noise", level=0.3), "suits several inputs"),
        (Shift(kind="gaussian_noise", level=0.3, part="sound"), "no input 'sound'"),
        (Shift(kind="gaussian_noise", level=0.3, part="codes"), "these are codes data"),
    ],
)
def test_shifts_that_are_not_clear(shift: Shift, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        data().shifted(shift)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"a": np.zeros((9, 2)), "b": np.zeros((8, 2))}, "as many of each|equally many"),
        ({"a": np.zeros((9, 2)), "b": {"c": np.zeros((9, 2))}}, "inputs of its own"),
        ({"a": np.zeros((9, 2)), "b": np.full((9, 1), -1)}, "number its categories from 0"),
        ({}, "has no inputs"),
    ],
)
def test_trees_that_are_none(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        open_data((inputs, np.arange(9) % 3))


def test_a_shift_of_one_input_is_written_as_ever() -> None:
    plain, named = Shift(kind="contrast", level=0.5), Shift(kind="contrast", level=0.5, part="image")
    assert plain.model_dump() == {"kind": "contrast", "level": 0.5}, "hashes of studies rest on it"
    for shift in (plain, named):
        assert Shift.model_validate_json(shift.model_dump_json()) == shift
