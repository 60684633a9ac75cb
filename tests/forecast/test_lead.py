"""The forecast of the lead: what it reads, that it learns, that its interval holds on streams it never saw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretoll.forecast.lead import BATCHES, NAMES, LeadModel, lead_features, shipped
from foretoll.records import ServedBatch


def _batches(leads: list[float | None], error: float = 0.02) -> list[ServedBatch]:
    return [
        ServedBatch(
            name=f"b{i}",
            number=i,
            samples=100,
            labelled=0 if lead is None else 100,
            quality=None if lead is None else 0.8 - lead,
            lead=lead,
            lead_error=None if lead is None else error,
            confidence=0.9,
            ks=0.1,
            psi=0.1,
        )
        for i, lead in enumerate(leads)
    ]


def _world(draw: np.random.Generator, streams: int, rows: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Leads that go on as they were, in streams that each err by an amount of their own."""
    x, y, names = [], [], []
    for stream in range(streams):
        offset = draw.normal(0, 0.02)
        for _ in range(rows):
            level, noise = draw.uniform(-0.1, 0.4), draw.uniform(0.005, 0.05)
            features = lead_features(_batches(list(level + draw.normal(0, noise, 6)), noise), 0.8)
            assert features is not None
            x.append(features)
            y.append(level + offset + draw.normal(0, noise))
            names.append(f"s{stream}")
    return np.array(x), np.array(y), names


def test_a_stream_that_was_not_learned_from_lies_inside_the_interval() -> None:
    draw = np.random.default_rng(0)
    x, y, names = _world(draw, 40, 20)
    model = LeadModel.fit(x, y, names, lives=40)
    new, came, _ = _world(draw, 40, 20)
    found = [model(row) for row in new]
    held = np.mean([f.low <= value <= f.high for f, value in zip(found, came, strict=True)])
    assert 0.85 <= held <= 0.95
    assert np.mean((np.array([f.value for f in found]) - came) ** 2) < 0.2 * came.var()


@given(
    st.lists(st.one_of(st.none(), st.floats(-0.5, 0.5)), min_size=1, max_size=20),
    st.one_of(st.none(), st.floats(0, 1)),
)
def test_what_is_read_is_finite_and_the_forecast_lies_in_its_interval(
    leads: list[float | None], start: float | None
) -> None:
    features = lead_features(_batches(leads), start)
    assert (features is None) == all(lead is None for lead in leads)
    if features is None:
        return
    assert features.shape == (len(NAMES),) and np.isfinite(features).all()
    found = shipped()(features)
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_only_the_newest_leads_count() -> None:
    tail = [0.1, 0.2, 0.15, 0.1, 0.12, 0.2, 0.21, 0.2]
    assert len(tail) == BATCHES
    one, other = (lead_features(_batches([*old, *tail]), 0.8) for old in ([0.4, 0.4], [-0.3, 0.0]))
    assert one is not None and other is not None and np.array_equal(one, other)


def test_the_text_of_a_forecast_makes_it_again() -> None:
    model = shipped()
    assert LeadModel.of_text(model.text()) == model and model.streams >= 10
    with pytest.raises(ValueError, match="other features"):
        LeadModel.of_text(model.text().replace("recent lead", "something else"))
    with pytest.raises(ValueError, match="at least two streams"):
        LeadModel.fit(np.zeros((4, len(NAMES))), np.zeros(4), ["one"] * 4)
