"""Whole commands on what real users bring: large photographs, odd texts, speech models, sparse environments.

Each is a public report of another tool's users (`docs/faults.md`), with small files of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from .conftest import Call

QUIET = "--energy none --region DE --quiet"
MEASURED = """
import sys
from pathlib import Path
from foretoll import cli
import pandas, pyarrow.parquet, torch, torchvision  # what is loaded is no growth

def peak_mb():
    return next(int(l.split()[1]) for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l) / 1024

Path("/proc/self/clear_refs").write_text("5")
before, code = peak_mb(), 0
try:
    cli.main()
except SystemExit as ended:
    code = int(ended.code or 0)
print(f"grown by {peak_mb() - before:.0f} MB")
sys.exit(code)
"""


def grown_mb(folder: Path, command: str) -> float:
    """By how much the memory of a process of its own grows while it carries out this command."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command.split()],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "FORETOLL_LEDGER": "own.db"},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split("grown by ")[1].split()[0])


def _needs_linux() -> None:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the peak of a process's memory can only be set back on Linux")


def test_photographs_are_evaluated_within_bounded_memory(tmp_path: Path) -> None:
    """Of these two megapixels all of a batch at once took 5 GB (transformers#12522)."""
    _needs_linux()
    draw = np.random.default_rng(0)
    for i in range(16):
        folder = tmp_path / "photos" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        size = (1600 + i, 1200 + i)
        stripes = draw.integers(0, 255, (1, 40, 3) if i % 2 else (30, 1, 3)).astype(np.uint8)
        Image.fromarray(stripes).resize(size, Image.Resampling.NEAREST).save(folder / f"{i}.jpg", quality=80)
    command = f"train --arch torchvision:resnet18 --data folder:photos --max-epochs 0.1 --batch-size 4 {QUIET} --out m"
    assert grown_mb(tmp_path, command) < 700


def test_photographs_for_a_small_model_are_never_stacked_at_their_own_size(tmp_path: Path) -> None:
    """Forty of twelve megapixels are 1.4 GB as they are decoded, and under a megabyte at 64 × 64."""
    _needs_linux()
    for value, name in ((60, "a"), (200, "b")):
        (tmp_path / "d" / name).mkdir(parents=True)
        first = tmp_path / "d" / name / "00.jpg"
        Image.new("RGB", (4000, 3000), (value, 10, 255 - value)).save(first)
        for i in range(1, 20):
            (tmp_path / "d" / name / f"{i:02}.jpg").hardlink_to(first)
    command = f"train --arch foretoll:cnn?input_size=64 --data folder:d --max-epochs 0.1 {QUIET} --out m"
    assert grown_mb(tmp_path, command) < 700


def test_sixteen_pictures_of_81_megapixels(tmp_path: Path) -> None:
    """Four gigabytes as they are decoded; in JPEG, and in a format that cannot be decoded smaller."""
    _needs_linux()
    colour = Image.new("RGB", (9000, 9000), (60, 10, 195))
    colour.save(tmp_path / "one.jpg")
    colour.convert("1").save(tmp_path / "one.tif", compression="group4")
    for name in "ab":
        (tmp_path / "d" / name).mkdir(parents=True)
        (tmp_path / "d" / name / "00.tif").hardlink_to(tmp_path / "one.tif")
        for i in range(1, 8):
            (tmp_path / "d" / name / f"{i:02}.jpg").hardlink_to(tmp_path / "one.jpg")
    command = f"train --arch foretoll:cnn?width=2 --data folder:d --max-epochs 0.05 {QUIET} --out m"
    assert grown_mb(tmp_path, command) < 1000


def _write_samples(file: Path, sign: float = 1.0) -> None:
    draw = np.random.default_rng(0)
    y = np.arange(240) % 3
    x = draw.normal(size=(240, 6)).astype(np.float32)
    x[np.arange(240), y] += 3
    np.savez(file, x=sign * x, y=y)


@pytest.fixture
def bert(tmp_path: Path) -> Iterator[Path]:
    """A small BERT that tells good from bad after a few steps, with its word pieces."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[PAD]", "[UNK]", "good", "bad", "the", "film", "was"]
    levels = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    plain = tokenizers.Tokenizer(levels)
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]"
    )
    torch.manual_seed(0)
    network = transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64, num_labels=2, id2label={0: "negative", 1: "positive"},
        )
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    given = tokenizer(["the film was bad", "the film was good"] * 8, return_tensors="pt")
    for _ in range(30):
        optimizer.zero_grad()
        network(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            labels=torch.arange(16) % 2,
        ).loss.backward()
        optimizer.step()
    network.save_pretrained(tmp_path / "bert")
    tokenizer.save_pretrained(tmp_path / "bert")
    yield tmp_path / "bert"


ODD = (
    "", "   ", "\U0001f600\U0001f3fd\u200d\U0001f469", "good " * 20_000, "caf\u0301e \u202eabc\x00 fine", "\ufffd",
    "line\r\nline", "\x1b[31mred", "the film was",
)  # fmt: skip


def test_odd_texts_are_samples_like_others(bert: Path, call: Call) -> None:
    """Empty ones, emoji, twenty thousand words, controls: read, judged, and never printed as they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    said = {"negative": "the film was bad", "positive": "the film was good"}
    labels = [list(said)[i % 2] for i in range(160)]
    texts = [said[label] for label in labels]
    pq.write_table(pa.table({"text": texts, "label": labels}), "old.parquet")
    for i, odd in enumerate(ODD):
        texts[9 * i] = odd
    pq.write_table(pa.table({"text": texts, "label": labels}), "odd.parquet")
    done = call(
        "estimate --model hf:bert --source parquet:old.parquet --target parquet:odd.parquet --until 0.9 --option head "
        f"--json {QUIET} --out o"
    )
    assert done.code == 0, done.err
    assert done.data["signals"]["source_quality"] == 1.0
    assert 0.9 <= done.data["signals"]["initial_quality"] < 1.0
    shown = call(
        "retrain --model hf:bert --source parquet:old.parquet --target parquet:odd.parquet --option finetune "
        f"--until 0.9 --max-epochs 0.5 {QUIET} --out r"
    )
    assert shown.code == 0, shown.err
    assert all(c.isprintable() or c == "\n" for c in shown.out + shown.err)


def test_a_speech_model_is_estimated_on_its_waves(call: Call) -> None:
    """wav2vec2 was taken for a model of texts (datasets#6446)."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    transformers.Wav2Vec2ForSequenceClassification(
        transformers.Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, conv_dim=(8, 8),
            conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2, num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2, num_labels=2, classifier_proj_size=8,
        )
    ).save_pretrained("speech")  # fmt: skip
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained("speech")
    draw, y, t = np.random.default_rng(0), np.arange(80) % 2, np.arange(800) / 8000
    x = np.sin(2 * np.pi * (300 + 400 * y[:, None]) * t) * 8000 + draw.normal(size=(80, 800)) * 500
    np.savez("tones", x=x.astype(np.int16), y=y)
    done = call(
        "estimate --model hf:speech --source npz:tones.npz --target npz:tones.npz --until 0.9 --option head --json "
        f"{QUIET} --out o"
    )
    assert done.code == 0, done.err
    assert done.data["model"]["preprocessing"]["kind"] == "series"
    assert 0 <= done.data["signals"]["initial_quality"] <= 1
    assert "8,000 samples a second" in " ".join(done.data["warnings"])


@pytest.mark.parametrize("home", ["/dev/null", "/proc/nowhere/at/all", ""])
def test_without_a_home_or_a_device(home: str, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that cannot be written to, and no visible device, as in a container."""
    _write_samples(Path("d.npz"))
    _write_samples(Path("e.npz"), sign=0.9)
    assert (
        call(f"train --arch foretoll:mlp?width=8 --data npz:d.npz --max-epochs 2 {QUIET} --out m").code == 0
    )
    for name in ("FORETOLL_LEDGER", "XDG_DATA_HOME", "XDG_CACHE_HOME", "FORETOLL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    told = call(
        f"estimate --model m --source npz:d.npz --target npz:e.npz --until 0.5 -o head --samples 40 {QUIET} --out o"
    )
    assert told.code in (0, 1)
    assert "should not have happened" not in told.err
    run = call(
        f"retrain --model m --source npz:d.npz --target npz:e.npz --until 0.5 -o head {QUIET} --ledger l.db --out r"
    )
    assert run.code == 0, run.err
