"""Laws of all registered shifts, on real digits and generated vectors and series."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data import SHIFTS, DatasetSplit, Reference, TaskData, apply_shift, open_data, shifts_for
from foretoll.data.shifts import shift_split
from foretoll.data.shifts.table import HEADER, markdown_table
from foretoll.errors import DataError, UsageError
from foretoll.records import Shift

CASES = [(name, kind) for name, spec in SHIFTS.items() for kind in spec.kinds]


def _samples(kind: str, n: int = 60) -> torch.Tensor:
    if kind == "image":
        inputs = open_data("digits").train.all().inputs[:n]
        return torch.cat([inputs, inputs.flip(2), inputs.flip(3)], dim=1)  # three channels that differ
    random = torch.Generator().manual_seed(1)
    if kind == "vector":
        return torch.randn(n, 12, generator=random) * torch.arange(1, 13) + 5
    # random walks: unlike waves, they differ the more from themselves the further they are moved
    return torch.randn(n, 2, 64, generator=random).cumsum(dim=2) * torch.tensor([[1.0], [3.0]])


SAMPLES = {kind: _samples(kind) for kind in ("image", "vector", "series")}
REFERENCES = {kind: Reference.of(SAMPLES[kind].numpy()) for kind in ("vector", "series")}


def _shifted(name: str, kind: str, level: float, rows: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return apply_shift(
        SAMPLES[kind][rows],
        Shift(kind=name, level=level),
        kind=kind,
        ids=rows + 1000,
        seed=seed,
        reference=REFERENCES.get(kind),
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
@settings(max_examples=8, deadline=None)
@given(
    rows=st.lists(st.integers(0, 59), min_size=1, max_size=12),
    seed=st.integers(0, 2**31),
    which=st.integers(0, 3),
)
def test_a_sample_does_not_depend_on_its_batch_or_order(
    name: str, kind: str, rows: list[int], seed: int, which: int
) -> None:
    level = SHIFTS[name].levels_for(kind)[which]
    everything = _shifted(name, kind, level, torch.arange(60), seed)
    some = _shifted(name, kind, level, torch.tensor(rows), seed)
    assert torch.equal(some, everything[rows])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_shape_type_and_finite(name: str, kind: str) -> None:
    inputs = SAMPLES[kind]
    before = inputs.clone()
    for level in (*SHIFTS[name].levels_for(kind), SHIFTS[name].low, SHIFTS[name].high):
        out = _shifted(name, kind, level, torch.arange(60))
        assert out.shape == inputs.shape
        assert out.dtype == inputs.dtype
        assert torch.isfinite(out.float()).all()
    assert torch.equal(inputs, before)  # never in place


@pytest.mark.parametrize(("name", "kind"), [c for c in CASES if SHIFTS[c[0]].identity is not None])
def test_the_identity_level_and_levels_beside_it_change_nothing(name: str, kind: str) -> None:
    identity = SHIFTS[name].identity
    assert identity is not None
    assert torch.equal(_shifted(name, kind, identity, torch.arange(60)), SAMPLES[kind])
    # the arithmetic itself, not only the shortcut
    near = identity + 1e-7
    difference = (_shifted(name, kind, near, torch.arange(60)).float() - SAMPLES[kind].float()).abs().max()
    assert float(difference) <= (1 if kind == "image" else 1e-3)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_default_levels_grow_in_mean_absolute_change(name: str, kind: str) -> None:
    def change(level: float) -> float:
        out = _shifted(name, kind, level, torch.arange(60))
        return float((out.float() - SAMPLES[kind].float()).abs().mean())

    changes = [change(level) for level in SHIFTS[name].levels_for(kind)]
    assert changes[0] > 0
    assert all(a < b for a, b in itertools.pairwise(changes)), changes


@pytest.mark.parametrize("name", [n for n in SHIFTS if "image" in SHIFTS[n].kinds])
def test_default_levels_grow_on_cifar(name: str, shared_dir: Path) -> None:
    inputs = _cifar(str(shared_dir)).train.all().inputs
    changes = []
    for level in SHIFTS[name].default_levels:
        out = apply_shift(inputs, Shift(kind=name, level=level), kind="image")
        changes.append(float((out.float() - inputs.float()).abs().mean()))
    assert all(a < b for a, b in itertools.pairwise(changes)), changes


_OPENED: dict[str, TaskData] = {}


def _cifar(shared: str) -> TaskData:
    if shared not in _OPENED:
        _OPENED[shared] = open_data(f"parquet:{shared}/data/cifar10.parquet?limit=100")
    return _OPENED[shared]


@pytest.mark.parametrize(("name", "kind"), [c for c in CASES if SHIFTS[c[0]].random])
def test_random_shifts_differ_between_seeds_and_uses(name: str, kind: str) -> None:
    level = SHIFTS[name].levels_for(kind)[2]
    rows = torch.arange(60)
    assert not torch.equal(_shifted(name, kind, level, rows, 0), _shifted(name, kind, level, rows, 1))
    shift = Shift(kind=name, level=level)
    first = apply_shift(SAMPLES[kind], shift, kind=kind, reference=REFERENCES.get(kind))
    second = apply_shift(SAMPLES[kind], shift, kind=kind, occurrence=1, reference=REFERENCES.get(kind))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("name", "kind"), [c for c in CASES if not SHIFTS[c[0]].random])
def test_shifts_that_are_not_random_ignore_the_seed(name: str, kind: str) -> None:
    level, rows = SHIFTS[name].levels_for(kind)[2], torch.arange(60)
    assert torch.equal(_shifted(name, kind, level, rows, 0), _shifted(name, kind, level, rows, 1))


def test_gaussian_noise_is_clamped_and_the_released_one_wraps() -> None:
    white = torch.full((50, 1, 20, 20), 255, dtype=torch.uint8)
    clamped = apply_shift(white, Shift(kind="gaussian_noise", level=0.1), kind="image")
    wrapped = apply_shift(white, Shift(kind="gaussian_noise_released", level=0.1), kind="image")
    assert int(clamped.min()) > 100
    assert 0.4 < float((wrapped < 100).float().mean()) < 0.6
    # half of a normal at its mean is cut off: mean loss σ·255/√(2π)
    assert float(255 - clamped.float().mean()) == pytest.approx(0.1 * 255 / np.sqrt(2 * np.pi), rel=0.03)


def test_levels_mean_what_the_table_says() -> None:
    grey = torch.full((200, 1, 20, 20), 128, dtype=torch.uint8)

    def out(name: str, level: float, inputs: torch.Tensor = grey) -> torch.Tensor:
        return apply_shift(inputs, Shift(kind=name, level=level), kind="image").double()

    assert float(out("gaussian_noise", 0.1).std()) == pytest.approx(25.5, rel=0.02)
    assert float(out("shot_noise", 0.1).std()) == pytest.approx(25.5 * np.sqrt(128 / 255), rel=0.02)
    assert float((out("salt_and_pepper", 0.2) != 128).double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float((out("impulse_noise", 0.2) != 128).double().mean()) == pytest.approx(0.2, abs=0.01)
    assert float(out("brightness", 0.2).mean()) == pytest.approx(179)
    white = torch.full((20, 1, 20, 20), 255, dtype=torch.uint8)
    assert float((out("occlusion", 0.25, white) != 255).double().mean()) == pytest.approx(0.25)
    assert float(out("inversion", 1.0, white).max()) == 0
    one = torch.zeros(1, 1, 10, 10, dtype=torch.uint8)
    one[0, 0, 2, 3] = 200
    moved = out("translation", 0.2, one)
    assert moved[0, 0, 4, 5] == 200
    assert float(moved.sum()) == 200
    turned = out("rotation", 90.0, one)
    assert torch.equal(turned, torch.rot90(one, 1, (2, 3)).double())


def test_series_are_blurred_and_moved_along_time_only() -> None:
    pulse = torch.zeros(1, 2, 50)
    pulse[0, 0, 10] = 1.0
    blurred = apply_shift(pulse, Shift(kind="gaussian_blur", level=2.0), kind="series")
    assert float(blurred[0, 1].abs().max()) == 0  # the other channel stays silent
    assert float(blurred[0, 0].sum()) == pytest.approx(1.0, abs=1e-4)
    moved = apply_shift(pulse, Shift(kind="translation", level=0.1), kind="series")
    assert float(moved[0, 0, 15]) == pytest.approx(1.0)


def test_lazy_and_in_memory_splits_shift_alike() -> None:
    data = open_data("digits")
    shifts = [
        Shift(kind="gaussian_noise", level=0.2),
        Shift(kind="frost", level=0.5),
        Shift(kind="gaussian_noise", level=0.1),
    ]
    lazy = DatasetSplit(
        list(data.train.all().inputs), ids=data.train.ids, labels=data.train.labels, convert=lambda x: x
    )
    late = shift_split(lazy, shifts, kind="image", seed=3)
    now = data.shifted(shifts, seed=3)
    assert torch.equal(torch.cat([b.inputs for b in late.batches(100)]), now.train.all().inputs)
    # one by one is the same chain, and the same kind used again draws anew
    step = data
    for shift in shifts:
        step = step.shifted(shift, seed=3)
    assert torch.equal(step.train.all().inputs, now.train.all().inputs)
    assert step.card.shift == tuple(shifts)


def test_a_task_built_by_hand_shifts_vectors_the_same_in_every_split_form() -> None:
    data = open_data("digits?kind=vector")
    bare = TaskData(data.card, data.train, data.validation, data.test)
    lazy = TaskData(
        data.card,
        DatasetSplit(list(data.train.all().inputs), ids=data.train.ids, labels=data.train.labels),
        data.validation,
        data.test,
    )
    shift = Shift(kind="gaussian_noise", level=0.5)
    want = bare.shifted(shift).train.all().inputs
    got = torch.cat([b.inputs for b in lazy.shifted(shift).train.batches(50)])
    assert torch.equal(got, want)


def test_a_limit_does_not_change_what_a_sample_becomes() -> None:
    whole = open_data("digits?shift=impulse_noise:0.2")
    some = open_data("digits?limit=100&shift=impulse_noise:0.2")
    at = {int(i): row for row, i in enumerate(whole.train.ids)}
    rows = [at[int(i)] for i in some.train.ids]
    assert torch.equal(some.train.all().inputs, whole.train.all().inputs[rows])


def test_unfitting_shifts_are_refused() -> None:
    with pytest.raises(UsageError, match="rotation is for image data"):
        apply_shift(SAMPLES["vector"], Shift(kind="rotation", level=10), kind="vector")
    with pytest.raises(UsageError, match="outside 0 … 1"):
        apply_shift(SAMPLES["image"], Shift(kind="frost", level=2), kind="image")
    with pytest.raises(UsageError, match="'gaussian_noise'"):
        apply_shift(SAMPLES["image"], Shift(kind="gausian_noise", level=2), kind="image")
    with pytest.raises(DataError, match="uint8"):
        apply_shift(SAMPLES["image"].float(), Shift(kind="frost", level=0.2), kind="image")
    assert shifts_for("text") == ()
    assert "gaussian_noise_released" not in {spec.name for spec in shifts_for("image")}


def test_the_docs_table_is_the_registry() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "shifts.md").read_text(encoding="utf-8")
    rows = page[page.index(HEADER) :].split("\n\n")[0].strip()
    assert rows == markdown_table().strip(), "put markdown_table() into docs/shifts.md"


@pytest.mark.parametrize("level", [1e-300, 1e-12])
@pytest.mark.parametrize("name", [name for name, spec in SHIFTS.items() if spec.low == 0])
def test_levels_next_to_nothing_change_next_to_nothing(name: str, level: float) -> None:
    spec = SHIFTS[name]
    for kind in spec.kinds:
        rows = torch.arange(4)
        got, kept = _shifted(name, kind, level, rows), _shifted(name, kind, spec.low, rows)
        torch.testing.assert_close(got, kept, rtol=1e-6, atol=1e-6)
