"""What a model's folder says of its weights, its tokens and its classes is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError, UsageError
from foretoll.measure import NoMeter
from foretoll.models import build_model, fresh_copy, load_model, save_checkpoint
from foretoll.models.hf_texts import pooled
from foretoll.models.own_classes import in_order, published_names, rows_of, synonyms
from foretoll.models.spec import parse_spec
from foretoll.models.weights import read_weights, strip_prefixes
from foretoll.options import get_option, train_to_target
from foretoll.records import Outcome, TrainingSettings

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [*SPECIAL, "good", "fine", "bad", "poor", "a", "film", "very", "it", "was", "rather", "long"]


def _tokenizer(folder: Path, **more: Any) -> None:
    plain = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    )
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "[SEP]", **more}
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **names).save_pretrained(folder)


def _bert(
    folder: Path, *, kind: str = "BertForSequenceClassification", dtype: str = "float32", **more: Any
) -> Any:
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32, **more,
    )  # fmt: skip
    torch.manual_seed(0)
    network = getattr(transformers, kind)(config).to(getattr(torch, dtype))
    network.save_pretrained(folder)
    _tokenizer(folder)
    return network.float().eval()


def _open(folder: Path, said: list[str], labels: list[str]) -> TaskData:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": said, "label": labels}), folder / "texts.parquet")
    return open_data(f"parquet:{folder / 'texts.parquet'}")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> TaskData:
    random = np.random.default_rng(0)
    fill = WORDS[8:]
    labels = np.arange(120) % 2
    said = []
    for label in labels:
        words = [str(w) for w in random.choice(fill, int(random.integers(2, 9)))]
        words.insert(
            int(random.integers(len(words))), str(random.choice(WORDS[4:6] if label else WORDS[6:8]))
        )
        said.append(" ".join(words))
    names = ["positive" if label else "negative" for label in labels]
    return _open(tmp_path_factory.mktemp("texts"), said, names)


# --- precision -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_trained_in_float32(dtype: str, texts: TaskData, tmp_path: Path) -> None:
    network = _bert(tmp_path / "bert", dtype=dtype, num_labels=2)
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert f"weights stored in {dtype}, used in float32" in model.card.reading
    assert torch.equal(model.network.classifier.weight, network.classifier.weight)  # type: ignore[union-attr]
    fresh = fresh_copy(model, texts, seed=0)
    assert {p.dtype for p in fresh.network.parameters()} == {torch.float32}
    save_checkpoint(model, tmp_path / "m")
    assert {p.dtype for p in load_model(tmp_path / "m").network.parameters()} == {torch.float32}
    assert json.loads((tmp_path / "m" / "config.json").read_text())["dtype"] == "float32"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_half_precision_folder_learns(dtype: str, texts: TaskData, tmp_path: Path) -> None:
    _bert(tmp_path / "bert", dtype=dtype, num_labels=2)
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    settings = TrainingSettings(batch_size=8, max_epochs=8, lr=1e-2, until=0.95)
    option = get_option("finetune")
    training = option.start(model, texts, settings, task_shift=False, device=torch.device("cpu"))
    done = train_to_target(option, training, settings, meter=NoMeter())
    assert done.outcome is Outcome.REACHED
    assert done.curve[-1].loss < 0.8 * done.curve[0].loss


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_files_of_any_precision(dtype: str, digits: TaskData, tmp_path: Path) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    state = {k: v.to(getattr(torch, dtype)) for k, v in model.network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    loaded = load_model("foretoll:mlp", data=digits, weights=tmp_path / "w.safetensors")
    assert {p.dtype for p in loaded.network.parameters()} == {torch.float32}
    assert loaded.card.reading == f"weights stored in {dtype}, used in float32"


def test_quantised_folders_are_refused(tmp_path: Path, texts: TaskData) -> None:
    _bert(tmp_path / "bert", num_labels=2)
    file = tmp_path / "bert" / "config.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "quantization_config": {"quant_method": "fp8"}})
    )
    with pytest.raises(ModelError, match="quantised weights, which cannot be trained"):
        load_model(f"hf:{tmp_path / 'bert'}", data=texts)


# --- weights in several files, and behind wrappers -------------------------------------------------


def _shards(folder: Path, state: dict[str, Tensor]) -> Path:
    folder.mkdir()
    names = list(state)
    files = {"model-00001-of-00002.safetensors": names[:3], "model-00002-of-00002.safetensors": names[3:]}
    for file, inside in files.items():
        save_file({name: state[name] for name in inside}, folder / file)
    listed = {name: file for file, inside in files.items() for name in inside}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": listed}), encoding="utf-8")
    return index


def test_weights_in_several_files(digits: TaskData, tmp_path: Path) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    index = _shards(tmp_path / "shards", dict(model.network.state_dict()))
    for given in (index.parent, index):
        loaded = load_model("foretoll:mlp", data=digits, weights=given)
        assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_a_transformers_folder_in_several_files(texts: TaskData, tmp_path: Path) -> None:
    network = _bert(tmp_path / "bert", num_labels=2)
    state = load_file(tmp_path / "bert" / "model.safetensors")
    (tmp_path / "bert" / "model.safetensors").unlink()
    index = _shards(tmp_path / "shards", state)
    for file in index.parent.iterdir():
        file.rename(tmp_path / "bert" / file.name)
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    assert torch.equal(model.network.classifier.weight, network.classifier.weight)  # type: ignore[union-attr]
    place = tmp_path / "bert" / index.name
    content = json.loads(place.read_text())
    content["weight_map"] = dict.fromkeys(content["weight_map"], "../outside.safetensors")
    place.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"which is no \.safetensors file beside it"):
        load_model(f"hf:{tmp_path / 'bert'}", data=texts)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 10_000, "is no index of weights"),
        ("{}", "is no index of weights"),
        ('{"weight_map": {}}', "lists no tensors"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "beside it: only those are read"),
        ('{"weight_map": {"a": "../../x.safetensors"}}', "beside it: only those are read"),
        ('{"weight_map": {"a": "x.bin"}}', "beside it: only those are read"),
        ('{"weight_map": {"a": 3}}', "beside it: only those are read"),
        ('{"weight_map": {"a": "gone\\u001b[31m.safetensors"}}', "are not there"),
        ('{"weight_map": {"nothing of it": "model-00001-of-00002.safetensors"}}', "lacks 1 of the tensors"),
    ],
)
def test_an_index_that_lies(content: str, words: str, digits: TaskData, tmp_path: Path) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    index = _shards(tmp_path / "shards", dict(model.network.state_dict()))
    index.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=words) as caught:
        read_weights(index.parent)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300


WRAPPED = {
    "averaged by torch": lambda s: {
        **{f"module.{k}": v for k, v in s.items()},
        "n_averaged": torch.tensor(5),
    },
    "averaged, unwrapped": lambda s: {**s, "n_averaged": torch.tensor(5)},
    "under swa_model": lambda s: {"swa_model": {f"module.{k}": v for k, v in s.items()}, "epoch": 3},
    "lightning with a loss": lambda s: {
        "state_dict": {**{f"model.{k}": v for k, v in s.items()}, "criterion.weight": torch.ones(2)}
    },
    "lightning with averages": lambda s: {
        "state_dict": {
            **{f"ema_model.module.{k}": v * 0 for k, v in s.items()},
            **{f"model.{k}": v for k, v in s.items()},
            "ema_n": torch.tensor(3),
        }
    },
    "compiled, then distributed": lambda s: {f"module._orig_mod.{k}": v for k, v in s.items()},
    "model beside its average": lambda s: {"model": s, "ema": {k: v * 0 for k, v in s.items()}, "step": 1},
    "the average alone": lambda s: {"ema_state_dict": s},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wrappers_and_what_they_keep_beside_the_network(how: str, digits: TaskData, tmp_path: Path) -> None:
    model = build_model("foretoll:mlp", data=digits, seed=0)
    torch.save(WRAPPED[how](dict(model.network.state_dict())), tmp_path / "w.pt")
    loaded = load_model("foretoll:mlp", data=digits, weights=tmp_path / "w.pt", seed=7)
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), model.parameters(), strict=True))


def test_layers_that_the_network_lacks_are_never_left_out() -> None:
    names = ["0.weight", "0.bias"]
    state = {f"{part}.{name}": torch.ones(1) for part in ("encoder", "decoder") for name in names}
    assert strip_prefixes(state, names) == state
    inside = {**{f"model.{name}": torch.ones(1) for name in names}, "model.1.weight": torch.ones(2, 2)}
    assert "1.weight" in strip_prefixes(inside, names)


def test_a_file_that_holds_itself(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content["model"] = content
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ModelError, match="holds no state dict"):
        read_weights(tmp_path / "w.pt")


# --- tokens ----------------------------------------------------------------------------------------


def _sentence_encoder(folder: Path, pooling: dict[str, Any] | None) -> Any:
    network = _bert(folder, kind="BertModel")
    if pooling is not None:
        kind = "sentence_transformers.models"
        parts = [
            {"idx": 0, "name": "0", "path": "", "type": f"{kind}.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{kind}.Pooling"},
        ]
        (folder / "modules.json").write_text(json.dumps(parts), encoding="utf-8")
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
        (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9}', encoding="utf-8")
    return network


@pytest.mark.parametrize(
    ("pooling", "name"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, "max+mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"pooling_mode_weightedmean_tokens": True}, "weightedmean"),
        ({"pooling_mode": "cls", "embedding_dimension": 16}, "cls"),
        (None, "mean"),  # no classifier was saved with it
    ],
)
def test_a_sentence_encoder_pools_as_its_folder_says(
    pooling: dict[str, Any] | None, name: str, texts: TaskData, tmp_path: Path
) -> None:
    network = _sentence_encoder(tmp_path / "bert", pooling)
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts).eval()
    said = ["a good film", "bad", "it was rather very long and a fine film"]
    with torch.no_grad():
        representation, logits = model.embed_and_classify(said)
        ids = model.prepare(said)
        assert isinstance(ids, dict)
        tokens, mask = network(**ids).last_hidden_state, ids["attention_mask"].bool()
    theirs = {
        "mean": lambda t: t.mean(0), "cls": lambda t: t[0], "last": lambda t: t[-1], "max": lambda t: t.amax(0),
        "mean_sqrt_len": lambda t: t.sum(0) / len(t) ** 0.5,
        "weightedmean": lambda t: (t * torch.arange(1, len(t) + 1)[:, None]).sum(0) / sum(range(1, len(t) + 1)),
    }  # fmt: skip
    want = torch.stack(
        [
            torch.cat([theirs[part](t[m]) for part in name.split("+")])
            for t, m in zip(tokens, mask, strict=True)
        ]
    )
    torch.testing.assert_close(representation, want)
    torch.testing.assert_close(model.network.classifier(representation), logits)  # type: ignore[operator]
    assert f"tokens pooled: {name}" in model.card.reading
    assert model.card.preprocessing.max_length == (32 if pooling is None else 9)
    assert (model.card.family, model.head_name) == ("text-transformer", "classifier")
    save_checkpoint(model, tmp_path / "m")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "m").eval()(said), logits)
    other = fresh_copy(model, texts, seed=0)
    assert other.card.arch_options == {"pooling": name}


@pytest.mark.parametrize("pooling", [{"pooling_mode_mean_tokens": True}, {"pooling_mode": "cls"}])
@pytest.mark.parametrize("dense", [False, True])
def test_a_sentence_encoder_that_normalises(
    pooling: dict[str, Any], dense: bool, texts: TaskData, tmp_path: Path
) -> None:
    _sentence_encoder(tmp_path / "bert", pooling)
    file = tmp_path / "bert" / "modules.json"
    more = ["Dense", "Normalize"] if dense else ["Normalize"]
    parts = [
        {"path": f"{i}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(more, 2)
    ]
    file.write_text(json.dumps([*json.loads(file.read_text()), *parts]), encoding="utf-8")
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts).eval()
    said = ["a good film", "bad", "it was rather very long and a fine film"]
    plain = "mean" if "pooling_mode_mean_tokens" in pooling else "cls"
    with torch.no_grad():
        representation, logits = model.embed_and_classify(said)
        own = (
            load_model(f"hf:{tmp_path / 'bert'}?pooling={plain}", data=texts)
            .eval()
            .embed_and_classify(said)[0]
        )
    torch.testing.assert_close(representation, own / own.norm(dim=1, keepdim=True))
    assert not torch.allclose(own.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(model.network.classifier(representation), logits)  # type: ignore[operator]
    assert f"tokens pooled: {plain}+normalised" in model.card.reading
    assert ["ends in 'Dense'" in note for note in model.card.notes] == [True] * dense
    save_checkpoint(model, tmp_path / "m")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "m").eval()(said), logits)


@pytest.mark.parametrize("wrong", ["normalised", "normalised+mean", "mean+normalised+normalised"])
def test_what_is_normalised_is_pooled_before(wrong: str, texts: TaskData, tmp_path: Path) -> None:
    _sentence_encoder(tmp_path / "bert", None)
    with pytest.raises(UsageError, match="unknown pooling 'normalised'"):
        load_model(f"hf:{tmp_path / 'bert'}", data=texts, options={"pooling": wrong})


def test_left_padding_is_no_text() -> None:
    tokens, mask = torch.arange(8.0).view(1, 4, 2), torch.tensor([[0, 1, 1, 0]])
    assert pooled(tokens, mask, ("cls", "last")).tolist() == [[2, 3, 4, 5]]
    assert pooled(tokens, mask, ("max", "mean")).tolist() == [[4, 5, 3, 4]]


def test_poolings_that_are_wrong(texts: TaskData, tmp_path: Path) -> None:
    _sentence_encoder(tmp_path / "bert", {"pooling_mode": "attention"})
    with pytest.raises(UsageError, match="unknown pooling 'attention'"):
        load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    model = load_model(f"hf:{tmp_path / 'bert'}?pooling=library", data=texts)
    assert type(model.network).__name__ == "BertForSequenceClassification"
    modules = [{"path": "../../other", "type": "sentence_transformers.models.Pooling"}]
    (tmp_path / "bert" / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(ModelError, match="which is no folder beside it"):
        load_model(f"hf:{tmp_path / 'bert'}", data=texts)


def test_an_older_sentence_encoder_keeps_its_network_below(texts: TaskData, tmp_path: Path) -> None:
    _bert(tmp_path / "old" / "0_Transformer", kind="BertModel")
    parts = [{"path": "0_Transformer", "type": "x.Transformer"}, {"path": "1_Pooling", "type": "x.Pooling"}]
    (tmp_path / "old" / "modules.json").write_text(json.dumps(parts), encoding="utf-8")
    (tmp_path / "old" / "1_Pooling").mkdir()
    (tmp_path / "old" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    assert "tokens pooled: cls" in load_model(f"hf:{tmp_path / 'old'}", data=texts).card.reading


_LLAMA = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
    "intermediate_size": 24,
}  # fmt: skip
CAUSAL: dict[str, dict[str, int]] = {
    "GPT2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32},
    "Llama": _LLAMA,
    "Qwen2": _LLAMA,
}


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_language_models_embedding_is_its_last_token(
    kind: str, side: str, texts: TaskData, tmp_path: Path
) -> None:
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(WORDS), num_labels=2, bos_token_id=2, eos_token_id=3, pad_token_id=0, **CAUSAL[kind]
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    network.save_pretrained(tmp_path / "m")
    _tokenizer(tmp_path / "m", padding_side=side)
    model = load_model(f"hf:{tmp_path / 'm'}", data=texts).eval()
    said = ["a good film", "bad", "it was rather very long"]
    with torch.no_grad():
        representation, logits = model.embed_and_classify(said)
        ids = model.prepare(said)
        assert isinstance(ids, dict)
        tokens = network.base_model(**ids).last_hidden_state
    last = [int(mask.nonzero()[-1]) for mask in ids["attention_mask"]]
    want = torch.stack([row[at] for row, at in zip(tokens, last, strict=True)])
    torch.testing.assert_close(representation, want, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.score(representation), logits)


def test_xlnet_has_no_longest_text(texts: TaskData, tmp_path: Path) -> None:
    config = transformers.XLNetConfig(
        vocab_size=len(WORDS), d_model=16, n_layer=1, n_head=2, d_inner=24, num_labels=2, pad_token_id=0
    )
    torch.manual_seed(0)
    transformers.XLNetForSequenceClassification(config).save_pretrained(tmp_path / "m")
    _tokenizer(tmp_path / "m", padding_side="left")
    model = load_model(f"hf:{tmp_path / 'm'}", data=texts).eval()
    assert model.card.preprocessing.max_length == 512
    said = ["a good film", "it was rather very long"]
    with torch.no_grad():
        both = model.embed_and_classify(said)
        alone = [model.embed_and_classify([text]) for text in said]
    torch.testing.assert_close(both[0], torch.cat([one[0] for one in alone]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(both[1], torch.cat([one[1] for one in alone]), rtol=1e-4, atol=1e-5)


# --- classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [("positive", "negative"), ("Positive", "NEGATIVE")])
def test_the_folders_order_of_classes_wins(first: str, second: str, texts: TaskData, tmp_path: Path) -> None:
    _bert(tmp_path / "bert", id2label={0: first, 1: second}, label2id={first: 0, second: 1})
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    assert texts.classes == ("negative", "positive")
    assert model.classes == ("positive", "negative")  # output 0 is what the folder calls positive
    assert load_model(f"hf:{tmp_path / 'bert'}").classes == (first, second)


def test_names_that_say_nothing_are_the_datas(texts: TaskData, tmp_path: Path) -> None:
    _bert(tmp_path / "bert", num_labels=2)
    assert load_model(f"hf:{tmp_path / 'bert'}", data=texts).classes == ("negative", "positive")


def test_a_wide_head_on_some_of_its_classes(texts: TaskData, tmp_path: Path) -> None:
    names = {0: "neutral", 1: "positive, glad", 2: "mixed", 3: "negative, sad"}
    network = _bert(tmp_path / "bert", id2label=names, label2id={v: k for k, v in names.items()})
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts)
    assert model.classes == ("positive", "negative")
    assert torch.equal(model.network.classifier.weight, network.classifier.weight[[1, 3]])  # type: ignore[union-attr]
    save_checkpoint(model, tmp_path / "m")
    assert load_model(tmp_path / "m").classes == ("positive", "negative")


def test_a_published_head_by_any_of_its_names() -> None:
    pytest.importorskip("timm")
    outputs = published_names(parse_spec("torchvision:resnet18"), 1000)
    assert outputs is not None
    assert rows_of(outputs, ["goldfish", "Tinca tinca", "n01484850", "Eskimo_dog"]) == [1, 0, 2, 248]
    assert rows_of(outputs, ["goldfish", "unicorn"]) is None
    assert rows_of(outputs, ["crane"]) is None  # the bird and the machine
    assert in_order([5, 2], ["b", "a"]) == ([2, 5], ("a", "b"))
    assert rows_of(synonyms(["tench, Tinca tinca", "cat"]), ["CAT", "tench"]) == [1, 0]


def test_a_published_heads_rows_are_taken(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    names = ["goldfish", "tench", "tabby"]
    pictures = np.random.default_rng(0).integers(0, 256, (60, 3, 16, 16), dtype=np.uint8)
    data = open_data((pictures, [names[i % 3] for i in range(60)]))
    from torchvision.models import squeezenet1_1

    network = squeezenet1_1()
    torch.save(network.state_dict(), tmp_path / "w.pt")
    model = load_model("torchvision:squeezenet1_1?input_size=64", data=data, weights=tmp_path / "w.pt")
    assert model.classes == ("tench", "goldfish", "tabby")
    head = network.classifier[1]
    assert torch.equal(model.head_module().weight, head.weight[[0, 1, 281]])  # type: ignore[arg-type, index]


def test_one_output_is_the_log_odds_of_two_classes(texts: TaskData, tmp_path: Path) -> None:
    network = _bert(tmp_path / "bert", num_labels=1)
    model = load_model(f"hf:{tmp_path / 'bert'}", data=texts).eval()
    said = ["a good film", "bad"]
    with torch.no_grad():
        ids = model.prepare(said)
        assert isinstance(ids, dict)
        odds = network(**ids).logits[:, 0]
        torch.testing.assert_close(model(said).softmax(1)[:, 1], odds.sigmoid())
    assert "log-odds of 'positive' against 'negative'" in model.card.notes[0]
    three = _open(tmp_path, ["a film", "bad film", "it was a film"] * 20, ["x", "y", "z"] * 20)
    with pytest.raises(ModelError, match="1 classes, but the data or names given have 3"):
        load_model(f"hf:{tmp_path / 'bert'}", data=three)


# --- sound -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tones() -> TaskData:
    random = np.random.default_rng(0)
    labels, time = np.arange(80) % 2, np.arange(400) / 8000
    waves = [np.sin(2 * np.pi * (300 + 500 * k) * time + random.uniform(0, 6)) * 8000 for k in labels]
    return open_data((np.array(waves).astype(np.float32)[:, None], labels))


@pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])
def test_a_speech_model_takes_the_wave(kind: str, tones: TaskData, tmp_path: Path) -> None:
    config = getattr(transformers, f"{kind}Config")(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8),
        conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, num_labels=2, classifier_proj_size=8,
    )  # fmt: skip
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    network.save_pretrained(tmp_path / "m")
    extractor = transformers.Wav2Vec2FeatureExtractor(sampling_rate=8000)
    extractor.save_pretrained(tmp_path / "m")
    model = load_model(f"hf:{tmp_path / 'm'}", data=tones).eval()
    waves = tones.test.all().inputs[:4]
    given = extractor([w[0].numpy() for w in waves], sampling_rate=8000, return_tensors="pt").input_values
    with torch.no_grad():
        torch.testing.assert_close(model(waves), network(given).logits)
    assert "8,000 samples a second" in model.card.notes[0]
    settings = TrainingSettings(max_epochs=1)
    training = get_option("finetune").start(
        model, tones, settings, task_shift=False, device=torch.device("cpu")
    )
    training.train_mode()
    assert torch.isfinite(training.model(waves)).all()
    save_checkpoint(model, tmp_path / "c")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "c").eval()(waves), model(waves))
