"""Speech models that take spectrograms: what goes in is what transformers' own feature extractors make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from foretoll.data import TaskData, open_data
from foretoll.errors import ModelError
from foretoll.measure import NoMeter
from foretoll.models import build_model, load_model, save_checkpoint
from foretoll.models.hf_sound import sound_convention
from foretoll.models.spectrogram import LogMel
from foretoll.options import get_option, train_to_target
from foretoll.records import Spectrogram, TrainingSettings

transformers = pytest.importorskip("transformers")

RATE = 8000
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
AST = {**SMALL, "num_mel_bins": 24, "max_length": 40, "num_labels": 2}
WHISPER = {
    "d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_layers": 1,
    "decoder_attention_heads": 2, "decoder_ffn_dim": 24, "num_mel_bins": 20, "max_source_positions": 50,
    "classifier_proj_size": 8, "num_labels": 2, "vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def waves(length: int, count: int = 4) -> Tensor:
    random = np.random.default_rng(length)
    time = np.arange(length) / RATE
    tones = [
        np.sin(2 * np.pi * random.uniform(200, 3000) * time) * random.uniform(0.1, 0.9) for _ in range(count)
    ]
    return torch.tensor(np.array(tones) + 0.01 * random.standard_normal((count, length)), dtype=torch.float32)


@pytest.fixture(scope="module")
def tones() -> TaskData:
    random = np.random.default_rng(0)
    labels, time = np.arange(60) % 2, np.arange(2400) / RATE
    sounds = [np.sin(2 * np.pi * (300 + 1500 * k) * time + random.uniform(0, 6)) * 0.5 for k in labels]
    return open_data((np.array(sounds).astype(np.float32)[:, None], labels))


def extractor(kind: str) -> Any:
    if kind == "AST":
        return transformers.ASTFeatureExtractor(
            sampling_rate=RATE, num_mel_bins=24, max_length=40, mean=-5.0, std=3.0
        )
    return transformers.WhisperFeatureExtractor(
        feature_size=20, sampling_rate=RATE, hop_length=80, chunk_length=1
    )


@pytest.mark.parametrize("length", [400, 401, 1999, 6640, 6800, 20_000])
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_kaldi_spectrograms_are_those_of_the_feature_extractor(length: int) -> None:
    theirs = extractor("AST")([w.numpy() for w in waves(length)], sampling_rate=RATE, return_tensors="pt")
    plan = Spectrogram(kind="kaldi", rate=RATE, bins=24, frames=40, mean=-5.0, std=6.0)
    torch.testing.assert_close(LogMel(plan)(waves(length)), theirs.input_values.float(), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("length", [1, 150, 2400, 8000, 12_000])
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_whisper_spectrograms_are_those_of_the_feature_extractor(length: int) -> None:
    theirs = extractor("Whisper")([w.numpy() for w in waves(length)], sampling_rate=RATE, return_tensors="pt")
    plan = Spectrogram(kind="whisper", rate=RATE, bins=20, frames=100, hop=80)
    torch.testing.assert_close(LogMel(plan)(waves(length)), theirs.input_features, rtol=1e-4, atol=1e-4)


def test_spectrograms_do_not_depend_on_the_batch_and_have_gradients() -> None:
    for kind in ("kaldi", "whisper"):
        prepare = LogMel(Spectrogram(kind=kind, rate=RATE, bins=20, frames=30))
        sound = waves(2000).requires_grad_()
        torch.testing.assert_close(torch.cat([prepare(part) for part in sound.split(1)]), prepare(sound))
        prepare(sound).sum().backward()
        assert bool(torch.isfinite(sound.grad).all())


@pytest.mark.parametrize("kind", ["AST", "Whisper"])
@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_a_folder_of_a_model_that_takes_spectrograms(kind: str, tones: TaskData, tmp_path: Path) -> None:
    config = getattr(transformers, f"{kind}Config")(**(AST if kind == "AST" else WHISPER))
    torch.manual_seed(0)
    network = getattr(transformers, f"{kind}ForAudioClassification")(config).eval()
    network.save_pretrained(tmp_path / "m")
    extractor(kind).save_pretrained(tmp_path / "m")
    model = load_model(f"hf:{tmp_path / 'm'}", data=tones).eval()
    sound = tones.test.all().inputs[:4]
    given = extractor(kind)([w[0].numpy() for w in sound], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(model(sound), network(**given).logits, rtol=1e-3, atol=1e-4)
    assert "sound: log-mel spectrogram of" in model.card.reading
    assert "8,000 samples a second" in model.card.notes[0]
    save_checkpoint(model, tmp_path / "c")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "c").eval()(sound), model(sound))
    settings = TrainingSettings(max_epochs=4, batch_size=8, lr=0.01, until=None)
    why = get_option("reprogram").suits(model, tones, task_shift=False)
    assert why is not None and "has no input program for sound that a speech model prepares itself" in why
    for name in ("head", "finetune", "scratch"):
        option = get_option(name)
        training = option.start(model, tones, settings, task_shift=False, device=torch.device("cpu"))
        done = train_to_target(option, training, settings, meter=NoMeter())
        assert np.isfinite(done.curve[-1].loss), name
        assert name == "head" or done.curve[-1].loss < done.curve[0].loss, (
            name
        )  # few random features may not tell


@pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")
def test_without_a_file_transformers_defaults_are_taken(tones: TaskData, tmp_path: Path) -> None:
    transformers.ASTConfig(**{**AST, "num_mel_bins": 128, "max_length": 1024}).save_pretrained(tmp_path)
    plan = build_model(f"hf:{tmp_path}", data=tones, seed=0).card.preprocessing.spectrogram
    usual = transformers.ASTFeatureExtractor()
    assert plan is not None
    assert (plan.rate, plan.bins, plan.frames) == (usual.sampling_rate, usual.num_mel_bins, usual.max_length)
    assert (plan.mean, plan.std) == (usual.mean, 2 * usual.std)
    plan = sound_convention(str(tmp_path), False, transformers.WhisperConfig()).spectrogram
    theirs = transformers.WhisperFeatureExtractor()
    assert plan is not None
    assert (plan.bins, plan.frames, plan.window) == (80, theirs.nb_max_frames, theirs.n_fft)


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_length", -3), ("num_mel_bins", 1e9), ("sampling_rate", "fast"), ("std", 0), ("mean", None)],
)
def test_impossible_settings_of_a_feature_extractor(
    key: str, value: Any, tones: TaskData, tmp_path: Path
) -> None:
    transformers.ASTConfig(**AST).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({key: value}), encoding="utf-8")
    with pytest.raises(ModelError, match="feature extractor cannot be used") as caught:
        build_model(f"hf:{tmp_path}", data=tones, seed=0)
    assert len(str(caught.value)) <= 300


def test_sound_that_is_shorter_than_a_window(tmp_path: Path) -> None:
    transformers.ASTConfig(**AST).save_pretrained(tmp_path)
    short = open_data((np.zeros((40, 1, 399), dtype=np.float32), np.arange(40) % 2))
    with pytest.raises(ModelError, match=r"at least 400 numbers.*have 399: give longer pieces"):
        build_model(f"hf:{tmp_path}", data=short, seed=0)


def test_other_speech_models_are_refused_in_one_sentence(tones: TaskData, tmp_path: Path) -> None:
    transformers.Wav2Vec2BertConfig(**SMALL).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="called 'wav2vec2-bert' are not supported"):
        load_model(f"hf:{tmp_path}", data=tones)
