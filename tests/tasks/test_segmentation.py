"""Semantic segmentation: its figures, its data, networks of several kinds, and the whole way on digits with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import jaccard_score
from torch import Tensor, nn

import foretoll
from foretoll import TrainingSettings
from foretoll.data import TaskData, open_data
from foretoll.errors import DataError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.quality import evaluate
from foretoll.records import Shift
from foretoll.tasks import get_task

PLAIN = foretoll.Accounting(energy="none", region="DE")
SEGMENTATION = get_task("segmentation")


def _maps(seed: int, n: int = 10, classes: int = 4) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, classes - 1, (n, 3, 4), generator=random)  # the last class does not occur
    outputs = torch.randn((n, classes - 1, 3, 4), generator=random)
    outputs = torch.cat([outputs, torch.full((n, 1, 3, 4), -9.0)], dim=1)
    left_out = torch.rand(targets.shape, generator=random) < 0.3
    return outputs, torch.where(left_out, -1, targets)


def _values(outputs: Tensor, targets: Tensor, sizes: list[int]) -> dict[str, float]:
    tally = SEGMENTATION.tally(outputs.shape[1])
    for part, truth in zip(outputs.split(sizes), targets.split(sizes), strict=True):
        tally.update(part, truth)
    return {metric.name: metric.compute(tally) for metric in SEGMENTATION.metrics}


@given(seed=st.integers(0, 1000), cut=st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_figures_are_scikit_learns_in_any_batches_and_order(seed: int, cut: int) -> None:
    outputs, targets = _maps(seed)
    found = _values(outputs, targets, [cut, 10 - cut])
    order = torch.randperm(10, generator=torch.Generator().manual_seed(seed))
    assert _values(outputs[order], targets[order], [10]) == pytest.approx(found)
    known = targets >= 0
    truth, said = targets[known].numpy(), outputs.argmax(dim=1)[known].numpy()
    assert found["mean_iou"] == pytest.approx(jaccard_score(truth, said, average="macro"))
    assert found["pixel_accuracy"] == pytest.approx(float((truth == said).mean()))


def test_the_error_of_the_mean_overlap_is_that_of_a_bootstrap_over_images() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (150, 1, 1), generator=random).expand(-1, 4, 4).contiguous()
    outputs = torch.nn.functional.one_hot(truth, 3).float().movedim(-1, 1) * 2
    outputs = outputs + 1.5 * torch.randn((150, 3, 1, 1), generator=random)  # of all pixels of an image alike
    tally = SEGMENTATION.tally(3)
    tally.update(outputs, truth)
    drawn = []
    for _ in range(300):
        rows = torch.randint(0, 150, (150,), generator=random)
        drawn.append(_values(outputs[rows], truth[rows], [150])["mean_iou"])
    metric = SEGMENTATION.metrics[0]
    assert metric.error_of(tally, metric.compute(tally)) == pytest.approx(float(np.std(drawn)), rel=0.2)


def _digits(part: int = 0) -> TaskData:
    """Scikit-learn's digits, with their strokes as masks: background, even and odd."""
    x, y = load_digits(return_X_y=True)
    pictures = (x.reshape(-1, 8, 8) * 15.9).astype(np.uint8)[part::6]
    return open_data((pictures, np.where(pictures > 100, 1 + y[part::6, None, None] % 2, 0)))


def test_masks_are_told_from_arrays_and_read_from_folders(tmp_path: Path) -> None:
    data = _digits()
    assert (data.card.task, data.classes, data.kind) == ("segmentation", ("0", "1", "2"), "image")
    assert "3 classes of pixels" in data.card.reading
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    random = np.random.default_rng(0)
    for i in range(20):
        mask = random.integers(0, 3, (6, 7)).astype(np.uint8)
        mask[0, 0] = 255
        Image.fromarray(random.integers(0, 256, (6, 7, 3)).astype(np.uint8)).save(
            tmp_path / "images" / f"{i}.png"
        )
        picture = Image.fromarray(mask, mode="P")
        picture.putpalette(list(range(256)) * 3)
        picture.save(tmp_path / "masks" / f"{i}.png")
    read = open_data(f"masks:{tmp_path}")
    labels = read.train.labels
    assert labels is not None and labels.shape[1:] == (6, 7)
    assert bool((labels[:, 0, 0] == -1).all()) and int(labels.max()) == 2
    smaller = open_data(f"masks:{tmp_path}?size=3").train.labels
    assert smaller is not None and smaller.shape[1:] == (3, 3)
    (tmp_path / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match="have no mask, the first '3"):
        open_data(f"masks:{tmp_path}")
    with pytest.raises(DataError, match="masks of 4 × 4 pixels"):
        open_data((np.zeros((20, 8, 8), dtype=np.uint8), np.zeros((20, 4, 4), dtype=np.int64)))
    with pytest.raises(UsageError, match="moves pixels, and their classes would stay"):
        data.shifted(Shift(kind="rotation", level=10.0))


class Small(nn.Module):
    """Logits at half the resolution, in a dict as torchvision's networks give them."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, stride=2), nn.ReLU())
        self.classifier = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.classifier(self.body(x))}


def test_a_dict_at_a_lower_resolution_is_enlarged() -> None:
    data = _digits()
    model = load_model(Small(), data=data)
    assert (model.card.task, model.card.head, model.num_classes) == ("segmentation", "classifier", 3)
    assert model(data.test.all().inputs[:2]).shape == (2, 3, 8, 8)
    seen = evaluate(model, data.test, metric="pixel_accuracy")
    assert 0 <= seen.quality <= 1 and seen.error is not None
    x, y = load_digits(return_X_y=True)
    classes = open_data(((x.reshape(-1, 8, 8) * 15.9).astype(np.uint8), y))
    with pytest.raises(UsageError, match="a new head cannot turn one into the other"):
        foretoll.estimate(model, data, classes, until=0.9)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_way(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    source = _digits(0)
    target = _digits(1).shifted(Shift(kind="inversion", level=1.0))
    plan = TrainingSettings(max_epochs=4, batch_size=16, lr=1e-2)
    foretoll.train(
        "foretoll:unet?width=4",
        source,
        out=tmp_path / "model",
        settings=plan,
        ledger=ledger,
        accounting=PLAIN,
    )
    model = load_model(tmp_path / "model", data=source)
    iou = plan.model_copy(update={"metric": "mean_iou"})
    for option in ("head", "finetune"):
        run = foretoll.retrain(
            model, source, target, option=option, until=0.99, settings=iou, ledger=ledger, accounting=PLAIN
        )
        assert run.quality is not None and run.quality.after is not None and run.quality.error is not None
    told = foretoll.estimate(model, source, target, until=0.6, settings=iou, ledger=ledger, accounting=PLAIN)
    assert any("runs of segmentation" in warning for warning in told.warnings)
    assert "resque" in told.indices and 0 <= (told.signals["probe_accuracy"] or 0) <= 1
