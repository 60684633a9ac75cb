"""Callbacks and trackers for other people's training libraries, each one file over the public tracker.

`transformers` (Trainer), `lightning` (both packages), `accelerate`, and `loggers` (MLflow, Weights & Biases,
TensorBoard). Each is an extra of its own; nothing is imported before it is used.
"""
