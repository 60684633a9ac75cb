"""timm and transformers, offline: tiny networks, saved to a folder and loaded from it."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from foretoll.data import TaskData
from foretoll.errors import ModelError, UsageError
from foretoll.models import build_model, countable_layers, load_model, save_checkpoint


@pytest.mark.parametrize(
    ("name", "family", "head", "dim"),
    [
        ("mobilenetv3_small_050", "mobilenet", "classifier", 1024),
        ("convnext_atto", "convnext", "head.fc", 320),
        ("vit_tiny_patch16_224?input_size=32", "vit", "head", 192),
    ],
)
def test_timm(name: str, family: str, head: str, dim: int, colour: TaskData, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = build_model(f"timm:{name}", data=colour, seed=0).eval()
    inputs = next(iter(colour.test.batches(3))).inputs
    with torch.no_grad():
        representation, logits = model.embed_and_classify(inputs)
    assert (model.card.family, model.head_name, representation.shape) == (family, head, (3, dim))
    save_file(dict(model.network.state_dict()), tmp_path / "w.safetensors")
    loaded = load_model(f"timm:{name}", data=colour, weights=tmp_path / "w.safetensors").eval()
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    save_checkpoint(model, tmp_path / "m")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "m").eval()(inputs), logits)


def test_timm_conventions_channels_and_names(digits: TaskData, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    grey = build_model("timm:mobilenetv3_small_050?in_chans=1", data=digits, seed=0)
    assert grey.card.preprocessing.channels == 1
    save_file(dict(grey.network.state_dict()), tmp_path / "w.safetensors")
    spec = "timm:mobilenetv3_small_050?in_chans=1&input_size=48"
    loaded = load_model(spec, data=digits, weights=tmp_path / "w.safetensors")
    plan = (
        loaded.card.preprocessing
    )  # external weights: timm's own statistics, averaged over its three channels
    assert plan.size == (48, 48)
    assert plan.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))
    with pytest.raises(UsageError, match="did you mean 'mobilenetv3_small_050'"):
        build_model("timm:mobilenetv3_smal_050", data=digits, seed=0)


def test_timm_reads_the_authors_own_names(colour: TaskData, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = build_model("timm:convnext_atto", data=colour, seed=0)
    renames = (  # as in the released files of ConvNeXt
        (r"stages\.(\d+)\.blocks\.(\d+)", r"stages.\1.\2"),
        (r"stages\.(\d+)\.downsample\.(\d+)", r"downsample_layers.\1.\2"),
        (r"^stem\.", "downsample_layers.0."),
        (r"conv_dw", "dwconv"),
        (r"mlp\.fc(\d)", r"pwconv\1"),
        (r"head\.norm", "norm"),
        (r"head\.fc", "head"),
    )
    original = {}
    for name, value in model.network.state_dict().items():
        original[functools.reduce(lambda text, rule: re.sub(*rule, text), renames, name)] = value
    save_file(original, tmp_path / "w.safetensors")
    loaded = load_model("timm:convnext_atto", data=colour, weights=tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))
    del original["norm.weight"]
    save_file(original, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="do not fit the architecture"):
        load_model("timm:convnext_atto", data=colour, weights=tmp_path / "w.safetensors")


def test_both_heads_of_a_distilled_network_are_replaced(colour: TaskData, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = build_model("timm:deit_tiny_distilled_patch16_224?input_size=32", data=colour, seed=0)
    assert set(model.head_names()) == {"head", "head_dist"}
    other = model.with_new_head(["a", "b", "c", "d"], seed=0)
    inputs = colour.test.all().inputs
    with torch.no_grad():
        logits = other.eval()(inputs)
        assert logits.shape == (len(inputs), 4)
        save_checkpoint(other, tmp_path)
        assert torch.equal(load_model(tmp_path).eval()(inputs), logits)


def _vit(folder: Path, classes: int = 3, *, body_only: bool = False) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, num_labels=classes,
    )  # fmt: skip
    torch.manual_seed(0)
    kind = transformers.ViTModel if body_only else transformers.ViTForImageClassification
    network = kind(config)
    network.save_pretrained(folder)
    settings = {
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.2, 0.1],
        "size": {"height": 32, "width": 32},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return network.eval()


def test_hf_images(colour: TaskData, tmp_path: Path) -> None:
    network = _vit(tmp_path / "vit")
    model = load_model(f"hf:{tmp_path / 'vit'}", data=colour).eval()
    assert model.card.preprocessing.mean == (0.5, 0.4, 0.3)
    assert (model.card.family, model.head_name) == ("vit", "classifier")
    inputs = next(iter(colour.test.batches(3))).inputs
    with torch.no_grad():
        representation, logits = model.embed_and_classify(inputs)
        assert torch.equal(network(model.prepare(inputs)).logits, logits)
    assert representation.shape == (3, 16)
    assert len(countable_layers(model)) == 7  # patches, query, key, value, output, and the two of the MLP
    changed = model.with_new_head(["x", "y"], seed=0).eval()
    save_checkpoint(changed, tmp_path / "m")
    (tmp_path / "vit" / "config.json").unlink()  # the checkpoint stands alone
    again = load_model(tmp_path / "m").eval()
    with torch.no_grad():
        assert torch.equal(again(inputs), changed(inputs))


def test_hf_heads(digits: TaskData, colour: TaskData, tmp_path: Path) -> None:
    _vit(tmp_path / "vit")
    with pytest.raises(
        ModelError, match=r"head .* of 3 classes, but the data or names given have 10.*new_head=true"
    ):
        load_model(f"hf:{tmp_path / 'vit'}", data=digits)
    assert load_model(f"hf:{tmp_path / 'vit'}", data=digits, options={"new_head": True}).num_classes == 10
    body = _vit(tmp_path / "body", body_only=True)
    one, two = (load_model(f"hf:{tmp_path / 'body'}", data=colour, seed=4) for _ in range(2))
    assert torch.equal(one.head_module().weight, two.head_module().weight)  # type: ignore[arg-type]  # a Linear
    assert torch.equal(one.network.vit.embeddings.cls_token, body.embeddings.cls_token)


def test_hf_folders_that_are_wrong(colour: TaskData, tmp_path: Path) -> None:
    _vit(tmp_path / "vit")
    with pytest.raises(ModelError, match=r"is no folder with a config.json"):
        load_model(f"hf:{tmp_path / 'vti'}", data=colour)
    weights = tmp_path / "vit" / "model.safetensors"
    torch.save({}, tmp_path / "vit" / "pytorch_model.bin")
    content = weights.read_bytes()
    weights.unlink()
    with pytest.raises(ModelError, match="holds no safetensors weights"):  # and the pickle is not read
        load_model(f"hf:{tmp_path / 'vit'}", data=colour)
    weights.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match="holds no safetensors weights"):
        load_model(f"hf:{tmp_path / 'vit'}", data=colour)
    (tmp_path / "vit" / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="no transformers configuration can be read"):
        load_model(f"hf:{tmp_path / 'vit'}", data=colour)


WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "a",
    "good",
    "bad",
    "film",
    "rather",
    "long",
    "text",
    "an",
    "example",
]


def _text_model(kind: str, folder: Path) -> None:
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    vocabulary = {word: i for i, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", eos_token="[SEP]"
    ).save_pretrained(folder)
    common = {"vocab_size": len(WORDS), "num_labels": 2}
    if kind == "bert":
        config = transformers.BertConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=32, **common,
        )  # fmt: skip
        network = transformers.BertForSequenceClassification
    else:
        config = transformers.GPT2Config(
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=32,
            bos_token_id=2,
            eos_token_id=3,
            pad_token_id=0,
            **common,
        )
        network = transformers.GPT2ForSequenceClassification
    torch.manual_seed(0)
    network(config).save_pretrained(folder)


@pytest.mark.parametrize(("kind", "head"), [("bert", "classifier"), ("gpt2", "score")])
def test_hf_texts(kind: str, head: str, tmp_path: Path) -> None:
    _text_model(kind, tmp_path / kind)
    model = load_model(f"hf:{tmp_path / kind}").eval()
    assert (model.card.family, model.head_name) == ("text-transformer", head)
    assert model.classes == ("LABEL_0", "LABEL_1")
    texts = ["a good film", "bad film", "a rather rather long long text film"]
    with torch.no_grad():
        representation, logits = model.embed_and_classify(texts)
        alone = [model.embed_and_classify([text]) for text in texts]
        ids = model.prepare(texts)
        assert isinstance(ids, dict)
        assert torch.equal(model(ids["input_ids"]), logits)  # token ids are as good as texts
    # padding does not reach the representation: it is the same alone and in a batch
    torch.testing.assert_close(torch.cat([a[0] for a in alone]), representation, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.cat([a[1] for a in alone]), logits, rtol=1e-5, atol=1e-5)
    assert len(countable_layers(model)) >= 4
    save_checkpoint(model, tmp_path / "m")
    (tmp_path / kind).rename(tmp_path / "gone")
    again = load_model(tmp_path / "m").eval()
    with torch.no_grad():
        assert torch.equal(again(texts), logits)
    with torch.no_grad():
        assert model([" ".join(["film"] * 99)]).shape == (1, 2)  # cut at the longest length that it takes


def test_a_text_model_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    _text_model("bert", tmp_path / "bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "bert" / name).unlink()
    model = load_model(f"hf:{tmp_path / 'bert'}")
    assert model(torch.tensor([[4, 5, 6]])).shape == (1, 2)
    with pytest.raises(ModelError, match="options tokenizer=FOLDER"):
        model(["a good film"])
