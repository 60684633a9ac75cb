"""Hardware counters: RAPL on real files in a folder, the GPU counter's arithmetic, and what is said without one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from foretoll.errors import MeasureError
from foretoll.measure import open_meter
from foretoll.measure.basis import PartReport, build_basis
from foretoll.measure.codecarbon_meter import CodeCarbonMeter
from foretoll.measure.composite import CompositeMeter, auto_meter
from foretoll.measure.nvml_meter import NvmlMeter
from foretoll.measure.rapl_meter import Domains, RaplMeter, find_domains
from foretoll.records import EnergyComponent

RANGE_UJ = 1_000_000_000


def domain(root: Path, folder: str, name: str, uj: int) -> Path:
    path = root / folder
    path.mkdir()
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
    (path / "energy_uj").write_text(f"{uj}\n")
    return path / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path) -> dict[str, Path]:
    return {
        "package": domain(tmp_path, "intel-rapl:0", "package-0", 900_000_000),
        "core": domain(tmp_path, "intel-rapl:0:0", "core", 5),
        "dram": domain(tmp_path, "intel-rapl:0:1", "dram", 100),
        "second": domain(tmp_path, "intel-rapl:1", "package-1", 0),
        "psys": domain(tmp_path, "intel-rapl:2", "psys", 0),
        "mmio": domain(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    }


def test_packages_and_memory_are_counted_once(tmp_path: Path, powercap: dict[str, Path]) -> None:
    found = [(folder.name, part) for folder, part in find_domains(tmp_path)]
    assert found == [("intel-rapl:0", "cpu"), ("intel-rapl:0:1", "ram"), ("intel-rapl:1", "cpu")]


def test_rapl_reads_deltas_over_a_wrap_around(tmp_path: Path, powercap: dict[str, Path]) -> None:
    meter = RaplMeter(root=tmp_path)
    meter.start("training")
    powercap["package"].write_text("950000000")  # 50 J
    powercap["second"].write_text("7000000")  # 7 J
    powercap["core"].write_text("40000000")  # inside the package
    powercap["psys"].write_text("80000000")  # the whole platform: contains the package
    meter.switch("evaluation")
    powercap["package"].write_text("20000000")  # wrapped: 50 J to the end, 20 J from the start
    powercap["dram"].write_text("3000100")  # 3 J
    reading = meter.stop()
    assert reading.phases["training"].energy_kwh == pytest.approx(57 / 3.6e6)
    assert reading.phases["evaluation"].energy_kwh == pytest.approx(73 / 3.6e6)
    assert reading.energy_kwh == pytest.approx(130 / 3.6e6)
    assert {part.name: part.energy_kwh for part in reading.basis.components} == {
        "cpu": pytest.approx(127 / 3.6e6),
        "ram": pytest.approx(3 / 3.6e6),
    }
    assert reading.basis.counter_share == 1
    assert reading.basis.scope == "machine"
    assert reading.basis.method == "hardware counter, 100 % by counter"


def test_several_wrap_arounds_within_one_phase(tmp_path: Path) -> None:
    file = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(root=tmp_path, watch_every_s=0.005)
    meter.start("training")
    expected = 0
    for uj in (600_000_000, 200_000_000, 800_000_000, 100_000_000):  # two wrap-arounds: 2.1 kJ
        replacement = tmp_path / "next"
        replacement.write_text(str(uj))
        replacement.replace(file)  # never seen half written
        expected = expected - expected % RANGE_UJ + uj + (RANGE_UJ if uj < expected % RANGE_UJ else 0)
        deadline = time.monotonic() + 5
        while meter._domains[0].total_uj != expected and time.monotonic() < deadline:
            time.sleep(0.002)
    reading = meter.stop()
    assert expected == 2_100_000_000
    assert reading.energy_kwh == pytest.approx(2100 / 3.6e6)


def test_rapl_lost_in_the_middle_is_unknown(tmp_path: Path) -> None:
    file = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = RaplMeter(root=tmp_path)
    meter.start("training")
    file.unlink()
    assert meter.stop().energy_kwh is None


def test_rapl_that_cannot_be_read(tmp_path: Path) -> None:
    assert find_domains(tmp_path / "absent") == []
    domain(tmp_path, "intel-rapl:0", "package-0", 0).write_text("permission denied")
    with pytest.raises(MeasureError, match="no readable energy counter"):
        RaplMeter(root=tmp_path).start()


def test_auto_takes_counters_first_and_a_model_for_the_rest(tmp_path: Path) -> None:
    file = domain(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = auto_meter("cpu", powercap=tmp_path)
    meter.start("training")
    file.write_text("500000000")
    time.sleep(0.05)
    reading = meter.stop()
    parts = {part.name: part for part in reading.basis.components}
    assert parts["cpu"].method == "counter"
    assert parts["cpu"].energy_kwh == pytest.approx(500 / 3.6e6)
    assert parts["ram"].method == "constant"
    assert reading.basis.counter_share == pytest.approx(parts["cpu"].energy_kwh / reading.energy_kwh)
    assert 0.5 < reading.basis.counter_share < 1
    assert reading.basis.scope == "machine"
    assert reading.basis.tool.startswith("RAPL, codecarbon")


class FakeGpu:
    """A GPU counter whose value is set by hand."""

    name = "GPU of the test"

    def __init__(self) -> None:
        self.mj = 7_000_000
        self.broken = self.closed = False

    def millijoules(self) -> int:
        if self.broken:
            raise MeasureError("gone")
        return self.mj

    def close(self) -> None:
        self.closed = True


def test_gpu_counter_in_millijoules() -> None:
    gpu, now = FakeGpu(), [0.0]
    meter = NvmlMeter(device="cpu", counter=gpu, clock=lambda: now[0])
    meter.start("training")
    gpu.mj += 250_000
    now[0] = 2.0
    meter.switch("evaluation")
    gpu.mj += 30_000
    now[0] = 2.05
    reading = meter.stop()
    assert reading.phases["training"].energy_kwh == pytest.approx(250 / 3.6e6)
    assert reading.phases["evaluation"].energy_kwh == pytest.approx(30 / 3.6e6)
    assert reading.basis.scope == "device"
    assert gpu.closed
    assert len(reading.notes) == 1
    assert "evaluation had shorter intervals" in reading.notes[0]
    assert "training" not in reading.notes[0]


def test_gpu_counter_lost_in_the_middle_is_unknown() -> None:
    gpu = FakeGpu()
    meter = NvmlMeter(device="cpu", counter=gpu)
    meter.start("training")
    gpu.broken = True
    reading = meter.stop()
    assert reading.energy_kwh is None
    assert "could not be read any more" in reading.basis.components[0].detail


def test_gpu_and_power_model_together() -> None:
    gpu = FakeGpu()
    meter = CompositeMeter([NvmlMeter(device="cpu", counter=gpu), CodeCarbonMeter(device="cpu")])
    meter.start("training")
    gpu.mj += 100_000
    time.sleep(0.05)
    reading = meter.stop()
    parts = {part.name: part.energy_kwh for part in reading.basis.components}
    assert parts["gpu"] == pytest.approx(100 / 3.6e6)
    assert set(parts) == {"gpu", "cpu", "ram"}
    assert reading.basis.counter_share == pytest.approx(parts["gpu"] / reading.energy_kwh)


def test_named_counters_that_are_not_there_are_one_sentence() -> None:
    with pytest.raises(MeasureError, match="measures an NVIDIA GPU and the device is 'cpu'"):
        open_meter("nvml", device="cpu")
    if not torch.cuda.is_available():
        with pytest.raises(MeasureError, match="--energy auto"):
            open_meter("nvml", device="cuda")
    if not find_domains():
        with pytest.raises(MeasureError, match="no readable energy counter"):
            open_meter("rapl")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_real_gpu_counter_rises_with_work() -> None:
    a = torch.randn(4096, 4096, device="cuda")
    with open_meter("nvml", device="cuda") as meter:
        meter.start("idle")
        time.sleep(1.0)
        meter.switch("busy")
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            a = torch.nn.functional.normalize(a @ a)
            torch.cuda.synchronize()
        reading = meter.stop()
    idle, busy = reading.phases["idle"], reading.phases["busy"]
    assert idle.energy_kwh is not None
    assert busy.energy_kwh is not None
    assert busy.energy_kwh / busy.duration_s > 1.5 * idle.energy_kwh / idle.duration_s


def sockets(root: Path, count: int) -> Path:
    for cpu in range(2 * count):
        folder = root / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{cpu % count}\n")
    return root


def test_a_socket_that_cannot_be_read_is_named_and_not_taken_for_the_machine(
    tmp_path: Path, powercap: dict[str, Path]
) -> None:
    powercap["second"].write_text("")
    meter = RaplMeter(root=tmp_path)
    meter.start("training")
    powercap["package"].write_text("950000000")
    basis = meter.stop().basis
    assert basis.scope == "device"
    assert basis.left_out[0] == "package-1 (intel-rapl:1): a cpu counter that cannot be read"
    assert "without package-1" in basis.components[0].detail
    assert "whole machine" not in basis.components[0].detail


def test_auto_models_the_processor_where_the_counter_of_one_socket_is_missing(
    tmp_path: Path, powercap: dict[str, Path]
) -> None:
    powercap["second"].write_text("")
    meter = auto_meter("cpu", powercap=tmp_path)
    meter.start("training")
    powercap["package"].write_text("999000000")  # 99 J, of one socket only
    time.sleep(0.05)
    cpu = next(part for part in meter.stop().basis.components if part.name == "cpu")
    assert cpu.method in ("load × TDP", "constant")
    assert "package-1 (intel-rapl:1)" in cpu.detail
    assert cpu.energy_kwh is not None
    assert cpu.energy_kwh < 50 / 3.6e6


def test_a_socket_without_any_counter_is_missed(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0", "package-0", 0)
    topology = sockets(tmp_path / "cpus", 2)
    assert Domains.look(tmp_path, topology).unread == {"cpu": ["1 of 2 sockets"]}
    assert not Domains.look(tmp_path, topology).whole
    assert Domains.look(tmp_path, sockets(tmp_path / "single", 1)).whole


def test_a_memory_counter_that_cannot_be_read_is_named(tmp_path: Path, powercap: dict[str, Path]) -> None:
    powercap["dram"].write_text("")
    meter = RaplMeter(root=tmp_path)
    meter.start("training")
    assert meter.stop().basis.left_out[0] == "dram (intel-rapl:0:1): a ram counter that cannot be read"


def component(name: str, method: str, energy_kwh: float, watts: float | None = None) -> PartReport:
    return PartReport(EnergyComponent(name=name, method=method, energy_kwh=energy_kwh, watts=watts))  # type: ignore[arg-type]


def test_memory_at_a_flat_power_is_told_where_it_is_the_largest_part() -> None:
    cpu, ram = component("cpu", "load × TDP", 1e-6, 8), component("ram", "constant", 9e-6, 10)
    line = build_basis([cpu, ram], tool="t", scope="process").method
    assert line == "power model, 0 % by counter, 90 % of it memory at a flat 10 W"
    less = build_basis([cpu, component("ram", "constant", 5e-7, 10)], tool="t", scope="process").method
    assert less == "power model, 0 % by counter"
    counted = build_basis([cpu, component("ram", "counter", 9e-6)], tool="t", scope="machine").method
    assert "flat" not in counted
