"""What a model's folder or library does to pictures is done to them: checked against the library's own pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from foretoll.data import TaskData, open_data
from foretoll.data.fitting import fitted_size
from foretoll.errors import ModelError, UsageError
from foretoll.models import Model, build_model, fresh_copy, load_model, save_checkpoint
from foretoll.models.geometry import brought_to_size
from foretoll.models.hf import hf_convention
from foretoll.models.libraries import timm_convention, torchvision_convention
from foretoll.models.plan import plan_preprocessing
from foretoll.models.preprocess import make_preprocess
from foretoll.models.spec import Convention, parse_spec
from foretoll.quality import evaluate
from foretoll.records import Preprocessing

transformers = pytest.importorskip("transformers")


def _pictures() -> list[Any]:
    from PIL import Image

    random = np.random.default_rng(0)
    coarse = [random.integers(0, 256, (h // 4 + 2, w // 4 + 2, 3), dtype=np.uint8) for h, w in SIZES]
    return [
        Image.fromarray(c).resize((w, h), Image.Resampling.BICUBIC)
        for c, (h, w) in zip(coarse, SIZES, strict=True)
    ]


SIZES = ((75, 131), (140, 61), (32, 32))


def _prepared(usual: Convention, picture: Any) -> Tensor:
    prepare = make_preprocess(plan_preprocessing(parse_spec("timm:x"), usual, None, pretrained=True))
    prepared: Tensor = prepare(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None])[0]
    return prepared


def _assert_same(ours: Tensor, theirs: Tensor, std: tuple[float, ...]) -> None:
    """Equal but for what libraries round to whole bytes, after resizing the rows and again the columns."""
    assert ours.shape == theirs.shape
    difference = (ours - theirs).abs() * min(std or (1.0,)) * 255
    assert float(difference.max()) < 6
    assert float(difference.mean()) < 1


@pytest.mark.parametrize(
    "name",
    [
        "resnet18.a1_in1k",  # bicubic, crop_pct 0.95
        "resnet18",  # the default tag
        "mobilenetv3_small_050",
        "tf_efficientnet_lite0",  # mean and deviation 0.5
        "convnextv2_base.fcmae_ft_in22k_in1k_384",  # squashed
        "inception_v3.tv_in1k",  # 299
        "vit_base_patch16_clip_224.openai",  # CLIP's statistics
        "regnety_160.swag_ft_in1k",  # 384 px
    ],
)
def test_timm(name: str) -> None:
    timm = pytest.importorskip("timm")
    data = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform = timm.data.create_transform(**data, is_training=False)
    usual = timm_convention(name)
    assert (usual.mean, usual.std, (3, *(usual.size or ()))) == (
        data["mean"],
        data["std"],
        data["input_size"],
    )
    for picture in _pictures():
        _assert_same(_prepared(usual, picture), transform(picture), usual.std)


def test_timm_with_a_border() -> None:
    timm = pytest.importorskip("timm")
    settings = {
        "input_size": (3, 40, 40),
        "crop_pct": 1.0,
        "crop_mode": "border",
        "interpolation": "bilinear",
    }
    usual = timm_convention("resnet18", settings)
    data = timm.data.resolve_data_config(
        pretrained_cfg={**timm.get_pretrained_cfg("resnet18").to_dict(), **settings}
    )
    transform = timm.data.create_transform(**data, is_training=False)
    for picture in _pictures():
        _assert_same(_prepared(usual, picture), transform(picture), usual.std)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("resnet50", None), ("resnet50", "IMAGENET1K_V1"), ("efficientnet_b3", None), ("vit_b_16", None)],
)
def test_torchvision(name: str, weights: str | None) -> None:
    from torchvision.models import get_model_weights

    entries = get_model_weights(name)
    entry = entries[weights or ("IMAGENET1K_V1" if name == "vit_b_16" else "DEFAULT")]
    usual = torchvision_convention(name, weights)
    for picture in _pictures():
        _assert_same(_prepared(usual, picture), entry.transforms()(picture), usual.std)
    assert str(entry) in usual.origin
    assert (
        torchvision_convention(name, f"/x/{entry.url.rpartition('/')[2]}") == usual
    )  # known by the file's name


VIT, SQUARE = transformers.ViTConfig(image_size=24), {"height": 24, "width": 24}
PROCESSORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "shorter edge, then crop": (
        VIT, {"do_center_crop": True, "size": {"shortest_edge": 28}, "crop_size": SQUARE, "resample": 3},
    ),
    "size as a number": (VIT, {"size": 24}),
    "height and width": (
        transformers.ViTConfig(image_size=(30, 20)),
        {"size": {"height": 30, "width": 20}, "image_processor_type": "ViTImageProcessorFast"},
    ),
    "0 to 255": (
        VIT,
        {"size": 24, "do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 61.0, 62.0]},
    ),
    "-1 to 1": (VIT, {"size": 24, "do_normalize": False, "rescale_factor": 1 / 127.5}),
    "nothing but scaled": (VIT, {"size": 24, "do_normalize": False}),
    "ConvNeXt's share": (transformers.ConvNextConfig(), {"size": {"shortest_edge": 56}, "crop_pct": 0.875}),
    "blue first": (transformers.MobileViTConfig(), {"size": {"shortest_edge": 36}, "crop_size": SQUARE}),
    "LeViT's own share": (transformers.LevitConfig(), {"size": {"shortest_edge": 24}, "crop_size": SQUARE}),
    "CLIP's": (
        transformers.Dinov2Config(),
        {"image_processor_type": "CLIPImageProcessor", "size": 30, "crop_size": 26},
    ),
    "smaller than the crop": (
        transformers.BitConfig(),
        {"do_center_crop": True, "size": {"shortest_edge": 20}, "crop_size": {"height": 26, "width": 26}},
    ),
    "normalised twice": (transformers.EfficientNetConfig(), {"size": {"height": 30, "width": 30}}),
}  # fmt: skip


def _folder(
    folder: Path, config: Any, settings: dict[str, Any], file: str = "preprocessor_config.json"
) -> Path:
    config.save_pretrained(folder)
    (folder / file).write_text(json.dumps(settings), encoding="utf-8")
    return folder


@pytest.mark.parametrize("case", PROCESSORS)
def test_transformers(case: str, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", *PROCESSORS[case])
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    usual = hf_convention(str(folder))
    assert usual.notes == ()
    for picture in _pictures():
        theirs = processor(images=[picture], return_tensors="pt")["pixel_values"][0]
        _assert_same(_prepared(usual, picture), theirs.float(), usual.std)


def test_what_a_processor_does_beyond_that_is_told(tmp_path: Path) -> None:
    settings = {"size": {"height": 24, "width": 24}, "do_pad": True, "pad_size": {"height": 40, "width": 40}}
    usual = hf_convention(str(_folder(tmp_path / "m", transformers.ViTConfig(image_size=24), settings)))
    assert "does more to pictures than resize, crop and normalise" in usual.notes[0]


def test_a_filter_that_torch_lacks_is_told(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", transformers.ViTConfig(image_size=24), {"size": SQUARE, "resample": 1})
    told = ("the model's pictures are resized by lanczos, which torch lacks: bicubic is taken instead",)
    assert (hf_convention(str(folder)).notes, hf_convention(str(folder)).interpolation) == (told, "bicubic")
    assert timm_convention("resnet18", {"interpolation": "lanczos"}).notes == told
    assert "hamming" in timm_convention("resnet18", {"interpolation": "hamming"}).notes[0]
    assert timm_convention("resnet18").notes == ()


def test_the_settings_beside_other_processors(tmp_path: Path) -> None:
    inside = {
        "image_processor": {"image_processor_type": "ViTImageProcessor", "size": {"height": 20, "width": 20}}
    }
    folder = _folder(tmp_path / "m", transformers.ViTConfig(image_size=20), inside, "processor_config.json")
    usual = hf_convention(str(folder))
    assert (usual.size, usual.mean) == ((20, 20), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    "settings",
    [
        {"size": 10**9},
        {"size": {"height": -3, "width": 5}},
        {"size": {"shortest_edge": 2**40}},
        {"size": 24, "image_std": [0, 0, 0]},
        {"size": 24, "image_std": ["a", "b", "c"]},
        {"size": 24, "image_mean": [0.5, 0.5]},
        {"size": 24, "rescale_factor": 0},
        {"size": 24, "rescale_factor": "1/255"},
        {"size": "\x1b[31mlarge"},
        {"image_processor_type": "NoSuchProcessor"},
        [1, 2],
    ],
)
def test_settings_that_lie(settings: Any, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "m", transformers.ViTConfig(image_size=24), settings)
    with pytest.raises(ModelError) as caught:
        hf_convention(str(folder))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300


def _wide(folder: Path) -> TaskData:
    """Pictures twice as wide as high; the class is where the bright part of the centre is, and the margins lie."""
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    pictures = random.integers(20, 90, (120, 3, 32, 64), dtype=np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[:, 8:24, 20:30] = 230 if label else 40
        picture[:, 8:24, 34:44] = 40 if label else 230
        picture[:, :, :14] = random.choice([10, 250])
    np.savez(folder / "wide.npz", x=pictures, y=labels)
    return open_data(f"npz:{folder / 'wide.npz'}")


def _centre_model(folder: Path, data: TaskData) -> Path:
    """A ViT trained with its folder's own processing: shorter edge to 28, centre crop 24."""
    settings = {
        "image_processor_type": "ViTImageProcessor", "do_center_crop": True, "size": {"shortest_edge": 28},
        "crop_size": {"height": 24, "width": 24}, "resample": 3, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=24, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=24, num_labels=2,
        )
    )  # fmt: skip
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    batch = data.train.all()
    inputs = processor(images=list(batch.inputs), return_tensors="pt")["pixel_values"]
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(12):
        loss = network(pixel_values=inputs, labels=batch.labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.save_pretrained(folder)
    return folder


def test_a_model_is_as_good_as_with_its_own_processing(tmp_path: Path) -> None:
    data = _wide(tmp_path)
    model = load_model(f"hf:{_centre_model(tmp_path / 'vit', data)}", data=data)
    assert evaluate(model, data.test).quality == 1.0
    assert model.card.reading == (
        "images: shorter edge to 28 (bicubic), centre crop 24×24, by preprocessor_config.json (ViTImageProcessor)"
    )
    save_checkpoint(model, tmp_path / "m")
    again = load_model(tmp_path / "m")
    inputs = data.test.all().inputs
    with torch.no_grad():
        assert torch.equal(again.eval()(inputs), model.eval()(inputs))
    whole = load_model(f"hf:{tmp_path / 'vit'}", data=data, options={"crop": False})
    assert whole.card.preprocessing.fit == "stretch"
    fresh = fresh_copy(model, data, seed=0)  # sees the same part of each picture
    assert (fresh.card.preprocessing.fit, fresh.card.preprocessing.resize) == ("cover", (28, 28))


def test_a_card_of_an_older_version_keeps_its_meaning() -> None:
    plan = Preprocessing.model_validate_json('{"kind": "image", "channels": 3, "size": [24, 24]}')
    picture = torch.rand(1, 3, 32, 64)
    squashed = torch.nn.functional.interpolate(picture, (24, 24), mode="bilinear", antialias=True)
    torch.testing.assert_close(make_preprocess(plan)(picture), squashed)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    return _wide(tmp_path_factory.mktemp("wide"))


def _saved(spec: str, data: TaskData, file: Path) -> Model:
    model = build_model(spec, data=data, seed=0)
    save_file({k: v.contiguous() for k, v in model.network.state_dict().items()}, file)
    return model


def test_a_weights_file_of_a_library_gets_the_librarys_processing(wide: TaskData, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    fresh = _saved("torchvision:squeezenet1_1", wide, file)
    assert (fresh.card.preprocessing.fit, fresh.card.reading) == (
        "stretch",
        "",
    )  # nobody's weights: all of it is seen
    model = load_model("torchvision:squeezenet1_1", data=wide, weights=file)
    plan = model.card.preprocessing
    assert (plan.fit, plan.resize, plan.size, plan.crop_start) == ("cover", (256, 256), (224, 224), "round")
    assert "torchvision's transforms of SqueezeNet1_1_Weights.IMAGENET1K_V1" in model.card.reading
    # who names a size means those pixels: the aspect is kept, and nothing is enlarged to be cut off
    sized = load_model("torchvision:squeezenet1_1?input_size=64", data=wide, weights=file).card.preprocessing
    assert (sized.fit, sized.resize, sized.size) == ("cover", None, (64, 64))
    whole = load_model("torchvision:squeezenet1_1?crop=false", data=wide, weights=file).card.preprocessing
    assert (whole.fit, whole.size) == ("stretch", (224, 224))
    with pytest.raises(UsageError, match="crop is true"):
        load_model("torchvision:squeezenet1_1?crop=3", data=wide, weights=file)


def test_very_long_pictures_are_not_enlarged_whole() -> None:
    plan = Preprocessing(kind="image", channels=1, size=(16, 16), fit="cover")
    picture = torch.zeros(1, 1, 2, 200_000)
    picture[..., 99_990:100_010] = 1
    out = brought_to_size(picture, plan)
    assert out.shape == (1, 1, 16, 16)
    assert float(out.min()) == 1.0  # the centre
    assert fitted_size((2, 200_000), (16, 16), "cover") == (16, 1_600_000)


# --- folders of timm -------------------------------------------------------------------------------


def _timm_folder(folder: Path, **more: Any) -> Any:
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    torch.manual_seed(0)
    network = timm.create_model("mobilenetv3_small_050", num_classes=3, pretrained=False)
    network.pretrained_cfg.update(
        {"mean": (0.1, 0.2, 0.3), "input_size": (3, 40, 40), "crop_pct": 0.8, **more}
    )
    save_for_hf(network, folder, model_config={"label_names": ["cat", "dog", "eel"]}, safe_serialization=True)
    return network.eval()


@pytest.mark.parametrize("scheme", ["timm", "hf"])
def test_a_folder_of_timm(scheme: str, tmp_path: Path) -> None:
    network = _timm_folder(tmp_path / "t")
    model = load_model(f"{scheme}:{tmp_path / 't'}").eval()
    plan = model.card.preprocessing
    assert (plan.mean, plan.size, plan.resize, plan.fit) == ((0.1, 0.2, 0.3), (40, 40), (50, 50), "cover")
    assert (model.card.arch, model.classes) == ("timm:mobilenetv3_small_050", ("cat", "dog", "eel"))
    pictures = torch.randint(0, 256, (2, 3, 60, 50), dtype=torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(model(pictures), network(model.prepare(pictures)))
    save_checkpoint(model, tmp_path / "m")
    data = open_data((np.zeros((60, 3, 50, 60), np.uint8), ["eel", "Cat"] * 30))
    two = load_model(f"{scheme}:{tmp_path / 't'}", data=data)
    assert two.classes == ("Cat", "eel")
    assert torch.equal(two.head_module().weight, network.classifier.weight[[0, 2]])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": "../../x"}, "no model of timm"),
        ({"architecture": 3}, "no model of timm"),
        ({"architecture": "mobilenetv3_smal_050"}, "did you mean 'mobilenetv3_small_050'"),
        ({"model_args": {"checkpoint_path": "/etc/passwd"}}, "reads files or fetches weights"),
        ({"model_args": {"block": [1, 2]}}, "no plain numbers and words"),
        ({"pretrained_cfg": {"input_size": [3, 10**9, 10**9]}}, "nothing usable of its inputs"),
        ({"pretrained_cfg": {"std": [0, 0, 0]}}, "nothing usable of its inputs"),
        ({"pretrained_cfg": {"mean": "\x1b[31m"}}, "nothing usable of its inputs"),
        ({"pretrained_cfg": {"crop_pct": 1e-9}}, "nothing usable of its inputs"),
    ],
)
def test_a_folder_of_timm_that_lies(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    _timm_folder(tmp_path / "t")
    file = tmp_path / "t" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}), encoding="utf-8")
    with pytest.raises((ModelError, UsageError), match=words) as caught:
        load_model(f"timm:{tmp_path / 't'}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300
