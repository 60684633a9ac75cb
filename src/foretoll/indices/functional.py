"""The indices and scores as pure functions: arrays in (torch or numpy), number out, computed in float64."""

from foretoll.indices.arm import arm
from foretoll.indices.doc_atc import atc, doc, max_confidence, negative_entropy
from foretoll.indices.frechet import frechet, sliced_wasserstein
from foretoll.indices.gbc import gbc
from foretoll.indices.h_score import h_score
from foretoll.indices.label_free import resque_predicted, resque_transport
from foretoll.indices.leep import leep
from foretoll.indices.logme import logme
from foretoll.indices.mmd import mmd
from foretoll.indices.nce import nce
from foretoll.indices.pilot import pilot_forecast
from foretoll.indices.preindex import preindex_distance, preindex_inv_ari, preindex_score
from foretoll.indices.recoverability import linear_probe_accuracy, recoverability_gap
from foretoll.indices.resque import resque_class_angles, resque_distribution, resque_task
from foretoll.indices.separability import (
    effective_rank,
    expected_calibration_error,
    knn_accuracy,
    linear_cka,
)
from foretoll.indices.static import mean_log_cost, parameters_times_samples

__all__ = [
    "arm",
    "atc",
    "doc",
    "effective_rank",
    "expected_calibration_error",
    "frechet",
    "gbc",
    "h_score",
    "knn_accuracy",
    "leep",
    "linear_cka",
    "linear_probe_accuracy",
    "logme",
    "max_confidence",
    "mean_log_cost",
    "mmd",
    "nce",
    "negative_entropy",
    "parameters_times_samples",
    "pilot_forecast",
    "preindex_distance",
    "preindex_inv_ari",
    "preindex_score",
    "recoverability_gap",
    "resque_class_angles",
    "resque_distribution",
    "resque_predicted",
    "resque_task",
    "resque_transport",
    "sliced_wasserstein",
]
