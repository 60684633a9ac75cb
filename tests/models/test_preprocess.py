"""From stored batches to inputs: channels, sizes, statistics, and what cannot be adapted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.errors import DataError, ModelError
from foretoll.models import build_model, check_fits, load_model
from foretoll.models.preprocess import adapt_channels, channel_statistics, make_preprocess
from foretoll.records import Preprocessing


def test_bytes_and_unit_floats_are_the_same_image() -> None:
    plan = Preprocessing(kind="image", channels=3, size=(10, 12), mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.3))
    prepare = make_preprocess(plan)
    stored = torch.randint(0, 256, (4, 1, 7, 9), dtype=torch.uint8)
    out = prepare(stored)
    assert out.shape == (4, 3, 10, 12)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, prepare(stored.double() / 255))


def test_an_image_of_the_right_size_is_only_scaled() -> None:
    prepare = make_preprocess(Preprocessing(kind="image", channels=1, size=(8, 8)))
    stored = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(prepare(stored), stored.float() / 255)


def test_gradients_reach_a_float_image() -> None:
    prepare = make_preprocess(
        Preprocessing(kind="image", channels=3, size=(6, 6), mean=(0.5,) * 3, std=(0.5,) * 3)
    )
    image = torch.rand(1, 1, 4, 4, requires_grad=True)
    prepare(image).sum().backward()
    assert image.grad is not None
    assert (image.grad > 0).all()


def test_channels() -> None:
    grey = torch.rand(2, 1, 3, 3)
    assert torch.equal(adapt_channels(grey, 3)[:, 2], grey[:, 0])
    torch.testing.assert_close(adapt_channels(adapt_channels(grey, 3), 1), grey)
    assert adapt_channels(torch.rand(2, 4, 3, 3), 3).shape[1] == 3
    with pytest.raises(ModelError, match="5 channels cannot be turned into the 3"):
        adapt_channels(torch.rand(2, 5, 3, 3), 3)


@given(size=st.integers(1, 40), n=st.integers(3, 30), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_image_statistics_equal_numpy_for_any_batching(size: int, n: int, seed: int) -> None:
    stored = np.random.default_rng(seed).integers(0, 256, (n, 3, 4, 5), dtype=np.uint8)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("foretoll.models.preprocess.samples_at_once", lambda *_: size)
        mean, std = channel_statistics(ArraySplit(torch.from_numpy(stored)))
    np.testing.assert_allclose(mean, (stored / 255).mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(std, (stored / 255).std((0, 2, 3)), rtol=1e-9)


def test_large_pictures_are_prepared_a_few_at_a_time_and_are_the_same() -> None:
    plan = Preprocessing(kind="image", channels=3, size=(20, 30), mean=(0.5,) * 3, std=(0.2,) * 3)
    prepare = make_preprocess(plan)
    images = torch.randint(0, 256, (7, 3, 1500, 700), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    whole = prepare(images)
    assert whole.shape == (7, 3, 20, 30)
    assert torch.equal(whole, torch.cat([prepare(image[None]) for image in images]))


@pytest.mark.parametrize("largest", [3e38, -3e37])
def test_values_that_no_float32_normalises_are_the_datas_fault_and_their_column_is_named(
    largest: float,
) -> None:
    x = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    x[[3, 5], 2] = largest
    with pytest.raises(
        DataError, match=r"'python:arrays' holds values too large .* column or channel 2 .*: scale them"
    ):
        build_model("foretoll:mlp?width=4", data=open_data((x, np.arange(120) % 3)), seed=0)


def test_grey_statistics_for_a_colour_network(digits: TaskData) -> None:
    one, three = channel_statistics(digits.train), channel_statistics(digits.train, channels=3)
    assert three == (one[0] * 3, one[1] * 3)


def test_vectors_and_series_come_out_standardised(vectors: TaskData, series: TaskData) -> None:
    for data, arch, axes in ((vectors, "foretoll:mlp", (0,)), (series, "foretoll:cnn1d", (0, 2))):
        model = build_model(arch, data=data, seed=0)
        x = model.prepare(data.train.take(torch.arange(len(data.train))).all().inputs)
        assert isinstance(x, torch.Tensor)
        torch.testing.assert_close(x.mean(axes), torch.zeros(x.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(x.std(axes, correction=0), torch.ones(x.shape[1]), atol=1e-4, rtol=0)


def test_a_constant_column_is_only_centred() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    x[:, 1] = 0.1
    model = build_model("foretoll:mlp", data=open_data((x, np.arange(40) % 2)), seed=0)
    prepared = model.prepare(torch.from_numpy(x))
    assert isinstance(prepared, torch.Tensor)
    assert prepared[:, 1].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("arch", "data", "batch", "words"),
    [
        ("cnn", "digits", torch.zeros(2, 64), "got shape"),
        ("cnn", "digits", torch.zeros(2, 1, 8, 8, dtype=torch.int32), "uint8"),
        ("mlp", "vectors", torch.zeros(2, 8), r"shape \(7,\)"),
        ("cnn1d", "series", torch.zeros(2, 2, 31), r"shape \(2, 30\)"),
    ],
)
def test_a_batch_of_another_shape_is_refused(
    arch: str, data: str, batch: torch.Tensor, words: str, request: pytest.FixtureRequest
) -> None:
    model = build_model(f"foretoll:{arch}", data=request.getfixturevalue(data), seed=0)
    with pytest.raises(ModelError, match=words):
        model(batch)


def test_check_fits(digits: TaskData, colour: TaskData, vectors: TaskData, series: TaskData) -> None:
    model = build_model("foretoll:cnn", data=digits, seed=0)
    check_fits(model, colour)  # resized, and turned grey
    assert model(next(iter(colour.test.batches(2))).inputs).shape == (2, 10)
    with pytest.raises(ModelError, match="takes image samples, but python:arrays holds vector"):
        check_fits(model, vectors)
    with pytest.raises(ModelError, match="takes image samples"):
        load_model(model, data=series)
    five = torch.nn.Sequential(torch.nn.Conv2d(5, 4, 3), torch.nn.Flatten(), torch.nn.LazyLinear(3))
    with pytest.raises(ModelError, match="images with 5 channels, but python:arrays holds samples of shape"):
        load_model(five, data=colour)
    narrow = open_data((np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32), np.arange(30) % 2))
    with pytest.raises(ModelError, match=r"shape \(7,\).*shape \(6,\)"):
        check_fits(build_model("foretoll:mlp", data=vectors, seed=0), narrow)
