"""What each input program does to its input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from foretoll.errors import ModelError, UsageError
from foretoll.reprogram import (
    PROGRAMS,
    Augment,
    Pad,
    ReprogrammedNetwork,
    SampleMask,
    Series1D,
    TokenMap,
    TrainableResize,
    make_mapping,
    make_program,
)

from .making import CASES, DIM, IMAGES, TOKENS, image_source


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_it_can_be_made_again_from_its_options(name: str) -> None:
    make_source, make, batch = CASES[name]
    program, inputs = make(make_source()).eval(), batch(3)
    again = make_program(program.name, **program.options).eval()
    again.load_state_dict(program.state_dict())
    first, second = program(inputs), again(inputs)
    if isinstance(first, dict):
        assert all(torch.equal(first[key], second[key]) for key in first)
    else:
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_initialised_anew_it_is_as_new(name: str) -> None:
    make_source, make, _ = CASES[name]
    source = make_source()
    torch.manual_seed(5)
    program = make(source)
    start = {key: value.clone() for key, value in program.state_dict().items()}
    with torch.no_grad():
        for parameter in program.parameters():
            parameter.add_(1.0)
    torch.manual_seed(5)
    program.reset_parameters()
    if name != "sample_mask":  # its network draws in another order when it is built
        assert all(torch.equal(value, start[key]) for key, value in program.state_dict().items())
    else:
        assert torch.equal(program.weight, start["weight"])


@pytest.mark.parametrize("name", ["full", "low_rank", "sample_mask", "series", "additive"])
def test_at_first_the_input_is_not_changed(name: str) -> None:
    make_source, make, _ = CASES[name]
    program = make(make_source()).eval()
    fitting = {"series": (3, 2, 24), "additive": (3, 6)}  # nothing to tile or to fill up
    inputs = torch.rand(fitting.get(name, (3, 3, 16, 16)))
    assert torch.equal(program(inputs), inputs)


def test_a_frame_has_the_image_in_its_middle_and_trains_only_what_is_around() -> None:
    program = Pad(channels=3, size=(9, 8), inner=(4, 3))
    assert program.weight.shape == (3, 9 * 8 - 4 * 3)
    with torch.no_grad():
        program.weight.copy_(torch.randn_like(program.weight))
    image = torch.rand(2, 3, 4, 3)
    framed = program(image)
    assert torch.equal(framed[:, :, 2:6, 2:5], image)
    outside = torch.ones(9, 8, dtype=torch.bool)
    outside[2:6, 2:5] = False
    assert torch.equal(framed[:, :, outside], torch.sigmoid(program.weight).expand(2, -1, -1))
    framed.sum().backward()
    assert bool((program.weight.grad != 0).all())
    with pytest.raises(ModelError, match=r"made for images of \(4, 3\), but was given \(5, 3\)"):
        program(torch.rand(1, 3, 5, 3))
    for inner in ((9, 8), (10, 3)):
        with pytest.raises(UsageError, match="leaves no frame"):
            Pad(channels=3, size=(9, 8), inner=inner)


def test_low_rank_is_of_that_rank_and_small() -> None:
    program = make_program("low_rank", channels=2, size=(12, 10), rank=3)
    assert sum(p.numel() for p in program.parameters()) == 2 * 3 * (12 + 10)
    with torch.no_grad():
        program.b.normal_()
    added = (program(torch.zeros(1, 2, 12, 10)))[0]
    assert [int(torch.linalg.matrix_rank(channel.detach(), atol=1e-5)) for channel in added] == [3, 3]


def test_the_mask_network_has_the_papers_size_and_depends_on_the_sample() -> None:
    program = SampleMask(channels=3, size=224).eval()
    assert program.patch == 8
    assert (
        sum(p.numel() for p in program.mask.parameters()) == 26_499
    )  # arXiv 2406.03150, table of ResNet's generator
    small = SampleMask(channels=3, size=(20, 17), patch=4).eval()
    with torch.no_grad():
        small.weight.fill_(1.0)
        images = torch.rand(2, 3, 20, 17)
        mask = small(images) - images
    assert not torch.allclose(mask[0], mask[1])
    patch = mask[:, :, :4, :4]
    assert torch.allclose(patch, patch[:, :, :1, :1].expand_as(patch), atol=1e-6)
    with pytest.raises(UsageError, match="patch"):
        SampleMask(channels=3, size=16, patch=3)


def test_the_scale_is_clamped_learned_and_never_stuck() -> None:
    program = TrainableResize(channels=3, size=(16, 16), scale=0.5, low=0.25, high=0.9)
    image = torch.rand(2, 3, 16, 16)
    framed = program(image)
    assert torch.allclose(framed[..., 0, 0], torch.tensor(0.5))  # a corner of the grey frame
    framed.square().sum().backward()
    assert program.raw_scale.grad is not None and float(program.raw_scale.grad) != 0
    optimizer = torch.optim.SGD([program.raw_scale], lr=0.5)
    for wish, end in ((5.0, 0.9), (-5.0, 0.25), (0.6, 0.6)):
        for _ in range(60):
            optimizer.zero_grad()
            (program.scale - wish).square().backward()
            optimizer.step()
        assert program.scale.item() == pytest.approx(end, abs=1e-3)
    with pytest.raises(UsageError, match="scale"):
        TrainableResize(channels=3, size=8, scale=0.1)


def test_a_series_is_tiled_and_the_signal_drops_out_only_in_training() -> None:
    program = Series1D(channels=2, length=10)
    series = torch.randn(3, 2, 4)
    assert torch.equal(program.eval()(series), torch.cat([series, series, series[..., :2]], 2))
    with torch.no_grad():
        program.weight.fill_(1.0)
    added = program(series) - torch.cat([series, series, series[..., :2]], 2)
    assert torch.allclose(added, torch.ones(10))
    torch.manual_seed(0)
    dropped = (program.train()(torch.zeros(1, 2, 10)) == 0).float().mean()
    assert 0.1 < float(dropped) < 0.8
    assert program.eval()(torch.randn(1, 1, 30)).shape == (1, 2, 10)
    with pytest.raises(ModelError, match="takes series"):
        program(torch.randn(2, 3, 4))
    scaled = make_program("series", channels=2, length=3, dropout=0.0, scale=(1.0, 10.0))
    with torch.no_grad():
        scaled.weight.fill_(1.0)
    assert torch.equal(scaled(torch.zeros(1, 2, 3))[0, :, 0], torch.tensor([1.0, 10.0]))


def test_a_shorter_vector_is_filled_up() -> None:
    program = make_program("additive", features=4, scale=(1.0, 2.0, 3.0, 4.0))
    with torch.no_grad():
        program.weight.fill_(1.0)
    assert torch.equal(program(torch.zeros(2, 2))[0], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(ModelError, match="at most 4 columns"):
        program(torch.zeros(2, 5))
    with pytest.raises(UsageError, match="scale needs 4 numbers, got 1"):
        make_program("additive", features=4, scale=(1.0,))


def test_tokens_are_sparse_combinations_that_can_change() -> None:
    torch.manual_seed(0)
    embeddings = torch.randn(TOKENS, DIM)
    program = TokenMap(target_tokens=3, embeddings=embeddings, sparsity=2, keyword="")
    theta = program.combinations()
    assert [int((row != 0).sum()) for row in theta] == [2, 2, 2]
    tokens = torch.tensor([[0, 2, 2], [1, 1, 0]])
    assert torch.allclose(program(tokens), (theta @ embeddings)[tokens])
    target = embeddings[[4, 7, 9]] * 2 + embeddings[[1, 2, 3]]
    optimizer = torch.optim.Adam(program.parameters(), lr=0.05)
    losses = []
    for _ in range(150):
        optimizer.zero_grad()
        loss = (program.combinations() @ embeddings - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert not torch.equal(program.combinations() != 0, theta != 0)  # other tokens were chosen
    with pytest.raises(ModelError, match=r"token ids must lie in 0 … 2"):
        program(torch.tensor([[3]]))
    with pytest.raises(ModelError, match="takes token ids"):
        program(torch.rand(2, 3))
    with pytest.raises(UsageError, match="needs the source's embeddings"):
        make_program("token_map", target_tokens=3)


def test_bytes_are_scaled_and_grey_is_repeated() -> None:
    program = make_program("full", **IMAGES)
    image = torch.randint(0, 256, (2, 1, 16, 16), dtype=torch.uint8)
    assert torch.allclose(program(image), (image.float() / 255).expand(-1, 3, -1, -1))
    for wrong, message in (
        (torch.rand(2, 2, 16, 16), "3 channels, but was given 2"),
        (torch.rand(2, 16), "takes images"),
        (torch.ones(2, 3, 16, 16, dtype=torch.int64), "as uint8, or as float"),
    ):
        with pytest.raises(ModelError, match=message):
            program(wrong)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ful", {}, "unknown program 'ful': did you mean 'full'"),
        ("full", {"size": 8}, "cannot be made of size"),
        ("full", {"channels": 3, "size": (8, 0)}, "a size is a side"),
        ("low_rank", {"channels": 3, "size": 8, "rank": 0}, "rank"),
        ("series", {"channels": 1, "length": 8, "dropout": 1.0}, "dropout"),
    ],
)
def test_wrong_options_are_one_sentence(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_program(name, **options)


def test_augmentation_only_while_training_and_seeded() -> None:
    wrapped = ReprogrammedNetwork(
        lambda x: x.flatten(1)[:, :4],
        make_program("full", channels=1, size=8),
        make_mapping("identity", 4, 4),
        num_classes=4,
        augment=Augment(crop=0.25, flip=0.5),
    )
    images = torch.rand(16, 1, 8, 8)
    assert torch.equal(wrapped.eval()(images), images.flatten(1)[:, :4])

    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return wrapped.train()(images)

    assert torch.equal(drawn(1), drawn(1)) and not torch.equal(drawn(1), drawn(2))
    off = ReprogrammedNetwork(
        image_source(),
        make_program("full", **IMAGES),
        make_mapping("bayesian", 7, 3),
        num_classes=3,
        augment=False,
    )
    assert torch.equal(off.augment.train()(images), images)


def test_what_is_shifted_or_mirrored_stays_the_same_image() -> None:
    torch.manual_seed(0)
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(40, 1, 8, 8)
    moved = Augment(crop=0.125, flip=0.5).train()(image)
    assert moved.dtype == torch.uint8 and moved.shape == image.shape
    inside = moved[:, 0, 1:7, 1:7].int()
    steps = (inside[:, :, 1:] - inside[:, :, :-1]).flatten(1)
    assert bool((steps.abs() == 1).all()) and bool((steps == steps[:, :1]).all())
    assert {int(s) for s in steps[:, 0]} == {-1, 1}
    with pytest.raises(UsageError, match="crop is a share"):
        Augment(crop=1.0)
