"""Sound for transformers' speech models: those that take the wave itself, and AST and Whisper by a spectrogram."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from foretoll.errors import ModelError, one_line, shown
from foretoll.models.hf_texts import small_json
from foretoll.models.spec import Convention
from foretoll.records import Spectrogram

SPECTROGRAMS = ("audio-spectrogram-transformer", "whisper")  # by the name that a configuration gives
_FILE = "preprocessor_config.json"
_AST_MEAN, _AST_STD = -4.2677393, 4.5689974  # of AudioSet, in transformers' feature extractor
_WHISPER_FRAMES = 2  # for each position: the second of its convolutions halves them


def takes_waves(config: Any) -> bool:
    """Whether a configuration has the layers that take the wave itself."""
    return hasattr(config, "conv_kernel")


def sound_convention(folder: str, local: bool, config: Any) -> Convention:
    """How each wave is prepared, and the sampling rate that the user must see to.

    Raises ModelError where the settings of a feature extractor are impossible.
    """
    settings = small_json(Path(folder) / _FILE) if local else {}
    origin = _FILE if settings else "transformers' default"
    if takes_waves(config):
        return _wave(settings, origin)
    try:
        plan = _ast(settings, config) if config.model_type == SPECTROGRAMS[0] else _whisper(settings, config)
    except ValidationError as error:
        first = error.errors()[0]
        raise ModelError(
            f"the settings of the model's feature extractor cannot be used: {first['loc'][0]} is "
            f"{shown(first['input'], 40)} ({one_line(first['msg'], 80)}); correct {_FILE}"
        ) from error
    return Convention("series", channels=1, spectrogram=plan, origin=origin, notes=(_at_rate(plan.rate),))


def _wave(settings: dict[str, Any], origin: str) -> Convention:
    """Without a feature extractor's file each wave is standardised, as transformers' own does by default."""
    notes = [_at_rate(settings.get("sampling_rate", 16000))]
    normalised = settings.get("do_normalize", True) is not False
    if not normalised:
        notes.append(
            "the model takes sound as it is, in −1 … 1: whole numbers of 16 bits must be divided by 32,768"
        )
    return Convention(
        "series",
        channels=1,
        waveform="standardised" if normalised else "as it is",
        origin=origin,
        notes=tuple(notes),
    )


def _ast(settings: dict[str, Any], config: Any) -> Spectrogram:
    normalised = settings.get("do_normalize", True) is not False
    return Spectrogram(
        kind="kaldi",
        rate=settings.get("sampling_rate", 16000),
        bins=settings.get("num_mel_bins", config.num_mel_bins),
        frames=settings.get("max_length", config.max_length),
        mean=settings.get("mean", _AST_MEAN) if normalised else 0.0,
        std=2 * _number(settings.get("std", _AST_STD)) if normalised else 1.0,
    )


def _whisper(settings: dict[str, Any], config: Any) -> Spectrogram:
    return Spectrogram(
        kind="whisper",
        rate=settings.get("sampling_rate", 16000),
        bins=settings.get("feature_size", config.num_mel_bins),
        frames=_WHISPER_FRAMES * _number(config.max_source_positions),
        window=settings.get("n_fft", 400),
        hop=settings.get("hop_length", 160),
    )


def _number(value: Any) -> Any:
    """The value, where it is a number; else 0, which no setting may be."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0


def _at_rate(rate: Any) -> str:
    hertz = f"{rate:,}" if isinstance(rate, int) and not isinstance(rate, bool) else "16,000"
    return (
        f"the model was made for sound of {hertz} samples a second, which the data do not say of themselves"
    )
