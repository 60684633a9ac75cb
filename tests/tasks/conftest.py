"""Whole ways of all tasks, each with models of its own to fit."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _less_to_learn_from(less_to_learn_from: None) -> None:
    """What is tested here is the way, not how good a forecast is."""
