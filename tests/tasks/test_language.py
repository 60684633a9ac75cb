"""Next-token language modelling: its figures, its data, what a model says of one token, and the whole way."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import foretoll
from foretoll import TrainingSettings
from foretoll.data import TaskData, open_data
from foretoll.data.blocks import blocks
from foretoll.errors import DataError, ModelError, UsageError
from foretoll.ledger import Ledger
from foretoll.models import load_model
from foretoll.models.at_places import choose_places
from foretoll.options import get_option
from foretoll.quality import evaluate
from foretoll.records import DataCard
from foretoll.report.story import task_text
from foretoll.representation import Features, sweep
from foretoll.tasks import get_task

PLAIN = foretoll.Accounting(energy="none", region="DE")
LANGUAGE = get_task("language")
ZEN = (
    "Beautiful is better than ugly. Explicit is better than implicit. Simple is better than complex. "
    "Complex is better than complicated. Flat is better than nested. Sparse is better than dense. "
)


def _sequences(seed: int, n: int = 12, length: int = 7, width: int = 5) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, width, (n, length), generator=random)
    ends = torch.randint(1, length + 1, (n, 1), generator=random)
    outputs = 2 * torch.randn((n, width, length), generator=random)
    return outputs, torch.where(torch.arange(length) < ends, targets, -1)


def _values(outputs: Tensor, targets: Tensor, sizes: list[int]) -> dict[str, float]:
    tally = LANGUAGE.tally(outputs.shape[1])
    for part, truth in zip(outputs.split(sizes), targets.split(sizes), strict=True):
        tally.update(part, truth)
    return {metric.name: metric.compute(tally) for metric in LANGUAGE.metrics}


@given(seed=st.integers(0, 1000), cut=st.integers(1, 11))
@settings(max_examples=25, deadline=None)
def test_perplexity_is_the_exponential_of_the_loss_in_any_batches(seed: int, cut: int) -> None:
    outputs, targets = _sequences(seed)
    found = _values(outputs, targets, [cut, 12 - cut])
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))
    assert found["loss"] == pytest.approx(float(LANGUAGE.loss(outputs, targets)), rel=1e-5)
    known = targets >= 0
    hits = (outputs.argmax(dim=1) == targets)[known]
    assert found["token_accuracy"] == pytest.approx(float(hits.double().mean()))


@given(seed=st.integers(0, 1000), more=st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_padding_counts_for_nothing(seed: int, more: int) -> None:
    outputs, targets = _sequences(seed)
    longer = torch.cat([outputs, 50 * torch.randn(12, 5, more)], dim=2)
    padded = torch.cat([targets, torch.full((12, more), -1)], dim=1)
    assert _values(longer, padded, [12]) == pytest.approx(_values(outputs, targets, [12]))
    assert torch.allclose(LANGUAGE.losses(longer, padded), LANGUAGE.losses(outputs, targets))
    assert torch.equal(LANGUAGE.mass(padded), LANGUAGE.mass(targets))


def test_errors_are_those_of_sequences_not_of_tokens() -> None:
    """Sequences whose tokens are all alike say no more than one token each."""
    random = torch.Generator().manual_seed(0)
    one = torch.randn((200, 4, 1), generator=random)
    truth = torch.randint(0, 4, (200, 1), generator=random)
    loss = LANGUAGE.metrics[0]
    found = []
    for length in (1, 16):
        tally = LANGUAGE.tally(4)
        tally.update(one.expand(-1, -1, length).contiguous(), truth.expand(-1, length).contiguous())
        found.append(loss.error_of(tally, loss.compute(tally)))
    each = torch.nn.functional.cross_entropy(one[..., 0], truth[:, 0], reduction="none").double()
    assert found == pytest.approx([float(each.std()) / math.sqrt(200)] * 2, rel=1e-4)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=5), st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_blocks_predict_every_token_but_the_first_once(lengths: list[int], block: int) -> None:
    texts = [list(range(100 * i, 100 * i + n)) for i, n in enumerate(lengths)]
    if max(lengths) < 2:
        with pytest.raises(DataError, match="no text of two tokens or more"):
            blocks(texts, block, "here")
        return
    inputs, targets, of_text = blocks(texts, block, "here")
    assert inputs.shape == targets.shape and inputs.shape[1] <= block
    assert sorted(targets[targets >= 0].tolist()) == sorted(t for text in texts for t in text[1:])
    assert ((inputs + 1 == targets) | (targets < 0)).all() and ((inputs < 0) == (targets < 0)).all()
    for row, text in zip(inputs, of_text.tolist(), strict=True):
        assert set(row[row >= 0].tolist()) <= set(texts[text])


def _text(tmp_path: Path, name: str = "a.txt", times: int = 12, text: str = ZEN) -> str:
    (tmp_path / name).write_text(text * times)
    return f"text:{tmp_path / name}?block=16"


def test_texts_are_read_from_files_rows_and_folders(tmp_path: Path) -> None:
    data = open_data(_text(tmp_path))
    assert (data.card.task, data.kind, data.num_classes) == ("language", "text", 256)
    assert "blocks of 16 bytes (256 different), the next one to be predicted" in data.card.reading
    first = data.train.take(torch.tensor([0])).all()
    assert bytes(first.inputs[0, 1:].tolist()) == bytes(first.labels[0, :-1].tolist())
    rows = [{"text": ZEN[i : i + 50], "kind": "ab"[i % 2]} for i in range(60)]
    (tmp_path / "b.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    counts = [
        len(open_data(f"text:{tmp_path / name}?where=kind:a&block=60").train)
        for name in ("b.jsonl", "c.parquet")
    ]
    assert counts == [18, 18]  # 60 % of 30 texts
    folder = open_data(f"text:{tmp_path}?where=file:a.txt&block=16")
    assert _rows(folder) == _rows(data)
    assert DataCard.model_validate_json(data.card.model_dump_json()) == data.card


def _rows(data: TaskData) -> int:
    return len(data.train) + len(data.validation) + len(data.test)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?block=0", "block=0 is no number of tokens from 1"),
        ("?block=x", "is no number of tokens"),
        ("?task=regression", "task=regression has no targets in it"),
        ("?tokenizer=nowhere", "no tokenizer can be read from"),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, query: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(ZEN)
    with pytest.raises((UsageError, ModelError), match=message):
        open_data(f"text:{tmp_path / 'a.txt'}{query}")


def test_ids_come_from_python_as_arrays_lists_and_data_sets() -> None:
    ids = np.random.default_rng(0).integers(0, 30, (80, 9))
    data = open_data(ids, task="language")
    assert data.train.labels is not None
    assert (data.num_classes, data.train.labels.shape[1]) == (30, 9)
    assert bool((data.train.labels[:, -1] == -1).all())
    pairs = open_data((ids[:, :-1], ids[:, 1:]), task="language")
    assert pairs.train.labels is not None and bool((pairs.train.labels >= 0).all())
    items = [{"input_ids": row.tolist(), "labels": [-100, *row[1:].tolist()]} for row in ids]
    dicts = open_data({"train": items_of(items[:50]), "test": items_of(items[50:])}, task="language")
    assert (len(dicts.test), dicts.card.task) == (30, "language")
    with pytest.raises(DataError, match="token ids are whole numbers"):
        open_data(ids.astype(float), task="language")


def items_of(items: list[dict[str, list[int]]]) -> torch.utils.data.Dataset[dict[str, list[int]]]:
    class Items(torch.utils.data.Dataset[dict[str, list[int]]]):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, row: int) -> dict[str, list[int]]:
            return items[row]

    return Items()


def _small(data: TaskData) -> foretoll.models.Model:
    return foretoll.models.build_model("foretoll:gpt?dim=16&depth=1&heads=2&context=32", data=data, seed=0)


def test_no_token_sees_a_later_one_and_one_place_stands_for_a_sequence(tmp_path: Path) -> None:
    data = open_data(_text(tmp_path))
    model = _small(data).eval()
    inputs = data.train.all().inputs[:4].clone()
    before = model(inputs).detach()
    changed = inputs.clone()
    changed[:, 9:] = 65
    assert before.shape == (4, 256, 16)
    assert torch.allclose(model(changed)[:, :, :9], before[:, :, :9], atol=1e-5)
    seen: list[Features] = []
    sweep(model, data.train, [seen.append], batch_size=5)
    logits, labels = (torch.cat([getattr(batch, name) for batch in seen]) for name in ("logits", "labels"))
    whole = model(data.train.all().inputs).detach()
    assert data.train.labels is not None
    where, there = choose_places(data.train.labels, data.train.ids, 1)
    at = (where[:, 0] * 16).long()
    rows = torch.arange(len(at))
    assert torch.equal(labels, there) and torch.equal(labels, data.train.labels[rows, at])
    assert torch.allclose(logits, whole[rows, :, at], atol=1e-4)


class Bigram(nn.Module):
    """What follows each token: a user's own network, whose head is its embedding."""

    def __init__(self, tokens: int = 40) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, 8)
        self.head = nn.Linear(8, tokens, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(ids))
        return logits


def test_a_network_of_ones_own_names_its_vocabulary() -> None:
    ids = np.random.default_rng(0).integers(0, 30, (80, 9))
    data = open_data(ids, task="language")
    model = load_model(Bigram(), data=data)
    assert (model.card.task, model.num_classes, model.card.head) == ("language", 40, "head")
    seen = evaluate(model, data.test, metric="perplexity")
    assert seen.quality == pytest.approx(math.exp(seen.loss)) and seen.error is not None
    why = get_option("head").suits(model, data, task_shift=False)
    assert why is not None and "train the token embedding too" in why
    with pytest.raises(DataError, match="make the ids with the model's own tokenizer"):
        foretoll.estimate(Bigram(20), data, data, until=3.0, settings=TrainingSettings(metric="loss"))
    with pytest.raises(ModelError, match="has no tokenizer, so it cannot read texts"):
        foretoll.estimate(
            model, data, ids_with_classes(), until=3.0, settings=TrainingSettings(metric="loss")
        )


def ids_with_classes() -> dict[str, list[str] | list[int]]:
    return {"text": [ZEN[i : i + 20] for i in range(60)], "label": [i % 2 for i in range(60)]}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_way(tmp_path: Path) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    source = open_data(_text(tmp_path, "a.txt", 10))
    target = open_data(_text(tmp_path, "b.txt", 10, ZEN.upper()))
    plan = TrainingSettings(metric="perplexity", max_epochs=3, batch_size=16, lr=1e-2)
    model = _small(source)
    foretoll.train(
        "foretoll:gpt?dim=16&depth=1&heads=2&context=32", source, out=tmp_path / "model",
        settings=plan, ledger=ledger, accounting=PLAIN,
    )  # fmt: skip
    model = load_model(tmp_path / "model", data=source)
    before = evaluate(model, target.test, metric="perplexity").quality
    for option in ("lora",):
        run = foretoll.retrain(
            model, source, target, option=option, until=1.05, settings=plan, ledger=ledger, accounting=PLAIN
        )
        assert run.quality is not None and run.quality.after is not None and run.quality.error is not None
        assert 1 <= run.quality.after < before
        assert run.settings.scale is not None and not run.settings.scale.higher_is_better
    told = foretoll.estimate(
        model, source, target, until=12.0, settings=plan, ledger=ledger, accounting=PLAIN
    )
    assert any("runs of language" in warning for warning in told.warnings)
    assert any("samples of next-token prediction have no classes" in warning for warning in told.warnings)
    assert 0 <= (told.signals["probe_accuracy"] or 0) <= 1 and "resque" not in told.indices
    assert "perplexity 12 or less" in task_text(told)
    why = get_option("distill").suits(model, target, task_shift=False)
    assert why is not None and "knows no loss of imitating the outputs of a next-token prediction" in why
