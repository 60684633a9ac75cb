"""Files from a stranger: no code that they name is imported, unless the user names it or trusts them."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from foretoll.data import TaskData
from foretoll.data.tokenizers import load_tokenizer
from foretoll.errors import ForetollError, ModelError, UsageError
from foretoll.models import Model, Trust, build_model, fresh_copy, load_model, save_checkpoint
from foretoll.models.reprogrammed import unwrapped, wrap
from foretoll.models.spec import parse_spec
from foretoll.reprogram import make_mapping, make_program
from foretoll.study.cell import Place
from foretoll.study.plan import StudyFile
from foretoll.study.run import plan_study

from .hostile import CANARY, CODE, MODULE, card_of, write_checkpoint, write_module

FACTORY = """
from pathlib import Path
import os
from torch import nn
Path("IMPORTED").touch()

def build(num_classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, num_classes))

def told() -> dict:
    Path("CALLED").touch()

async def later():
    Path("CALLED").touch()

class NoNetwork:
    def __init__(self):
        Path("CALLED").touch()

def leaves():
    raise SystemExit(0)

network = build(3)
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder with two modules in it."""
    write_module(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mine(here: Path) -> str:
    """A module of the user's own in the current folder."""
    name = f"mine_{here.name.replace('-', '_')}"
    (here / f"{name}.py").write_text(FACTORY, encoding="utf-8")
    return name


@pytest.fixture(scope="module")
def good(digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(
        build_model("foretoll:mlp?width=8", data=digits, seed=0), tmp_path_factory.mktemp("good") / "m"
    )


@pytest.mark.parametrize("name", CODE)
def test_no_file_runs_code(name: str, good: Path, here: Path, digits: TaskData) -> None:
    CODE[name](good, here / "m")
    with pytest.raises(ForetollError) as refused:
        load_model(here / "m", data=digits)
    words = str(refused.value)
    assert len(words) <= 300
    assert words.isprintable()
    if "module" not in name.partition(" (")[0] and "scheme" not in name:
        assert "--trust-code" in words
    assert not (here / CANARY).exists()
    assert MODULE not in sys.modules


def test_the_very_same_factory_named_by_the_user(mine: str, here: Path, digits: TaskData) -> None:
    model = build_model(f"{mine}:build?width=4", data=digits, seed=0)
    save_checkpoint(model, here / "m")
    sys.modules.pop(mine)
    (here / "IMPORTED").unlink()
    with pytest.raises(ModelError, match=r"names code to run.*--trust-code"):
        load_model(here / "m", data=digits)
    with pytest.raises(ModelError, match=r"was made by .* with 'width=4': name it with the same options"):
        load_model(f"{mine}:build", data=digits, weights=here / "m")
    assert not (here / "IMPORTED").exists()
    again = load_model(f"{mine}:build?width=4", data=digits, weights=here / "m")
    assert (here / "IMPORTED").exists()
    assert again.card == model.card  # the card counts too: its classes, its preprocessing
    trusted = load_model(here / "m", data=digits, trust_code=True)
    for loaded in (again, trusted):
        assert torch.equal(loaded.network[3].weight, model.network[3].weight)
        assert (
            fresh_copy(loaded, digits, seed=1).num_classes == 10
        )  # what was allowed once may be built again


def test_naming_one_factory_allows_no_other(mine: str, good: Path, here: Path, digits: TaskData) -> None:
    """A card of another factory than the one named is no way in: its weights alone are read."""
    write_checkpoint(good, here / "m", {**card_of(good), "arch": f"{MODULE}:build", "arch_options": {}})
    with pytest.raises(ModelError, match="do not fit the architecture"):
        load_model(f"{mine}:build", data=digits, weights=here / "m")
    assert not (here / CANARY).exists()


def test_a_module_in_memory_takes_no_architecture_from_a_file(
    good: Path, here: Path, digits: TaskData
) -> None:
    """Training from scratch builds the model again: by its own layers, not by what the file says."""
    evil = {**card_of(good), "arch": "os:system", "arch_options": {"command": f"touch {CANARY}"}}
    write_checkpoint(good, here / "m", evil)
    own = build_model("foretoll:mlp?width=8", data=digits, seed=3).network
    model = load_model(own, data=digits, weights=here / "m")
    assert model.card.arch.startswith("module:")
    fresh_copy(model, digits, seed=0)
    with pytest.raises(ModelError, match="names code to run"):  # nor where somebody puts such a card together
        fresh_copy(Model(own, model.card.model_copy(update=evil | {"preprocessing": model.card.preprocessing})), digits,
                   seed=0)  # fmt: skip
    assert not (here / CANARY).exists()


def test_trust_goes_along_with_programs(mine: str, digits: TaskData) -> None:
    model = build_model(f"{mine}:build", data=digits, seed=0)
    program = make_program("pad", channels=1, size=(8, 8), inner=(6, 6))
    wrapped = wrap(model, program, make_mapping("identity", 10, 10), classes=digits.classes)
    for other in (
        wrapped,
        wrapped.clone(),
        unwrapped(wrapped),
        wrapped.with_new_head(("a", "b"), seed=0),
    ):
        assert other.trust == Trust.of_call(parse_spec(f"{mine}:build"))


@pytest.mark.parametrize(
    "factory",
    ["os:system", "os:abort", "os.path:join", "time:sleep", "builtins:exec", "runpy:run_path", "antigravity:geohash",
     "subprocess:Popen", "torch:zeros", "torch:load", "torch.hub:load", "torch.nn:Module.cuda",
     "foretoll.cli:main", "foretoll:train", "numpy:zeros", "numpy:savetxt", "joblib:load",
     "pip:main", "torchvision.io:read_file", "torchvision.datasets:MNIST", "torch.utils.data:Dataset",
     "MINE:told", "MINE:later", "MINE:NoNetwork",
     "MINE:network", "MINE:os.system", "MINE:Path"],
)  # fmt: skip
def test_what_builds_no_network_is_not_called(factory: str, mine: str, here: Path, digits: TaskData) -> None:
    with pytest.raises(UsageError) as refused:
        build_model(factory.replace("MINE", mine), data=digits, seed=0)
    assert len(str(refused.value)) <= 300
    assert "antigravity" not in sys.modules
    assert not (here / "CALLED").exists()


@pytest.mark.parametrize(
    "factory", ["torchvision.models:resnet18", "torchvision.models:get_model?name=resnet18"]
)
def test_builders_of_installed_packages_may_be_named(factory: str, colour: TaskData) -> None:
    assert build_model(factory, data=colour, seed=0).num_classes == 3


def test_a_factory_that_leaves_python(mine: str, digits: TaskData) -> None:
    with pytest.raises(ModelError, match="cannot be built: SystemExit"):
        build_model(f"{mine}:leaves", data=digits, seed=0)


@pytest.mark.parametrize(
    "option", ["checkpoint_path=evil.pt", "pretrained=true", "pretrained_cfg=hf-hub:a/b"]
)
def test_a_library_reads_no_file_by_itself(option: str, here: Path, colour: TaskData) -> None:
    """timm's own loading unpickles in some versions."""
    pytest.importorskip("timm")

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (Path(CANARY),)

    (here / "evil.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UsageError, match="name the weights with --weights"):
        build_model(f"timm:resnet10t?{option}", data=colour, seed=0)
    assert not (here / CANARY).exists()


@pytest.mark.parametrize(
    "name", ["hf-hub:someone/model", "local-dir:/tmp/x", "resnet18.hf-hub:a/b", "/etc/passwd"]
)
def test_timm_takes_names_of_its_own_alone(name: str, colour: TaskData) -> None:
    pytest.importorskip("timm")
    with pytest.raises(UsageError, match="unknown timm model"):
        build_model(f"timm:{name}", data=colour, seed=0)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "model_type": "timm_wrapper",
            "architecture": "resnet10t",
            "model_args": {"checkpoint_path": "evil.pt"},
        },
        {"model_type": "timm_wrapper", "architecture": "hf-hub:someone/model"},
        {"backbone_config": {"backbone": "microsoft/resnet-18", "use_pretrained_backbone": True}},
        {"attn_implementation": "someone/kernels"},
    ],
    ids=["checkpoint", "hub", "backbone", "kernels"],
)
def test_a_transformers_folder_reaches_for_nothing(
    changes: dict[str, object], here: Path, colour: TaskData
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], num_labels=3)
    folder = here / "hf"
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    content = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        (ModelError, UsageError), match=r"you did not name|or fetches weights|no model of timm"
    ):
        load_model(f"hf:{folder}", data=colour)


def test_a_transformers_folder_runs_no_code(here: Path, colour: TaskData) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], num_labels=3)
    folder = here / "hf"
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    (here / f"{MODULE}.py").rename(folder / "evil.py")
    content = json.loads((folder / "config.json").read_text())
    content |= {
        "model_type": "evil",
        "auto_map": {"AutoConfig": "evil.C", "AutoModelForImageClassification": "evil.M"},
    }
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="no transformers configuration can be read"):
        load_model(f"hf:{folder}", data=colour)
    assert not (here / CANARY).exists()


def test_a_fresh_transformer_needs_neither_its_folder_nor_a_hub(here: Path, colour: TaskData) -> None:
    """The name on a card is a stranger's word: `scratch` builds from the configuration that the folder holds."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4], depths=[1], num_labels=3)
    transformers.ResNetForImageClassification(config).save_pretrained(here / "hf")
    save_checkpoint(load_model(f"hf:{here / 'hf'}", data=colour), here / "m")
    write_checkpoint(here / "m", here / "n", {**card_of(here / "m"), "arch": "hf:someone/on-a-hub"})
    model = load_model(here / "n", data=colour)
    fresh = fresh_copy(model, colour, seed=0)
    assert fresh.card.parameters == model.card.parameters
    assert not torch.equal(fresh.head_module().weight, model.head_module().weight)


def test_a_tokenizer_elsewhere_is_not_read(good: Path, here: Path, digits: TaskData) -> None:
    card = card_of(good)
    plan = {**card["preprocessing"], "tokenizer": "/home/you/private"}
    write_checkpoint(good, here / "m", {**card, "preprocessing": plan})
    with pytest.raises(ModelError, match="names a tokenizer outside of its folder"):
        load_model(here / "m", data=digits)


def test_a_study_file_names_no_code(here: Path) -> None:
    study = StudyFile.model_validate(
        {
            "schema": "foretoll.study/1",
            "name": "s",
            "models": {"fine": "foretoll:mlp", "m": f"os:system?command=touch {CANARY}"},
            "sources": [{"name": "a", "source": "digits?part=1/2", "target": "digits?part=2/2"}],
            "shifts": {"contrast": [0.5]},
        }
    )
    with pytest.raises(ModelError, match="model 'm' of the study 's' names code to run, 'os:system'"):
        plan_study(study, Place(here / "out", str(here / "l.db")))
    with pytest.raises(UsageError, match="standard library"):  # nor is it any use to trust it
        plan_study(study, Place(here / "out", str(here / "l.db"), trust_code=True)).cost(
            Place(here / "out", str(here / "l.db"), trust_code=True)
        )
    assert not (here / CANARY).exists()


def test_weights_of_a_factory_without_a_card(mine: str, here: Path, digits: TaskData) -> None:
    network: nn.Module = build_model(f"{mine}:build", data=digits, seed=0).network
    save_file(network.state_dict(), here / "w.safetensors")
    assert load_model(f"{mine}:build", data=digits, weights=here / "w.safetensors").num_classes == 10


@pytest.mark.parametrize(
    ("config", "tokenizer"),
    [
        ({"auto_map": {"AutoTokenizer": [f"{MODULE}.T", None]}, "tokenizer_class": "T"}, "{}"),
        ([], "{}"),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, "x"),
        ({"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": 5}, "{}"),
        ("deep", "{}"),
    ],
    ids=["code", "a list", "no JSON", "a wrong side", "deep"],
)
def test_a_tokenizer_runs_no_code(config: object, tokenizer: str, here: Path) -> None:
    pytest.importorskip("transformers")
    folder = here / "tokenizer"
    folder.mkdir()
    text = "[" * 100_000 if config == "deep" else json.dumps(config)
    (folder / "tokenizer_config.json").write_text(text)
    (folder / "tokenizer.json").write_text(tokenizer)
    (here / f"{MODULE}.py").rename(folder / f"{MODULE}.py")
    with pytest.raises(ModelError, match="no tokenizer can be read from") as refused:
        load_tokenizer(str(folder))
    assert len(str(refused.value)) <= 300
    assert not (here / CANARY).exists()
