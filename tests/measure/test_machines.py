"""The catalogue's form and plausibility, names of hardware, and files of benchmarks, hostile ones too."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from foretoll.errors import UsageError
from foretoll.measure import (
    CATALOGUE,
    Machine,
    Pace,
    ReplayMeter,
    Work,
    machines,
    measure_device,
    read_measured,
)

GOOD = {
    "schema": "foretoll.hardware/1", "name": "my box", "kind": "gpu", "device_name": "NVIDIA A100-SXM4-40GB",
    "matmul_flops": {"fp32": 1.2e13, "bf16": 2.1e14}, "convolution_flops": {"fp32": 2e13, "bf16": 9e13},
    "bytes_per_s": 1.2e12, "call_s": 5e-6, "idle_w": 55.0, "busy_w": 390.0, "energy": "counter", "memory_gb": 42.3,
    "torch": "2.9.0",
}  # fmt: skip


def written(folder: Path, **changes: object) -> Path:
    path = folder / "box.json"
    path.write_text(json.dumps(GOOD | changes))
    return path


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_row_of_the_catalogue_is_plausible_and_has_its_source(name: str) -> None:
    device = CATALOGUE[name]
    assert device.name == name
    assert re.search(r"\b(?:NVIDIA|AMD|Intel)\b.*\b20[12]\d\b", device.source)
    assert 10 <= device.watts <= 1500
    assert 10 <= device.bandwidth_gb_s <= 10_000
    low = [
        value for value in (device.tf32_tflops, device.bf16_tflops, device.fp16_tflops) if value is not None
    ]
    assert all(device.fp32_tflops <= value <= 30 * device.fp32_tflops for value in low)
    if device.kind == "gpu":
        assert device.memory_gb is not None and 8 <= device.memory_gb <= 300
        per_watt = 1e3 * device.fp32_tflops / device.watts  # 10⁹ operations a second for a watt
        assert 30 <= per_watt <= 500
        assert 2 <= 1e3 * device.fp32_tflops / device.bandwidth_gb_s <= 120, (
            "operations for a byte of traffic"
        )
    else:
        assert device.memory_gb is None and device.fp32_tflops < 20


def test_newer_chips_do_more_for_a_watt() -> None:
    best: dict[int, float] = {}
    for device in CATALOGUE.values():
        if device.kind == "gpu":
            rate = max(device.fp32_tflops, device.fp16_tflops or 0) / device.watts
            best[device.year] = max(best.get(device.year, 0.0), rate)
    assert best[2016] < best[2017] < best[2020] < best[2022]


@pytest.mark.parametrize("name", ["A100", "a100", "NVIDIA A100", "nvidia-a100", " a100 "])
def test_a_device_is_found_however_it_is_written(name: str) -> None:
    assert Machine.parse(name) == Machine(CATALOGUE["A100"])


@pytest.mark.parametrize(("text", "count"), [("4xA100", 4), ("4 x a100", 4), ("8×A100", 8), ("2*A100", 2)])
def test_several_devices_of_a_kind(text: str, count: int) -> None:
    found = Machine.parse(text)
    assert found == Machine(CATALOGUE["A100"], count) and found.name == f"{count} × A100"
    assert "0.68 … 1 times" in found.basis("fp32")


def test_several_kinds_each_once() -> None:
    assert [m.name for m in machines("A100,L4,4xT4,l4")] == ["A100", "L4", "4 × T4"]
    assert machines(["A100,L4", "T4"]) == machines("A100,L4,T4")
    assert machines(None) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A101", r"unknown hardware 'A101': did you mean .*'A100'"),
        ("A100,", "unknown hardware ''"),
        ("0xA100", "is of 0 devices: give 1 to 1,024"),
        ("9999xA100", "is of 9999 devices"),
        (",".join(["A100"] * 21), "names 21 kinds: ask for 20"),
        ("gone.json", r"the hardware file 'gone.json' cannot be read \(No such file"),
        ("/dev/zero.json", "cannot be read"),
    ],
)
def test_what_is_no_hardware_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        machines(text)


def test_a_measured_box_replaces_the_catalogue(tmp_path: Path) -> None:
    path = written(tmp_path)
    box = Machine.parse(str(path))
    assert box.name == "my box" and box.memory_bytes == pytest.approx(42.3e9)
    work = Work(1e13, 100, 1e9)
    pace, sheet = Pace.of(box, work), Pace.of(Machine(CATALOGUE["A100"]), work)
    assert pace.seconds[2] / pace.seconds[0] < sheet.seconds[2] / sheet.seconds[0], (
        "a measurement is narrower"
    )
    assert "benchmark of NVIDIA A100" in box.basis("fp32") and "was not measured" in box.basis("fp16")
    assert Pace.of(box, work, "bf16").seconds[1] < pace.seconds[1]
    assert Machine.parse(f"2x{path}").count == 2
    unpowered = Machine.parse(str(written(tmp_path, busy_w=None, idle_w=None)))
    assert Pace.of(unpowered, work).watts is None and "no power was measured" in unpowered.basis("fp32")


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "foretoll.estimate/1"},
        {"bytes_per_s": 0},
        {"bytes_per_s": -1},
        {"call_s": "fast"},
        {"matmul_flops": {"fp8": 1e12}},
        {"name": ""},
        {"name": "x" * 200},
        {"name": "a\nb\x1b[31m"},
        {"name": "evil\u202etxt"},
        {"threads": 10**12},
        {"busy_w": 1e300},
        {"run": "os:system"},
    ],
    ids=str,
)
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path: Path, changes: dict[str, object]) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UsageError, match="is no file of foretoll hardware measure") as refused:
        read_measured(path)
    assert str(refused.value).isprintable() and len(str(refused.value)) <= 400


@pytest.mark.parametrize("content", [b"", b"[]", b"\x80\x04K\x01.", b"[" * 60_000, b'{"bytes_per_s": NaN}'])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "box.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="is no file of foretoll hardware measure"):
        read_measured(path)
    path.write_bytes(b" " * 70_000)
    with pytest.raises(UsageError, match=r"cannot be read .*longer than 65,536"):
        read_measured(path)


def test_a_small_benchmark_measures_this_device_and_is_read_back(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    found = measure_device("cpu", name="tiny", meter_factory=lambda: ReplayMeter(watts=50.0), scale=0.02)
    assert torch.equal(before, torch.get_rng_state())
    assert found.matmul_flops.keys() == {"fp32"} and found.convolution_flops["fp32"] > 1e6
    assert found.bytes_per_s > 1e6 and 1e-8 < found.call_s < 1
    assert found.idle_w == pytest.approx(50) and found.busy_w == pytest.approx(50)
    path = tmp_path / "tiny.json"
    path.write_text(found.model_dump_json(by_alias=True))
    assert read_measured(path) == found
