"""Model reprogramming: a frozen source between a trainable input program and an output mapping.

`ReprogrammedNetwork(source, program, mapping)` works on any module or callable that maps a batch to logits (Chen, Model
reprogramming, arXiv 2202.10629). This room needs torch alone and knows nothing of the rest of foretoll.
"""

from foretoll.reprogram.augment import Augment
from foretoll.reprogram.base import InputProgram, OutputMapping
from foretoll.reprogram.black_box import BLACK_BOX_OPTIMISERS, BlackBoxResult, BlackBoxSteps, fit_black_box
from foretoll.reprogram.image_programs import Full, LowRank, Pad, TrainableResize
from foretoll.reprogram.mappings import (
    Bayesian,
    BayesianTopK,
    Frequent,
    Identity,
    Iterative,
    Linear,
    Random,
    greedy_assignment,
)
from foretoll.reprogram.registry import MAPPINGS, PROGRAMS, make_mapping, make_program
from foretoll.reprogram.sample_mask import SampleMask
from foretoll.reprogram.saving import load_reprogrammed, save_reprogrammed
from foretoll.reprogram.signal_programs import Additive, Series1D
from foretoll.reprogram.token_map import TokenMap
from foretoll.reprogram.wrapper import ReprogrammedNetwork, unwrap_logits

__all__ = [
    "BLACK_BOX_OPTIMISERS",
    "MAPPINGS",
    "PROGRAMS",
    "Additive",
    "Augment",
    "Bayesian",
    "BayesianTopK",
    "BlackBoxResult",
    "BlackBoxSteps",
    "Frequent",
    "Full",
    "Identity",
    "InputProgram",
    "Iterative",
    "Linear",
    "LowRank",
    "OutputMapping",
    "Pad",
    "Random",
    "ReprogrammedNetwork",
    "SampleMask",
    "Series1D",
    "TokenMap",
    "TrainableResize",
    "fit_black_box",
    "greedy_assignment",
    "load_reprogrammed",
    "make_mapping",
    "make_program",
    "save_reprogrammed",
    "unwrap_logits",
]
