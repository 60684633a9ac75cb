"""What runs are chosen by, and packed texts: the same again, bounded, and one that goes on from another needs it."""

from __future__ import annotations

import hashlib
import math

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.exchange.packing import DICTIONARY, MOST_BYTES, PackingError, goes_on, is_packed, pack, unpack
from foretoll.exchange.reading import UnreadableError, read_record, text_of_record
from foretoll.forecast.lesson_rows import made_by, number_of, row_of_run
from foretoll.forecast.lessons import lessons_of
from foretoll.forecast.own_lessons import EVERY, GROWTH, drawn, milestone
from foretoll.forecast.reference import reference_runs
from foretoll.forecast.unseen import KnownSettings, unseen_settings
from foretoll.ledger.append import start_of
from foretoll.ledger.taught import _known
from foretoll.records import TrainingSettings
from foretoll.records.settings import setting_fields


def test_a_row_names_the_model_and_the_kind_of_its_run() -> None:
    runs = reference_runs()[::29]
    rows = [row_of_run(run) for run in runs]
    alike: dict[int, set[tuple[str, ...]]] = {}
    for run, row in zip(runs, rows, strict=True):
        found = lessons_of([run])
        assert (row.made_by, row.teaches) == (made_by(), len(found))
        for lesson in found:
            assert row.model == (number_of(lesson.model_id) if lesson.model_id else None)
            assert row.weights == (number_of(lesson.weights_digest) if lesson.weights_digest else None)
            kind = (lesson.option, lesson.task, lesson.family, lesson.source_name, lesson.target_name)
            alike.setdefault(row.alike, set()).add((*kind, lesson.shift))
    assert len(alike) > 20 and all(len(kinds) == 1 for kinds in alike.values())
    assert all(0 <= number_of(str(i)) < 2**47 for i in range(100)), "SQLite keeps it in six bytes"


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=60, deadline=None)
def test_packed_and_unpacked_it_is_the_same(text: str) -> None:
    frame = pack(text)
    assert is_packed(frame) and not is_packed(text) and not is_packed(text.encode())
    assert unpack(frame).decode() == text


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
)
@settings(max_examples=60, deadline=None)
def test_what_goes_on_from_a_text_is_unpacked_after_that_very_text(first: str, then: str) -> None:
    frame, start = pack(first + then, first.encode()), pack(first)
    assert goes_on(frame) and not goes_on(start)
    assert text_of_record(frame, start).decode() == first + then == text_of_record(frame, first).decode()
    for nothing in (None, 5, start[:-1]):
        with pytest.raises(UnreadableError, match="goes on from is not there or damaged"):
            text_of_record(frame, nothing)


def test_an_end_takes_less_than_half_after_its_start_and_needs_that_one() -> None:
    runs = [run for run in reference_runs()[::200] if run.signals]
    starts, ends = (
        [one.model_dump_json(by_alias=True) for one in some] for some in (map(start_of, runs), runs)
    )
    frames = [pack(end, start.encode()) for start, end in zip(starts, ends, strict=True)]
    assert sum(map(len, frames)) < 0.6 * sum(len(pack(end)) for end in ends)
    for k, frame in enumerate(frames):
        assert unpack(frame, starts[k].encode()).decode() == ends[k]
        with pytest.raises(PackingError, match="damaged"):
            unpack(frame, starts[k - 1].encode())
    assert unpack(bytes.fromhex(FRAME), START.encode()).decode() == END, (
        "what was packed once is read for ever"
    )


START, END = '{"schema":"foretoll.run/1","id":"r1"}', '{"schema":"foretoll.run/1","id":"r1","steps":8}'
FRAME = "28b52ffd25022f6d0000187b387d02cc98830220ac6a51a3841094"


@given(st.binary(max_size=60), st.integers(0, 400), st.booleans())
@settings(max_examples=60, deadline=None)
def test_damaged_bytes_are_a_sentence_and_never_another_text(noise: bytes, at: int, after: bool) -> None:
    run = reference_runs()[0]
    before = start_of(run).model_dump_json(by_alias=True).encode() if after else None
    frame = pack(run.model_dump_json(by_alias=True), before)
    damaged = frame[:at] + noise + frame[at + len(noise) :]
    try:
        assert unpack(damaged, before) == unpack(frame, before)
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
