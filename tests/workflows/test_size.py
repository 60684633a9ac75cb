"""What training a model takes, from its configuration alone: exact where it can be counted, and nothing is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from foretoll.cli import app
from foretoll.errors import ForetollError, ModelError, UsageError
from foretoll.models.outlines import outline
from foretoll.options import get_option
from foretoll.records import ModelSize, TrainingSettings
from foretoll.report import size_table
from foretoll.report.terminal import as_text
from foretoll.workflows import Accounting
from foretoll.workflows.context import Update
from foretoll.workflows.probe import count_option
from foretoll.workflows.size import size
from options.making import blobs, mlp

SETTINGS = TrainingSettings(batch_size=8, optimizer="adamw")
IMAGES = {"shape": (3, 16, 16), "classes": 5}


def of(option: str, model: str = "foretoll:cnn", **more: object) -> ModelSize:
    return size(model, option, **{"settings": SETTINGS, **IMAGES, **more})  # type: ignore[arg-type]


def test_every_part_of_the_memory_is_that_of_its_formula() -> None:
    found = of("finetune")
    assert found.trainable_parameters == found.parameters
    assert found.gradients_bytes == 4 * found.parameters
    assert 8 * found.parameters <= found.optimizer_bytes <= 8 * found.parameters + 4 * 100, (
        "two moments, step counts"
    )
    assert found.weights_bytes >= 4 * found.parameters
    assert (
        of("finetune", settings=TrainingSettings(batch_size=8, optimizer="sgd", momentum=0.0)).optimizer_bytes
        == 0
    )


def test_what_trains_less_takes_less() -> None:
    full, part, head = (of(option) for option in ("finetune", "partial", "head"))
    assert full.gradients_bytes > part.gradients_bytes > head.gradients_bytes > 0
    assert full.step_operations > part.step_operations > head.step_operations > 0
    assert of("keep").gradients_bytes == of("keep").step_operations == 0


def test_larger_batches_take_as_much_more_activations_and_no_more_weights() -> None:
    one, four = (of("finetune", settings=TrainingSettings(batch_size=b)) for b in (8, 32))
    assert four.activations_high_bytes == pytest.approx(4 * one.activations_high_bytes, rel=0.1)
    assert four.step_operations == pytest.approx(4 * one.step_operations, rel=0.01)
    assert four.weights_bytes == one.weights_bytes


def test_the_outline_of_a_network_is_counted_as_the_network_itself() -> None:
    data = blobs(200)
    model = mlp(data)
    update = Update(model, None, data, False, torch.device("cpu"))
    real = count_option(get_option("finetune"), update, SETTINGS)
    width = model.card.arch_options
    name = "foretoll:mlp" + ("?" + "&".join(f"{k}={v}" for k, v in width.items()) if width else "")
    found = size(name, settings=SETTINGS, shape=tuple(data.shape), classes=data.num_classes)
    assert found.parameters == model.card.parameters
    assert found.step_operations == real.step.operations
    assert found.gradients_bytes == real.trainable_bytes


def test_lower_precision_is_a_range_of_activations() -> None:
    found = of("finetune", settings=TrainingSettings(batch_size=8, precision="bf16"), hardware="A100")
    assert found.activations_low_bytes == found.activations_high_bytes / 2
    whole = of("finetune", settings=TrainingSettings(batch_size=8), hardware="A100")
    assert found.elsewhere[0].memory_low_bytes < whole.elsewhere[0].memory_low_bytes  # type: ignore[operator]  # known


def test_rows_of_hardware_are_linear_in_the_length_of_the_training() -> None:
    money = Accounting(region="DE", price="2EUR/h")
    one, ten = (of("finetune", hardware="A100,2xL4", epochs=e, accounting=money) for e in (1.0, 10.0))
    for short, long in zip(one.elsewhere, ten.elsewhere, strict=True):
        for a, b in ((short.forecast.duration_s, long.forecast.duration_s), (short.money, long.money)):
            assert a is not None and b is not None and a.median is not None
            assert b.median == pytest.approx(10 * a.median, rel=0.05)
    text = as_text(size_table(one), width=100)
    assert "2 × L4" in text and "EUR" in text and "Nothing was loaded" in text


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a small BERT, and headers of weights that are not there."""
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("bert")
    config = {
        "model_type": "bert", "architectures": ["BertModel"], "hidden_size": 32, "num_hidden_layers": 2,
        "vocab_size": 99, "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 128,
        "pad_token_id": 0,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    header = json.dumps({"a": {"dtype": "F16", "shape": [50], "data_offsets": [0, 100]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)  # no values follow
    return folder


def test_a_folder_of_transformers_is_sized_by_configuration_and_headers(bert: Path) -> None:
    found = size(f"hf:{bert}", settings=SETTINGS, tokens=16)
    longer = size(f"hf:{bert}", settings=SETTINGS, tokens=48)
    assert (found.stored_bytes, found.stored_dtype) == (100, "F16")
    assert longer.activations_high_bytes > 2.5 * found.activations_high_bytes
    pytest.importorskip("peft")
    lora = size(f"hf:{bert}", "lora", settings=SETTINGS, tokens=16)
    assert 0 < lora.trainable_parameters < found.parameters / 2


def test_headers_that_are_none_are_refused(bert: Path, tmp_path: Path) -> None:
    for number, content in enumerate(
        (b"", b"\xff" * 8, struct.pack("<Q", 4) + b"[1]", struct.pack("<Q", 2) + b"{")
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_bytes((bert / "config.json").read_bytes())
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match="has no header of safetensors"):
            outline(f"hf:{folder}")


@pytest.mark.parametrize(
    ("model", "option", "more", "said"),
    [
        ("foretoll:cnn", "finetune", {"shape": ()}, "does not say what its samples are"),
        ("foretoll:cnn", "finetune", {"shape": (1, 2, 3, 4)}, "--input is the shape of one sample"),
        ("foretoll:cnn", "finetune", {"shape": (9999, 9999, 9999)}, "none that a network takes"),
        ("foretoll:cnn", "finetune", {"epochs": 0.0}, "--epochs 0 is out of range"),
        ("foretoll:cnn", "finetune", {"task": "chess"}, "--kind 'chess' cannot be sized"),
        ("foretoll:cnn", "reprogram", {}, "cannot be sized without weights and data"),
        ("foretoll:cnn", "finetune", {"hardware": "A999"}, "unknown hardware 'A999'"),
        ("foretoll:cnm", "finetune", {}, "unknown foretoll architecture 'cnm': did you mean 'cnn'"),
    ],
)
def test_what_cannot_be_sized_says_so(model: str, option: str, more: dict[str, object], said: str) -> None:
    with pytest.raises(ForetollError, match=said) as refused:
        of(option, model, **more)
    assert isinstance(refused.value, UsageError)


def test_the_command_gives_the_record_as_json() -> None:
    words = [
        "size",
        "foretoll:mlp",
        "--input",
        "12",
        "--classes",
        "3",
        "--hardware",
        "A100",
        "--region",
        "DE",
        "--json",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = ModelSize.model_validate_json(done.output)
    assert found.elsewhere[0].name == "A100" and found.parameters > 0
