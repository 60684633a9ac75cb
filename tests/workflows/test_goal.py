"""The quality target of an update: as asked for, or raised so far as few validation samples leave open."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from foretoll.errors import UsageError
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Update
from foretoll.workflows.goal import with_target
from options.making import blobs, mlp


@pytest.fixture(scope="module")
def update() -> Update:
    return Update(mlp(blobs()), blobs(), blobs(seed=1), False, torch.device("cpu"))


def test_a_model_that_is_just_at_the_target_seldom_shows_the_raised_one(update: Update) -> None:
    n = update.target.card.validation
    for until, sure in ((0.6, 0.8), (0.7, 0.9)):
        found = with_target(update, TrainingSettings(until=until, sure=sure), None)
        assert found.until is not None and found.until > until == found.aim == found.wanted
        by_chance = binom.sf(math.ceil(found.until * n - 1e-9) - 1, n, until)
        assert by_chance == pytest.approx(1 - sure, abs=0.07)  # samples come in whole numbers


def test_what_was_raised_once_is_not_raised_again(update: Update) -> None:
    once = with_target(update, TrainingSettings(until=0.6, sure=0.9), None)
    assert with_target(update, once, None) == once
    assert with_target(update, once.model_copy(update={"sure": None}), None).until == 0.6
    plain = with_target(update, TrainingSettings(until=0.6), None)
    assert (plain.until, plain.aim, plain.wanted) == (0.6, None, 0.6)


def test_what_so_few_samples_cannot_show_is_refused(update: Update) -> None:
    with pytest.raises(UsageError, match=r"cannot show accuracy 0.99 with --sure 0.99"):
        with_target(update, TrainingSettings(until=0.99, sure=0.99), None)
    assert np.isfinite(with_target(update, TrainingSettings(until=0.5, sure=0.5), None).until or np.nan)
