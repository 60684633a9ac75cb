"""Pictures of several sizes: each is what the model's own library makes of it, through whatever door it comes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

import foretoll
from foretoll.data import ArraySplit, TaskData, open_data
from foretoll.data.fitting import Fitted, seen_by
from foretoll.ledger import Ledger
from foretoll.models import build_model, load_model, save_checkpoint
from foretoll.models.hf import hf_convention
from foretoll.models.libraries import timm_convention, torchvision_convention
from foretoll.models.plan import plan_preprocessing
from foretoll.models.preprocess import make_preprocess
from foretoll.models.spec import Convention, parse_spec
from foretoll.records import Preprocessing, Shift, TrainingSettings
from foretoll.workflows import Accounting
from foretoll.workflows.context import open_update

ACCOUNTING = Accounting("watts:20", region="DE")
transformers = pytest.importorskip("transformers")

SIZES = ((75, 131), (140, 61), (64, 64), (61, 140), (301, 64), (50, 333))  # (height, width)


def pictures(n: int = 24, *, grey: bool = False) -> list[Image.Image]:
    """Portraits, landscapes and squares, of smooth colours."""
    random = np.random.default_rng(0)
    made = []
    for i in range(n):
        height, width = SIZES[i % len(SIZES)]
        coarse = Image.fromarray(random.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        made.append(picture.convert("L") if grey else picture)
    return made


def folder(place: Path, made: list[Image.Image], suffix: str = "png") -> TaskData:
    for i, picture in enumerate(made):
        file = place / "ab"[i % 2] / f"{i:03}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    return open_data(f"folder:{place}")


def by_number(data: TaskData, plan: Preprocessing) -> Tensor:
    """What the network gets, in the order of the pictures."""
    prepare = make_preprocess(plan)
    parts = [data.train, data.validation, data.test]
    ids = torch.cat([part.ids for part in parts])  # of a folder: first those of class a, then those of b
    inputs = torch.cat([prepare(part.all().inputs) for part in parts])
    ordered = inputs[torch.argsort(ids)]
    half = (len(ids) + 1) // 2
    back = torch.empty_like(ordered)
    back[0::2], back[1::2] = ordered[:half], ordered[half:]
    return back


def plan_of(usual: Convention) -> Preprocessing:
    return plan_preprocessing(parse_spec("timm:x"), usual, None, pretrained=True)


def of_torchvision(name: str) -> tuple[Convention, Callable[[Image.Image], Tensor]]:
    from torchvision import models

    return torchvision_convention(name), models.get_model_weights(name).DEFAULT.transforms()


def of_timm(name: str) -> tuple[Convention, Callable[[Image.Image], Tensor]]:
    timm = pytest.importorskip("timm")
    data = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    return timm_convention(name), timm.data.create_transform(**data, is_training=False)


LIBRARIES = {
    "torchvision resnet18": lambda: of_torchvision("resnet18"),
    "torchvision efficientnet_b0": lambda: of_torchvision("efficientnet_b0"),  # bicubic
    "torchvision inception_v3": lambda: of_torchvision("inception_v3"),  # 342, 299: half a pixel to round
    "timm resnet18": lambda: of_timm("resnet18.a1_in1k"),
    "timm tf_efficientnet_lite0": lambda: of_timm("tf_efficientnet_lite0"),
    "timm convnextv2, squashed": lambda: of_timm("convnextv2_base.fcmae_ft_in22k_in1k_384"),
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_picture_is_what_its_library_makes_of_it(library: str, tmp_path: Path) -> None:
    usual, theirs = LIBRARIES[library]()
    made, plan = pictures(12), plan_of(usual)
    data = folder(tmp_path, made)
    assert "read at" in data.card.reading
    seen = seen_by(plan, data)
    want = torch.stack([theirs(picture) for picture in made])
    difference = (by_number(seen, plan) - want).abs() * min(plan.std) * 255
    assert float(difference.max()) < 0.01  # Pillow resizes both
    squeezed = (by_number(data, plan) - want).abs() * min(plan.std) * 255
    assert float(squeezed.mean()) > 5, "which is what was wrong"
    to = plan.resize or plan.size
    assert to is not None
    assert seen.shape == (3, *to)
    assert f"each brought to {to[0]}×{to[1]} as the model's preprocessing says" in seen.card.reading


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ViTImageProcessor", {"size": {"height": 48, "width": 64}}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 56}, "crop_pct": 0.875}),
        ("LevitImageProcessor", {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 60}, "crop_size": {"height": 51, "width": 45}}),
        (
            "ViTImageProcessor",
            {"do_resize": False, "do_center_crop": True, "crop_size": {"height": 40, "width": 40}},
        ),
    ],
)
def test_each_picture_is_what_the_folders_processor_makes_of_it(
    kind: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    transformers.ViTConfig(image_size=56).save_pretrained(tmp_path / "m")
    processor = getattr(transformers, kind)(**settings)
    processor.save_pretrained(tmp_path / "m")
    plan, made = plan_of(hf_convention(str(tmp_path / "m"))), pictures(12)
    seen = seen_by(plan, folder(tmp_path / "d", made))
    want = torch.cat([processor(images=[picture], return_tensors="pt")["pixel_values"] for picture in made])
    difference = (by_number(seen, plan) - want).abs() * min(plan.std or (1.0,)) * 255
    assert float(difference.max()) < 3.1  # torchvision rounds in other places than Pillow
    assert float(difference.mean()) < 0.5


PLAN = plan_of(of_torchvision("resnet18")[0])


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp"])
def test_other_formats(suffix: str, tmp_path: Path) -> None:
    made = pictures(12)
    seen = by_number(seen_by(PLAN, folder(tmp_path, made, suffix)), PLAN)
    files = sorted((tmp_path / "a").iterdir())
    theirs = of_torchvision("resnet18")[1]
    want = torch.stack([theirs(Image.open(file).convert("RGB")) for file in files])
    assert float((seen[0::2] - want).abs().max()) < 0.02


def test_large_jpegs_are_decoded_at_a_part_of_their_size(tmp_path: Path) -> None:
    made = [picture.resize((picture.width * 16, picture.height * 16)) for picture in pictures(6)]
    seen = by_number(seen_by(PLAN, folder(tmp_path, made * 2, "jpg")), PLAN)
    theirs = of_torchvision("resnet18")[1]
    want = torch.stack([theirs(picture) for picture in made * 2])
    assert float((seen - want).abs().mean()) < 0.05


@pytest.mark.parametrize("tag", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_pictures_that_exif_turns(tag: int, suffix: str, tmp_path: Path) -> None:
    made = pictures(12)
    data = folder(tmp_path / "d", made)
    back = {3: "ROTATE_180", 5: "TRANSPOSE", 6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"}[tag]
    for i, picture in enumerate(made):
        file = tmp_path / "turned" / "ab"[i % 2] / f"{i:03}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = tag
        more = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
        picture.transpose(getattr(Image.Transpose, back)).save(file, exif=exif, **more)
    turned = open_data(f"folder:{tmp_path / 'turned'}")
    same = (by_number(seen_by(PLAN, turned), PLAN) - by_number(seen_by(PLAN, data), PLAN)).abs()
    assert float(same.mean()) < (0.05 if suffix == "jpg" else 1e-6)


def test_grey_pictures_and_transparency(tmp_path: Path) -> None:
    grey = pictures(12, grey=True)
    seen = seen_by(PLAN, folder(tmp_path / "grey", grey))
    assert seen.shape == (1, 256, 256)
    theirs = of_torchvision("resnet18")[1]
    want = torch.stack([theirs(picture.convert("RGB")) for picture in grey])
    assert float((by_number(seen, PLAN) - want).abs().max()) < 0.02
    ink = []
    for picture in grey:
        rgba = Image.new("RGBA", picture.size)
        rgba.putalpha(picture)
        ink.append(rgba)
    white = [Image.alpha_composite(Image.new("RGBA", p.size, "white"), p).convert("RGB") for p in ink]
    want = torch.stack([theirs(picture) for picture in white])
    assert float((by_number(seen_by(PLAN, folder(tmp_path / "ink", ink)), PLAN) - want).abs().max()) < 0.03


def test_a_border_is_added_where_a_whole_picture_is_wanted() -> None:
    plan = Preprocessing(
        kind="image", channels=3, size=(40, 60), fit="contain", resize=(40, 60), mean=(1.0, 0, 0)
    )
    fitted = Fitted.of(plan, 3)
    assert fitted is not None
    assert fitted.fill == (255, 0, 0)
    picture = fitted.apply(Image.new("RGB", (20, 80), "blue"), (80, 20))
    pixels = np.array(picture)
    assert pixels.shape == (40, 60, 3)
    assert (pixels[:, :25] == (255, 0, 0)).all() and (pixels[:, 35:] == (255, 0, 0)).all()
    assert (pixels[:, 25:35] == (0, 0, 255)).all()


# --- every door -----------------------------------------------------------------------------------------


class Handed(Dataset[tuple[Image.Image, int]]):
    """Pictures that a data set hands out."""

    def __init__(self, made: list[Image.Image]) -> None:
        self.made, self.targets = made, [i % 2 for i in range(len(made))]

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, row: int) -> tuple[Image.Image, int]:
        return self.made[row], self.targets[row]


def parquet(place: Path, made: list[Image.Image]) -> TaskData:
    encoded = []
    for picture in made:
        buffer = io.BytesIO()
        picture.save(buffer, "png")
        encoded.append(buffer.getvalue())
    table = pa.table({"image": encoded, "label": ["ab"[i % 2] for i in range(len(made))]})
    pq.write_table(table, place / "p.parquet")
    return open_data(f"parquet:{place / 'p.parquet'}")


def test_parquet_and_data_sets_in_python(tmp_path: Path) -> None:
    made = pictures(24)
    want = torch.stack([of_torchvision("resnet18")[1](picture) for picture in made])
    prepare = make_preprocess(PLAN)
    for data in (parquet(tmp_path, made), open_data(Handed(made))):
        seen = seen_by(PLAN, data)
        for part in (seen.train, seen.validation, seen.test):
            assert torch.allclose(prepare(part.all().inputs), want[part.ids], atol=0.02)
        assert "each brought to 256×256 as the model's preprocessing says" in seen.card.reading
        assert seen.shape == (3, 256, 256)
    assert isinstance(seen_by(PLAN, parquet(tmp_path, made)).train, ArraySplit), (
        "a small file is held in memory"
    )
    assert isinstance(seen_by(Preprocessing(kind="image"), parquet(tmp_path, made)).train, ArraySplit)


def test_what_needs_no_fitting_stays_as_it_is(tmp_path: Path) -> None:
    data = folder(tmp_path / "one", [picture.resize((40, 40)) for picture in pictures(12)])
    assert seen_by(PLAN, data) is data
    folder(tmp_path / "several", pictures(12))
    sized = open_data(f"folder:{tmp_path / 'several'}?size=40x50")
    assert seen_by(PLAN, sized) is sized
    mixed = open_data(f"folder:{tmp_path / 'several'}")
    fresh = build_model("foretoll:cnn", data=mixed, seed=0)
    assert seen_by(fresh.card.preprocessing, mixed).shape == mixed.shape


def test_shifts_come_after_and_one_split_of_two_data_sets_stays_one(tmp_path: Path) -> None:
    data = folder(tmp_path, pictures(12))
    shift = Shift(kind="inversion", level=1.0)
    shifted = seen_by(PLAN, data.shifted(shift))
    plain = seen_by(PLAN, data)
    assert torch.equal(255 - shifted.train.all().inputs, plain.train.all().inputs)
    done: dict[int, Any] = {}
    assert seen_by(PLAN, data, done).train is seen_by(PLAN, data, done).train


def test_an_update_sees_the_pictures_so(tmp_path: Path) -> None:
    folder(tmp_path / "d", pictures(24))
    (tmp_path / "m").mkdir()
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        num_labels=2, id2label={0: "a", 1: "b"},
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(config).eval()
    network.save_pretrained(tmp_path / "m")
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    )
    processor.save_pretrained(tmp_path / "m")
    uri = f"folder:{tmp_path / 'd'}"
    update = open_update(f"hf:{tmp_path / 'm'}", uri, f"{uri}?shift=contrast:0.5", device="cpu")
    assert update.source.shape == update.target.shape == (3, 36, 36)
    assert update.clean is not None
    assert update.clean.shape == (3, 36, 36)
    files = sorted((tmp_path / "d" / "a").iterdir()) + sorted((tmp_path / "d" / "b").iterdir())
    batch = next(iter(update.source.train.batches(4)))
    theirs = processor(
        images=[Image.open(files[i]) for i in update.source.train.ids[:4]], return_tensors="pt"
    )
    with torch.no_grad():
        torch.testing.assert_close(update.model(batch.inputs), network(**theirs).logits, atol=5e-3, rtol=0.05)
    told = foretoll.estimate(
        f"hf:{tmp_path / 'm'}", uri, f"{uri}?shift=contrast:0.5", option="head", engine="processes:2",
        settings=TrainingSettings(batch_size=4, max_epochs=1, until=0.9), accounting=ACCOUNTING,
        ledger=Ledger.open(tmp_path / "l.db"),
    )  # fmt: skip
    alone = foretoll.estimate(
        f"hf:{tmp_path / 'm'}", uri, f"{uri}?shift=contrast:0.5", option="head",
        settings=TrainingSettings(batch_size=4, max_epochs=1, until=0.9), accounting=ACCOUNTING,
        ledger=Ledger.open(tmp_path / "l.db"),
    )  # fmt: skip
    assert told.indices == alone.indices
    save_checkpoint(update.model, tmp_path / "c")
    again = open_update(tmp_path / "c", uri, uri, device="cpu")
    with torch.no_grad():
        assert torch.equal(again.model.eval()(batch.inputs), update.model.eval()(batch.inputs))


def test_a_module_in_memory_takes_them_as_they_are_read(tmp_path: Path) -> None:
    data = folder(tmp_path, pictures(12))
    module = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))
    model = load_model(module, data=data)
    assert seen_by(model.card.preprocessing, data) is not data
    assert seen_by(model.card.preprocessing, data).shape == data.shape
