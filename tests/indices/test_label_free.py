"""RESQUE without labels: equal to the labelled value where predictions or clusters are right; bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import DataError
from foretoll.indices.functional import resque_distribution, resque_predicted, resque_transport


def blobs(seed: int, *, classes: int = 4, n: int = 80, width: int = 6, turn: float = 0.0) -> Any:
    """Well separated classes; `turn` moves all of them along one direction, by much less than they are apart."""
    g = torch.Generator().manual_seed(seed)
    centres = 20.0 * torch.eye(classes, width, dtype=torch.float64) + 3.0
    y = torch.arange(n) % classes
    x = centres[y] + 0.3 * torch.randn(n, width, generator=g, dtype=torch.float64)
    return x + turn * torch.randn(width, generator=torch.Generator().manual_seed(7), dtype=torch.float64), y


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), classes=st.integers(2, 6), turn=st.floats(0.0, 2.0))
def test_both_are_the_labelled_value_when_groups_are_the_classes(
    seed: int, classes: int, turn: float
) -> None:
    x, y = blobs(seed, classes=classes)
    t, z = blobs(seed + 1, classes=classes, turn=turn)
    labelled = resque_distribution(x, y, t, z)
    right = torch.nn.functional.one_hot(z, classes).double()
    assert resque_predicted(x, y, t, right) == labelled
    # sums and means of a class have one direction, up to rounding
    assert resque_transport(x, y, t) == pytest.approx(labelled, abs=1e-9)


def test_wrong_predictions_change_the_predicted_form_only() -> None:
    x, y = blobs(0)
    t, z = blobs(1, turn=1.0)
    labelled = resque_distribution(x, y, t, z)
    wrong = torch.nn.functional.one_hot((z + 1) % 4, 4).double()
    assert resque_predicted(x, y, t, wrong) > labelled + 0.1
    assert resque_transport(x, y, t) == pytest.approx(labelled, abs=1e-9)


def test_other_names_for_the_classes_change_nothing() -> None:
    x, y = blobs(0)
    t, _ = blobs(1, turn=1.0)
    names = torch.tensor([7, 2, 11, 5])
    assert resque_transport(x, names[y], t) == pytest.approx(resque_transport(x, y, t), abs=1e-12)


def test_unknown_source_labels_are_left_out() -> None:
    x, y = blobs(0)
    t, _ = blobs(1, turn=1.0)
    far, unknown = torch.cat([x, x[:5] + 1000.0]), torch.cat([y, torch.full((5,), -1)])
    assert resque_transport(far, unknown, t) == pytest.approx(resque_transport(x, y, t), abs=1e-12)


def test_a_cluster_moves_to_the_class_it_is_nearest_to() -> None:
    # two classes on the axes; the target is turned by 45°: clusters keep their own class, not the nearest angle
    x = torch.tensor([[9.0, 1.0], [10.0, 1.0], [1.0, 9.0], [1.0, 10.0]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    turned = torch.tensor([[8.0, 4.0], [8.2, 4.0], [1.0, 9.4], [1.0, 9.6]], dtype=torch.float64)
    expected = resque_distribution(x, y, turned, y)
    assert resque_transport(x, y, turned) == pytest.approx(expected, abs=1e-12)
    closed = (
        abs(math.atan2(2.0, 19.0) - math.atan2(8.0, 16.2))
        + abs(math.atan2(19.0, 2.0) - math.atan2(19.0, 2.0))
    ) / (2 * math.pi)
    assert expected == pytest.approx(closed, abs=1e-12)


def test_fewer_target_samples_than_classes_are_refused() -> None:
    x, y = blobs(0)
    with pytest.raises(DataError, match="3 target samples cannot be put into 4 clusters"):
        resque_transport(x, y, blobs(1)[0][:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": torch.ones(9, 6)}, "target is the same for all 9 samples"),
        ({"target": torch.rand(9, 5)}, "source and target have 6 and 5 dimensions"),
        ({"source": torch.ones(80, 6)}, "source is the same for all 80 samples"),
        ({"source_labels": torch.zeros(80, dtype=torch.int64)}, "source_labels holds 1 known class,"),
        ({"source_labels": torch.zeros(79, dtype=torch.int64)}, "source_labels has shape"),
    ],
)
def test_bad_input_of_transport(change: dict[str, Any], message: str) -> None:
    x, y = blobs(0)
    given_ = {"source": x, "source_labels": y, "target": blobs(1)[0]} | change
    with pytest.raises(DataError, match=message):
        resque_transport(**given_)


def test_logits_that_are_nan_or_of_another_length_are_refused() -> None:
    x, y = blobs(0)
    logits = torch.zeros(80, 4)
    with pytest.raises(DataError, match="target_labels has shape"):
        resque_predicted(x, y, x, logits[:-1])
    logits[3, 2] = math.nan
    with pytest.raises(DataError, match="logits has NaN or infinite values in 1 of 80 rows"):
        resque_predicted(x, y, x, logits)
