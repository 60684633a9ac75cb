"""A lesson as a row: the same to the last bit, another version's is not read, and packed texts are bounded."""

from __future__ import annotations

import hashlib
import json
import math

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.exchange.packing import DICTIONARY, MOST_BYTES, PackingError, is_packed, pack, unpack
from foretoll.exchange.reading import UnreadableError, read_record
from foretoll.forecast.lesson_rows import lesson_in, lesson_text, made_by, row_of_run
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.own_lessons import EVERY, GROWTH, drawn, milestone
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.unseen import KnownSettings, unseen_settings
from foretoll.ledger.taught import _known
from foretoll.records import TrainingSettings
from foretoll.records.settings import setting_fields


def test_a_row_has_the_lesson_of_its_run_to_the_last_bit() -> None:
    for run in reference_runs()[::29]:
        row, wanted = row_of_run(run), lessons_of([run])
        assert row.teaches == len(wanted)
        found = lesson_in(run.id, row.made_by, row.lesson)
        assert ([] if found is None else [found]) == wanted
        assert not wanted or (row.model_id or "", row.weights_digest or "") == (
            wanted[0].model_id,
            wanted[0].weights_digest,
        )


def test_what_is_damaged_or_of_another_version_is_no_lesson() -> None:
    run = next(run for run in reference_runs() if lessons_of([run]))
    row, (lesson,) = row_of_run(run), lessons_of([run])
    assert row.lesson is not None
    text = json.loads(lesson_text(lesson))
    assert lesson_in(run.id, "older", row.lesson) is None
    assert lesson_in("another", made_by(), row.lesson) is None
    flipped = row.lesson[:40] + bytes([row.lesson[40] ^ 1]) + row.lesson[41:]
    others = [[*text[:-1], {"gap": "large"}], ["exploded", *text[1:]], [*text[:3], 5, *text[4:]], [1], {}]
    others += ["[" * 500, "nonsense"]
    packed = [pack(one if isinstance(one, str) else json.dumps(one)) for one in others]
    for damaged in (None, b"", "text", row.lesson[:-1], flipped, *packed):
        assert lesson_in(run.id, made_by(), damaged) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=60, deadline=None)
def test_packed_and_unpacked_it_is_the_same(text: str) -> None:
    frame = pack(text)
    assert is_packed(frame) and not is_packed(text) and not is_packed(text.encode())
    assert unpack(frame).decode() == text


@given(st.binary(max_size=60), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_are_a_sentence_and_never_another_text(noise: bytes, at: int) -> None:
    frame = pack(lesson_text(lessons_of(reference_runs()[:1])[0]))
    damaged = frame[:at] + noise + frame[at + len(noise) :]
    try:
        assert unpack(damaged) == unpack(frame)
    except PackingError as error:
        assert str(error).isprintable()


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (MOST_BYTES + 1))
    assert len(bomb) < 5000
    with pytest.raises(UnreadableError, match=f"more than {MOST_BYTES >> 20} MB"):
        read_record(bomb)
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 1000)
    with pytest.raises(UnreadableError, match="MB"):
        read_record(silent)


DIGEST = "b2934725735f2812318fc9acf66b8a22059293e45f85a3853a1af6f9cf45a070"


def test_the_dictionary_never_changes() -> None:
    found = hashlib.sha256(DICTIONARY.read_bytes()).hexdigest()
    assert found == DIGEST, "what is packed needs the dictionary that packed it: a new one is a new file"


def test_settings_that_tell_the_same_stand_for_each_other() -> None:
    every = [TrainingSettings(), TrainingSettings(lr=0.5), TrainingSettings(lr=0.7, optimizer="sgd"),
             TrainingSettings(weight_decay=0.1), TrainingSettings(batch_size=17)]  # fmt: skip
    run = reference_runs()[0]
    rows = [row_of_run(run.model_copy(update={"settings": one})) for one in every]
    kept = {row.settings_alike: row.settings for row in rows}
    few = [_known(text) for text in kept.values()]
    whole = [_known(row.settings) for row in rows]
    for asked in (*every, TrainingSettings(momentum=0.3), TrainingSettings(optimizer="sgd", lr=3.0)):
        assert unseen_settings(asked, few) == unseen_settings(asked, whole)


OTHER: dict[str, object] = {
    "until": 0.7, "metric": "macro_f1", "max_epochs": 3.0, "evals_per_epoch": 2, "batch_size": 17, "lr": 0.5,
    "optimizer": "sgd", "momentum": 0.3, "weight_decay": 0.1, "seed": 5, "max_steps": 50, "patience": 3, "sure": 0.9,
    "give_up": 0.05, "nesterov": True, "betas": (0.8, 0.9), "schedule": "cosine", "warmup": 0.1, "accumulate": 4,
    "clip_norm": 1.0, "label_smoothing": 0.1, "class_weights": "balanced", "lr_multipliers": {"head": 10.0},
    "decay_norms": False, "freeze": ("stem",), "precision": "bf16", "augment": ("flip",), "workers": 2, "compile": True,
    "first_evaluation": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(setting_fields()))
def test_a_run_of_any_setting_has_a_row(name: str) -> None:
    run = reference_runs()[0]
    needs = {"optimizer": "sgd", "momentum": 0.9} if name == "nesterov" else {}
    changed = run.settings.model_copy(update=needs | {name: OTHER[name]})
    row = row_of_run(run.model_copy(update={"settings": changed}))
    asked = TrainingSettings().model_copy(update=needs | {name: OTHER[name]})
    assert unseen_settings(asked, [_known(row.settings)]) == unseen_settings(asked, [KnownSettings(changed)])


def test_places_are_even_and_milestones_a_tenth_apart() -> None:
    places = [drawn(f"run{i}") for i in range(2000)]
    assert min(places) > 0 and max(places) <= 1 and abs(sum(places) / 2000 - 0.5) < 0.02
    assert [milestone(n) for n in (0, 5, EVERY)] == [0, 5, EVERY]
    reached = [milestone(n) for n in range(EVERY, 5000)]
    assert reached == sorted(reached)
    assert all(n / GROWTH - 2 < milestone(n) <= n for n in range(EVERY, 5000, 7))
    assert len(set(reached)) == 1 + math.floor(math.log(4999 / EVERY) / math.log(GROWTH))
