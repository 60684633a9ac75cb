"""Looks at batches, and lives that are recorded: one forward pass, resumable, replayed without training."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from foretoll.data.stream import Stream, open_stream
from foretoll.decide.policies import get_policy
from foretoll.decide.replay import FIRST, oracle, replay
from foretoll.errors import DataError, UsageError
from foretoll.indices.shadow import Shadow
from foretoll.models import Model, build_model
from foretoll.records import TrainingSettings
from foretoll.workflows.context import Accounting, Runtime
from foretoll.workflows.life_recording import record_life
from foretoll.workflows.look import Look, largest_ks, look_at, served_batch, stability
from foretoll.workflows.scoring import Scoring
from foretoll.workflows.train import train_model

SETTINGS = TrainingSettings(max_epochs=12, lr=0.02, batch_size=16)


def _turning(count: int, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Batches of three classes whose centres turn, so that an old model is served worse and worse."""
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(3, (count * n,), generator=draw)
    angle = torch.arange(count * n) // n * 0.2 + y * 2 * torch.pi / 3
    x = torch.stack([angle.cos(), angle.sin()], 1) * 2 + torch.randn(count * n, 2, generator=draw) * 0.6
    return x.float(), y


NO_METER = Runtime(accounting=Accounting(energy="none"))


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Stream]:
    x, y = _turning(10, 80)
    path = tmp_path_factory.mktemp("life") / "turning.npz"
    np.savez(path, x=x.numpy(), y=y.numpy())
    start = _turning(1, 600)
    model = train_model(
        partial(build_model, "foretoll:mlp?width=16"),
        start,
        SETTINGS.model_copy(update={"max_epochs": 4.0}),
        NO_METER,
    ).model
    assert model is not None
    return model, open_stream(f"npz:{path}?every=80")


def test_a_look_is_one_forward_pass(life: tuple[Model, Stream]) -> None:
    model, stream = life
    seen: list[int] = []
    handle = model.network.register_forward_hook(lambda _m, args, _o: seen.append(len(args[0])))
    batch = stream.batch(0).rows
    look = look_at(model, batch)
    handle.remove()
    assert sum(seen) <= 1.1 * len(batch) and len(look) == 80
    with torch.no_grad():
        logits = model(batch.all().inputs)
    assert (look.outputs.argmax(1) == logits.argmax(1).numpy()).all()
    handed = Look.of_outputs(look.representations, logits.numpy())
    np.testing.assert_allclose(handed.outputs, look.outputs, atol=1e-6)
    again = Look.of_outputs(look.representations, look.outputs)
    np.testing.assert_allclose(again.outputs, look.outputs, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(2, 60), st.integers(2, 4), st.integers(0, 9))
def test_drift_is_what_scipy_says_and_0_for_the_same_samples(n: int, m: int, k: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    a, b = (draw.dirichlet(np.ones(k), size=size).astype(np.float32) for size in (n, m))
    expected = max(ks_2samp(a[:, c], b[:, c], method="asymp").statistic for c in range(k))
    assert largest_ks(a, b) == pytest.approx(expected)
    assert largest_ks(a, a[::-1]) == 0 and stability(a, a[::-1]) == 0
    assert stability(a, b) >= 0


def test_a_batch_without_labels_has_drift_and_no_quality(life: tuple[Model, Stream]) -> None:
    model, stream = life
    look = look_at(model, stream.batch(5).rows)
    seen = served_batch("b", 5, look, Scoring.of(model.card), reference=look_at(model, stream.batch(0).rows))
    assert seen.quality is None and seen.lead is None and seen.ks is not None and seen.ks > 0.05
    none = served_batch("b", 5, look, Scoring.of(model.card), labels=np.full(80, -1), shadow=Shadow())
    assert none.quality is None and none.labelled == 0 and none.ks is None


@pytest.mark.parametrize(
    ("representations", "outputs", "says"),
    [
        (np.ones((3, 2)), np.ones((2, 2)), "same samples"),
        (np.ones((0, 2)), np.ones((0, 2)), "same samples"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "NaN or infinite"),
    ],
)
def test_bad_looks_are_refused(representations: np.ndarray, outputs: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Look(representations.astype(np.float32), outputs.astype(np.float32))


def test_a_life_is_recorded_goes_on_after_an_interruption_and_is_replayed(
    life: tuple[Model, Stream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, stream = life
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    metered = Runtime(accounting=Accounting(energy="watts:10"))
    recorded = record_life(model, stream, SETTINGS, metered, window=3, folder=tmp_path / "a")
    assert recorded.batches == 10 and [u.last for u in recorded.updates] == list(range(9))
    assert all(u.cost > 0 and set(u.served) == set(range(u.last + 1, 10)) for u in recorded.updates)
    assert all(torch.equal(before[n], v) for n, v in model.network.state_dict().items()), (
        "the model is untouched"
    )

    late = [recorded.first.served[j].quality or 0 for j in (7, 8, 9)]
    fresh = [u.served[u.last + 1].quality or 0 for u in recorded.updates[5:]]
    assert np.mean(fresh) > np.mean(late) + 0.2, "the centres turned, and an update follows them"
    leads = [recorded.first.served[j].lead for j in range(4, 10)]
    assert all(lead is not None and lead > 0.1 for lead in leads), "which the shadow saw without an update"
    assert recorded.updates[3].gate[FIRST] and set(recorded.updates[3].gate) == {FIRST, 0, 1, 2}

    for path in sorted((tmp_path / "a").glob("finetune-*.json"))[4:]:
        path.unlink()
    import foretoll.workflows.life_recording as room

    calls: list[int] = []
    real = room._Recorder.row
    monkeypatch.setattr(room._Recorder, "row", lambda *a: (calls.append(a[2]), real(*a))[1])
    again = record_life(model, stream, SETTINGS, metered, window=3, folder=tmp_path / "a")
    assert calls == [4, 5, 6, 7, 8]
    assert [u.served for u in again.updates] == [u.served for u in recorded.updates]
    assert [u.gate for u in again.updates] == [u.gate for u in recorded.updates]

    for delay in (0, 2):
        best = oracle(recorded, price=20.0, delay=delay)
        losses = {
            name: replay(recorded, get_policy(name), price=20.0, delay=delay).loss
            for name in ("keep", "every", "rent")
        }
        assert best <= min(losses.values()) and losses["rent"] < losses["keep"]


def test_a_life_needs_labels_and_two_batches(life: tuple[Model, Stream]) -> None:
    model, stream = life
    with pytest.raises(UsageError, match="one batch"):
        record_life(model, Stream(stream.data, stream.rows, (0, 80)), SETTINGS, NO_METER)
    unlabelled = stream.rows.take(torch.arange(160))
    unlabelled.labels = None
    with pytest.raises(UsageError, match="labelled stream"):
        record_life(model, Stream(stream.data, unlabelled, (0, 80, 160)), SETTINGS, NO_METER)


def test_a_window_of_one_class_is_trained_on_or_left_out_and_never_stops_the_recording(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "s.npz", x=draw.normal(size=(60, 2)).astype(np.float32), y=[0] * 20 + [0, 1] * 20)
    stream = open_stream(f"npz:{tmp_path}/s.npz?every=20")
    model = build_model("foretoll:mlp?width=4", data=stream.data, seed=0)
    recorded = record_life(model, stream, SETTINGS, NO_METER, window=1)
    assert recorded.batches == 3 and all(u.cost > 0 for u in recorded.updates)
