"""Log-mel spectrograms of sound, as the feature extractors of transformers' AST and Whisper make them."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from foretoll.errors import MissingExtraError, ModelError
from foretoll.records import Spectrogram

_KALDI_FFT = 512  # the next power of two above Kaldi's window
_KALDI_LEAST_HZ = 20
_KALDI_EMPHASIS = 0.97
_KALDI_FLOOR = torch.finfo(torch.float32).eps
_WHISPER_MOST_HZ = 8000
_WHISPER_FLOOR = 1e-10
_WHISPER_RANGE = 8.0  # decades below the loudest value of a sound


class LogMel(nn.Module):
    """Waves (B, L) in −1 … 1 to log-mel spectrograms of a fixed number of frames; differentiable.

    Kaldi's (AST): (B, frames, bins), each window without its mean and pre-emphasised; frames that are missing are 0
    before the normalisation. Whisper's: (B, bins, frames) of a wave that is padded with silence, in decades, clipped
    8 below the sound's loudest value.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, plan: Spectrogram) -> None:
        super().__init__()
        self.plan = plan
        kaldi = plan.kind == "kaldi"
        self.register_buffer("filters", _filters(plan), persistent=False)
        window = torch.hann_window(plan.window, periodic=not kaldi)
        self.register_buffer("window", window, persistent=False)

    def forward(self, waves: Tensor) -> Tensor:
        """Raises ModelError for waves that are shorter than one window."""
        return self._kaldi(waves) if self.plan.kind == "kaldi" else self._whisper(waves)

    def _kaldi(self, waves: Tensor) -> Tensor:
        plan = self.plan
        if waves.shape[1] < plan.window:
            raise ModelError(
                f"the model takes sound of at least {plan.window} numbers, one window of its spectrogram, and the "
                f"data have {waves.shape[1]}: give longer pieces, at {plan.rate:,} numbers a second"
            )
        parts = waves.unfold(1, plan.window, plan.hop)[:, : plan.frames]
        parts = parts - parts.mean(2, keepdim=True)
        before = torch.cat([parts[..., :1], parts[..., :-1]], dim=2)  # the first is emphasised against itself
        parts = (parts - _KALDI_EMPHASIS * before) * self.window
        power = torch.fft.rfft(parts, n=_KALDI_FFT).abs().square()
        features = (power @ self.filters).clamp_min(_KALDI_FLOOR).log()
        features = F.pad(features, (0, 0, 0, plan.frames - features.shape[1]))
        return (features - plan.mean) / plan.std

    def _whisper(self, waves: Tensor) -> Tensor:
        plan = self.plan
        samples = plan.frames * plan.hop
        waves = F.pad(waves[:, :samples], (0, max(samples - waves.shape[1], 0)))
        transformed = torch.stft(waves, plan.window, plan.hop, window=self.window, return_complex=True)
        power = transformed[..., :-1].abs().square()
        features = (self.filters.T @ power).clamp_min(_WHISPER_FLOOR).log10()
        loudest = features.amax((1, 2), keepdim=True)
        return (torch.maximum(features, loudest - _WHISPER_RANGE) + 4) / 4


def _filters(plan: Spectrogram) -> Tensor:
    """The weights of the frequencies in each bin, (frequencies, bins)."""
    try:
        from transformers.audio_utils import mel_filter_bank
    except ImportError as error:
        raise MissingExtraError("a speech model of transformers", "hf") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bins that are so narrow that no frequency lies in them
        if plan.kind == "kaldi":
            found = mel_filter_bank(
                num_frequency_bins=_KALDI_FFT // 2 + 1,
                num_mel_filters=plan.bins,
                min_frequency=_KALDI_LEAST_HZ,
                max_frequency=plan.rate // 2,
                sampling_rate=plan.rate,
                norm=None,
                mel_scale="kaldi",
                triangularize_in_mel_space=True,
            )
        else:
            found = mel_filter_bank(
                num_frequency_bins=1 + plan.window // 2,
                num_mel_filters=plan.bins,
                min_frequency=0.0,
                max_frequency=float(_WHISPER_MOST_HZ),
                sampling_rate=plan.rate,
                norm="slaney",
                mel_scale="slaney",
            )
    return torch.from_numpy(found).float()
