"""Classifiers of transformers, from a local folder (or a hub name, where the user gives one); safetensors only."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from foretoll.errors import MissingExtraError, ModelError, shown
from foretoll.models.hf_images import image_convention
from foretoll.models.hf_sound import SPECTROGRAMS, sound_convention, takes_waves
from foretoll.models.hf_texts import (
    LIBRARY,
    PooledForSequenceClassification,
    backbone_options,
    text_convention,
    transformer_folder,
)
from foretoll.models.shards import index_in, shard_files
from foretoll.models.spec import Convention, Kind, Spec, family_label, guarded_build, one_line
from foretoll.models.trust import check_configuration, check_configuration_file


def hf_folder(name: str) -> tuple[str, bool]:
    """The path or hub name behind hf:NAME, and whether it is local. Only a name that is no path goes online."""
    path = Path(name).expanduser()
    if path.is_dir():
        return str(transformer_folder(path)), True
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ModelError(
            f"hf:{name} is no folder with a config.json; save a model there with save_pretrained"
        )
    return name, False


def hf_config(name: str) -> Any:
    """The transformers configuration; never runs code from the folder."""
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise MissingExtraError("a transformers model", "hf") from error
    folder, local = hf_folder(name)
    if local:
        check_configuration_file(Path(folder), shown(f"hf:{name}"))
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=local, trust_remote_code=False)
    except Exception as error:  # on a file of somebody else's the library raises nearly anything
        raise ModelError(
            f"no transformers configuration can be read from {shown(f'hf:{name}')} ({one_line(error)}); save one "
            "there with save_pretrained"
        ) from error
    if not local:
        check_configuration(config.to_dict(), shown(f"hf:{name}"))
    return config


def hf_class(config: Any, kind: Kind | None = None, task: str = "") -> tuple[Any, Kind]:
    """The auto class for a configuration, and the kind of its samples: "image", "text", or "series" for raw sound.

    `task`: of which a class at each place is wanted, "" for a class a sample.

    Raises ModelError for a speech model whose input foretoll cannot make.
    """
    from transformers import (
        AutoModelForAudioClassification,
        AutoModelForCausalLM,
        AutoModelForImageClassification,
        AutoModelForSemanticSegmentation,
        AutoModelForSequenceClassification,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES

    if task == "language":
        return AutoModelForCausalLM, "text"
    if task == "segmentation":
        return AutoModelForSemanticSegmentation, "image"
    named = " ".join(config.architectures or ())
    if kind is None:
        vision = hasattr(config, "image_size") or hasattr(config, "num_channels")
        if config.model_type in MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
            kind = "series"
        else:
            kind = "image" if "ForImageClassification" in named or vision else "text"
    if kind == "series":
        if not takes_waves(config) and config.model_type not in SPECTROGRAMS:
            raise ModelError(
                f"speech models of transformers called {shown(config.model_type, 40)} are not supported; those that "
                "take the wave are (wav2vec2, HuBERT, WavLM), and AST and Whisper"
            )
        return AutoModelForAudioClassification, kind
    return (AutoModelForImageClassification if kind == "image" else AutoModelForSequenceClassification), kind


def hf_convention(name: str) -> Convention:
    """Inputs as the folder's configuration and its image processor, tokenizer or feature extractor say."""
    config = hf_config(name)
    folder, local = hf_folder(name)
    _, kind = hf_class(config)
    if kind == "text":
        return text_convention(folder, local, config)
    if kind == "series":
        return sound_convention(folder, local, config)
    return image_convention(folder, local, config, fixed=family_label(config.model_type) == "vit")


def hf_network(
    spec: Spec,
    kind: Kind,
    shape: tuple[int, ...],
    num_classes: int | None,
    config_folder: Path | None = None,
    config: Any = None,
) -> nn.Module:
    """A transformers classifier with fresh weights, from a configuration alone: one in memory, or read by name."""
    config = copy.deepcopy(config) or hf_config(str(config_folder) if config_folder else spec.name)
    task = str(spec.options.get("task", ""))
    if num_classes is not None:
        _widen(config, num_classes, task)
    if kind == "image" and len(shape) == 3 and hasattr(config, "image_size"):
        square = shape[1] == shape[2] and not isinstance(config.image_size, list | tuple)
        config.image_size = shape[1] if square else [shape[1], shape[2]]
    _settle(config, kind)
    auto, _ = hf_class(config, kind, task)
    pooling = str(spec.options.get("pooling", LIBRARY))
    from transformers import AutoModel

    def build() -> nn.Module:
        if pooling == LIBRARY:
            network: nn.Module = auto.from_config(config, trust_remote_code=False)
            return network
        reader: Any = AutoModel  # it has no annotations
        body = reader.from_config(config, trust_remote_code=False, **backbone_options(AutoModel, config))
        return PooledForSequenceClassification(body, pooling, config.num_labels)

    return guarded_build(spec.arch, build)


def hf_pretrained(
    name: str, *, kind: Kind | None, num_classes: int | None, pooling: str = LIBRARY, task: str = ""
) -> tuple[nn.Module, list[str]]:
    """A transformers classifier with the weights of its folder, in float32, and the names that it has no weights for.

    With `num_classes` a head of another width is made anew and is then among those names. `pooling`: of the tokens,
    by a head of foretoll's own on the backbone; LIBRARY: by transformers' classifier. Safetensors only.
    """
    import torch
    from transformers import AutoModel

    config = hf_config(name)
    folder, local = hf_folder(name)
    if local:
        index = index_in(Path(folder))
        if index is not None and index.name.startswith("model."):
            shard_files(index)  # transformers would follow whatever path it names
    if getattr(config, "quantization_config", None):
        raise ModelError(
            f"hf:{shown(name)} holds quantised weights, which cannot be trained: save it again without quantisation"
        )
    auto, kind = hf_class(config, kind, task)
    if num_classes is not None:
        _widen(config, num_classes, task)
    _settle(config, kind)
    restore = _quiet_transformers()
    reader, extra = (auto, {}) if pooling == LIBRARY else (AutoModel, backbone_options(AutoModel, config))
    try:
        network, info = reader.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,  # whatever it is stored in: float16 is no precision to train in
            local_files_only=local,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=num_classes is not None,
            **extra,
        )
    except Exception as error:  # of transformers, safetensors or the hub
        raise ModelError(
            f"hf:{name} holds no safetensors weights that fit its configuration ({one_line(error)}); save it again "
            "with save_pretrained"
        ) from error
    finally:
        restore()
    fresh = [
        *info["missing_keys"],
        *(key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]),
    ]
    if pooling != LIBRARY:
        network = PooledForSequenceClassification(network, pooling, config.num_labels)
        fresh = [f"backbone.{key}" for key in fresh] + ["classifier.weight", "classifier.bias"]
    return network, sorted(set(fresh))


def hf_class_names(network: nn.Module, num_classes: int) -> tuple[str, ...]:
    """The class names in a network's configuration, or numbers where it has none."""
    labels = getattr(getattr(network, "config", None), "id2label", None) or {}
    return tuple(str(labels.get(i, i)) for i in range(num_classes))


def stored_precision(name: str) -> str:
    """The precision in which a folder says that its weights are stored, such as "float16"; empty where unsaid."""
    return str(getattr(hf_config(name), "dtype", None) or "").removeprefix("torch.")


def _widen(config: Any, outputs: int, task: str) -> None:
    """So many outputs: of a language model its vocabulary."""
    if task == "language":
        config.vocab_size = outputs
    else:
        config.num_labels = outputs


def _settle(config: Any, kind: str) -> None:
    """What our training needs of a configuration: a padding id, float32, and no random numbers but torch's."""
    config.dtype = "float32"
    if hasattr(config, "apply_spec_augment"):  # draws from numpy's global generator, and fails on short waves
        config.apply_spec_augment = False
    if kind == "text" and getattr(config, "pad_token_id", None) is None:
        eos = getattr(config, "eos_token_id", None)  # decoder-only models need some id to find the last token
        config.pad_token_id = eos if isinstance(eos, int) else 0


def _quiet_transformers() -> Callable[[], None]:
    """Silence transformers' load report and progress bar (our errors say what is missing); returns the undo."""
    from transformers.utils import logging as hf_logging

    logging: Any = hf_logging  # its functions have no annotations
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()

    def undo() -> None:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()

    return undo
