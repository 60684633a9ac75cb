"""What a model is: enough to build it again and to feed it."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from foretoll.records.base import Names, Record
from foretoll.records.data import InputPart, TableLayout
from foretoll.tasks import TargetScale


class Spectrogram(Record):
    """How a wave becomes a log-mel spectrogram: `foretoll.models.spectrogram`.

    kind: "kaldi" (transformers' AST) or "whisper"
    rate: numbers a second that the wave must have
    bins: of the mel scale
    frames: to which the spectrogram is cut, or filled up
    window, hop: numbers in a window, and from one window to the next
    mean, std: what is subtracted from the logarithms, and what they are then divided by
    """

    kind: Literal["kaldi", "whisper"]
    rate: int = Field(ge=1_000, le=1_000_000)
    bins: int = Field(ge=1, le=1_024)
    frames: int = Field(ge=1, le=32_768)
    window: int = Field(400, ge=16, le=512)
    hop: int = Field(160, ge=1, le=16_384)
    mean: float = Field(0.0, allow_inf_nan=False)
    std: float = Field(1.0, gt=0, allow_inf_nan=False)


class Preprocessing(Record):
    """How a stored sample becomes a model input; travels with the weights.

    Images: uint8 (C, H, W) are scaled to [0, 1], given `channels` channels, resized as `fit` says, cropped about the
    centre to `size` (height, width) and normalised per channel. Vectors and series: normalised per column or channel.
    Text: tokenised by `tokenizer` (a local folder) to at most `max_length` tokens.

    waveform: for networks that take sound, whether each wave is brought to mean 0 and variance 1
    spectrogram: for networks that take sound as a spectrogram, how it is made
    fit: "stretch" to `resize` whatever the aspect; "cover" it (the shorter edge fits, the aspect stays), "contain" in
        it (the longer edge fits), or "none": not resized. Where the result is smaller than `size`, a border is added
    resize: (height, width) that `fit` aims at; None: `size`
    crop_start: how half a pixel of an odd margin is rounded, which libraries do differently
    """

    kind: Literal["image", "vector", "series", "text"]
    channels: int | None = None
    size: tuple[int, ...] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    tokenizer: str | None = None
    max_length: int | None = None
    fit: Literal["stretch", "cover", "contain", "none"] = "stretch"
    resize: tuple[int, int] | None = None
    crop_start: Literal["floor", "round"] = "floor"
    interpolation: Literal["bilinear", "bicubic", "nearest-exact"] = "bilinear"
    bgr: bool = False  # the network takes blue first
    waveform: Literal["", "as it is", "standardised"] = ""  # series (B, 1, L) given as (B, L)
    spectrogram: Spectrogram | None = None
    parts: tuple[InputPart, ...] = ()  # of a network with several inputs: what stands where in a vector
    origin: str = ""  # where the processing was taken from: a file of the model's folder, or its library


class ModelCard(Record):
    """What a model is: enough to build it again, to feed it, and to trace where it comes from."""

    schema_: Literal["foretoll.model/1"] = Field("foretoll.model/1", alias="schema")
    arch: str
    arch_options: dict[str, int | float | str | bool] = {}
    family: str
    num_classes: int = Field(ge=1)
    classes: Names
    preprocessing: Preprocessing
    embedding_layer: str | None = None  # None: the input of the head
    head: str
    other_heads: tuple[
        str, ...
    ] = ()  # heads beside it, where the output is made of several (distilled networks)
    output: str | None = None  # which of the network's several outputs are the logits; None: it gives one
    parameters: int = Field(ge=0)
    has_batch_norm: bool
    trained_on: str | None = None  # data URI
    run_id: str | None = None  # the run that made these weights
    parent_run_id: str | None = None  # the run that made the weights it started from
    weights_digest: str | None = None  # of these weights' content: the same through whatever door they come
    parent_weights_digest: str | None = None  # of the weights that it started from
    outputs: Literal["logits", "probabilities", "sigmoids", "standardised"] = (
        "logits"  # what the network itself gives; values in the unit of the target count as logits
    )
    task: str = "classification"  # that it serves; `classes` are the names of its outputs
    targets: TargetScale | None = None  # of the data that it learned from; None for classes
    program: ProgramCard | None = None  # what stands before and behind a reprogrammed source
    reading: str = ""  # what was taken from the model's folder or library when it was loaded, in one line
    notes: tuple[str, ...] = ()  # what the loading has to warn of
    layout: TableLayout | None = (
        None  # of the table that it was trained on; other tables are matched to it by name
    )

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)


class ProgramCard(Record):
    """An input program and an output mapping, by name and options, around a source with its own card.

    The source's preprocessing says how the program's output is normalised.
    """

    program: str
    program_options: dict[str, bool | int | float | str | tuple[float, ...] | None] = {}
    mapping: str
    mapping_options: dict[str, bool | int | float | str | tuple[float, ...] | None] = {}
    source: ModelCard


ModelCard.model_rebuild()
