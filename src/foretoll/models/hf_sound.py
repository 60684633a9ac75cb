"""Sound for transformers' speech models that take the wave itself (wav2vec2, HuBERT, WavLM)."""

from __future__ import annotations

from pathlib import Path

from foretoll.models.hf_texts import small_json
from foretoll.models.spec import Convention

_FILE = "preprocessor_config.json"


def wave_convention(folder: str, local: bool) -> Convention:
    """Whether each wave is standardised, and the sampling rate that the user must see to.

    Without a feature extractor's file each wave is standardised, as transformers' own does by default.
    """
    settings = small_json(Path(folder) / _FILE) if local else {}
    rate = settings.get("sampling_rate", 16000)
    hertz = f"{rate:,}" if isinstance(rate, int) and not isinstance(rate, bool) else "16,000"
    notes = [
        f"the model was made for sound of {hertz} samples a second, which the data do not say of themselves"
    ]
    normalised = settings.get("do_normalize", True) is not False
    if not normalised:
        notes.append(
            "the model takes sound as it is, in −1 … 1: whole numbers of 16 bits must be divided by 32,768"
        )
    return Convention(
        "series",
        channels=1,
        waveform="standardised" if normalised else "as it is",
        origin=_FILE if settings else "transformers' default",
        notes=tuple(notes),
    )
