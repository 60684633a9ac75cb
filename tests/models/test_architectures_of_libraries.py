"""A sample of `benchmarks/architectures.py`: ten families through look-up, indices and one step of each option."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("timm")
pytest.importorskip("transformers")
ROOT = Path(__file__).resolve().parents[2]
SAMPLED = (
    "Swin", "Swinv2", "DebertaV2", "GPT2", "Funnel", "squeezenet1_1", "swin_tiny_patch4_window7_224",
    "deit_tiny_distilled_patch16_224", "xcit_nano_12_p8_224", "tnt_s_patch16_224",
)  # fmt: skip

REFUSED_IN_0_1_0 = {
    "timm": (
        "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "maxvit_pico_rw_256", "mobilevit_xxs",
        "tnt_s_patch16_224", "xcit_nano_12_p8_224", "gcvit_xxtiny", "davit_tiny", "mvitv2_tiny", "efficientvit_b0",
        "volo_d1_224", "deit_tiny_distilled_patch16_224",
    ),
    "torchvision": ("swin_v2_t",),
    "transformers": ("Swin", "Swinv2", "DebertaV2", "GPT2", "Wav2Vec2", "Hubert", "AST", "XLNet"),
}  # fmt: skip


@pytest.fixture(scope="module")
def benchmark() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import architectures
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    return architectures


@pytest.mark.parametrize("name", SAMPLED)
def test_an_architecture_works(name: str, benchmark: Any) -> None:
    entry = next(entry for entry in benchmark.ENTRIES if entry.name == name)
    with warnings.catch_warnings():  # of the libraries, which the benchmark does not look at
        tried = benchmark.try_out(entry)
    assert tried["failures"] == {}
    assert {"build", "indices", "keep", "head", "lora", "partial", "finetune", "scratch"} <= set(
        tried["done"]
    )
    assert {"head, new task", "finetune, new task"} <= set(tried["done"])
    if name in ("DebertaV2", "Swinv2"):
        assert any("left out of ARM and PreIndex" in note for note in tried["notes"])
    if name == "deit_tiny_distilled_patch16_224":
        assert set(tried["heads"]) == {"head", "head_dist"}


def test_the_page_is_that_of_the_results(benchmark: Any) -> None:
    rows = [json.loads(line) for line in benchmark.RESULTS.read_text(encoding="utf-8").splitlines()]
    assert benchmark.PAGE.read_text(encoding="utf-8") == benchmark.page(rows)
    assert [(row["library"], row["name"]) for row in rows] == [(e.library, e.name) for e in benchmark.ENTRIES]
    works = sum(not row["failures"] for row in rows)
    assert len(rows) >= 120 and works >= 0.95 * len(rows)


def test_what_was_once_refused_works(benchmark: Any) -> None:
    """Layers with more or fewer rows than samples, heads beside the head, Conv1D, waves."""
    rows = [json.loads(line) for line in benchmark.RESULTS.read_text(encoding="utf-8").splitlines()]
    works = {(row["library"], row["name"]) for row in rows if not row["failures"]}
    assert {(library, name) for library, names in REFUSED_IN_0_1_0.items() for name in names} - works == set()
    (gpt2,) = (row for row in rows if row["name"] == "GPT2")
    assert {"head", "lora", "head, new task"} <= set(gpt2["done"])
