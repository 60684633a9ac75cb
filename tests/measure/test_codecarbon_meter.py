"""The real CodeCarbon: silent, offline, no files, several at once, and the arithmetic of its power model."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretoll.errors import MeasureError
from foretoll.measure import open_meter
from foretoll.measure.codecarbon_table import lean_look_ups, processor_model, watts_of
from foretoll.measure.plausible import CPU_WATTS_PER_THREAD, cpu_range, ram_range

TICK_S = 0.01  # of the process clock


def work(cpu_seconds: float) -> None:
    """Spend CPU seconds, however busy the machine is."""
    began = time.process_time()
    while time.process_time() - began < cpu_seconds:
        sum(range(500))


def parts_of(reading) -> dict:
    return {part.name: part for part in reading.basis.components}


def test_energy_of_real_work_by_phase(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CODECARBON_LOG_LEVEL", raising=False)
    with open_meter("codecarbon") as meter:
        meter.start("training")
        work(0.6)
        meter.switch("evaluation")
        time.sleep(0.3)
        meter.switch("training")
        work(0.2)
        reading = meter.stop()
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert "CODECARBON_LOG_LEVEL" not in os.environ

    training, evaluation = reading.phases["training"], reading.phases["evaluation"]
    assert training.duration_s > 0.75
    assert evaluation.duration_s >= 0.3
    assert evaluation.energy_kwh is not None
    assert evaluation.energy_kwh > 0
    assert reading.energy_kwh == pytest.approx(training.energy_kwh + evaluation.energy_kwh)
    parts = parts_of(reading)
    assert sum(part.energy_kwh for part in parts.values()) == pytest.approx(reading.energy_kwh)
    assert reading.basis.scope == "process"


# alone in its process: CodeCarbon charges the CPU time of child processes too, and a test suite has some
ALONE = """
import json, psutil, time
from foretoll.measure import open_meter
def work(cpu_seconds):
    began = time.process_time()
    while time.process_time() - began < cpu_seconds:
        sum(range(500))
def kwh_per_s(phase):
    return phase.energy_kwh / phase.duration_s
with open_meter("codecarbon") as meter:
    began = time.process_time()
    meter.start("training")
    working = time.process_time()
    work(0.6)
    least_cpu_s = time.process_time() - working
    meter.switch("evaluation")
    time.sleep(0.3)
    reading = meter.stop()
    most_cpu_s = time.process_time() - began
with open_meter("codecarbon") as meter:  # a tracker that is started twice would go on adding up
    meter.start("run")
    time.sleep(0.3)
    idle = meter.stop()
print(json.dumps({
    "least_cpu_s": least_cpu_s,
    "most_cpu_s": most_cpu_s,
    "threads": psutil.cpu_count(),
    "training_kwh_per_s": kwh_per_s(reading.phases["training"]),
    "evaluation_kwh_per_s": kwh_per_s(reading.phases["evaluation"]),
    "basis": reading.basis.model_dump(),
    "idle": idle.basis.model_dump(),
}))
"""


def test_the_power_model_charges_the_processs_own_cpu_time_and_a_fresh_meter_starts_at_zero() -> None:
    out = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True).stdout
    seen = json.loads(out)
    basis, idle = seen["basis"], seen["idle"]
    cpu, idle_cpu = (
        next(part for part in one["components"] if part["name"] == "cpu") for one in (basis, idle)
    )
    if cpu["method"] != "load × TDP":
        pytest.skip("this machine has a CPU counter: the arithmetic of the power model is not in use")
    charged_s = cpu["energy_kwh"] * 3.6e6 / (cpu["watts"] / seen["threads"])  # watts of one busy thread
    assert seen["least_cpu_s"] - 5 * TICK_S <= charged_s <= seen["most_cpu_s"] + 5 * TICK_S
    assert seen["training_kwh_per_s"] > seen["evaluation_kwh_per_s"]
    assert idle_cpu["energy_kwh"] < 0.5 * cpu["energy_kwh"]
    assert basis["method"].startswith("power model, 0 % by counter")
    assert basis["counter_share"] == 0
    assert 0 < basis["relative_low"] < 1 < basis["relative_high"]
    if cpu["recognised"] is False:
        assert cpu["watts"] == pytest.approx(CPU_WATTS_PER_THREAD * seen["threads"])
        assert "not in the table of CPUs" in cpu["detail"]


def test_the_log_level_of_a_user_of_codecarbon_is_given_back() -> None:
    logger = logging.getLogger("codecarbon")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with open_meter("codecarbon") as meter:
            meter.start("run")
            meter.stop()
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(before)


def test_forced_watts_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "100")
    monkeypatch.setenv("CODECARBON_FORCE_RAM_POWER", "3")
    with open_meter("codecarbon") as meter:
        meter.start("run")
        work(0.1)
        reading = meter.stop()
    parts = parts_of(reading)
    assert {part.method for part in parts.values()} == {"set by the user"}
    assert parts["cpu"].watts == 100
    assert parts["cpu"].recognised is None
    assert parts["ram"].watts == pytest.approx(3, rel=0.05)
    assert reading.basis.relative_low is None


# the configuration asks for files, a server, a look-up of the grid, a PUE, and a lock that takes over Ctrl-C
CHILD = """
import json, os, signal, sys, time
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        os.write(2, f"network: {event} {arguments}".encode())
        os._exit(3)
sys.addaudithook(refuse)
before = signal.getsignal(signal.SIGINT)
from foretoll.measure import open_meter
with open_meter("auto") as meter:
    meter.start("run")
    end = time.perf_counter() + 0.4
    while time.perf_counter() < end:
        pass
    reading = meter.stop()
assert signal.getsignal(signal.SIGINT) is before, "Ctrl-C belongs to us"
print(json.dumps([reading.energy_kwh, reading.duration_s, reading.basis.model_dump()]))
"""


def test_two_processes_at_once_without_network_files_or_output(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "CODECARBON_LOG_LEVEL": "info",
        "CODECARBON_SAVE_TO_FILE": "true",
        "CODECARBON_OUTPUT_METHODS": "csv,api,logger",
        "CODECARBON_EMISSIONS_ENDPOINT": "http://127.0.0.1:9/emissions",
        "CODECARBON_CO2_SIGNAL_API_TOKEN": "secret",
        "CODECARBON_ELECTRICITYMAPS_API_TOKEN": "secret",
        "CODECARBON_ALLOW_MULTIPLE_RUNS": "false",
        "CODECARBON_PUE": "9",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    for folder in ("home", "tmp", "work"):
        (tmp_path / folder).mkdir()
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD],
            cwd=tmp_path / "work",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [child.communicate(timeout=120) for child in children]
    for child, (out, err) in zip(children, outputs, strict=True):
        assert child.returncode == 0, err
        assert err == ""
        energy_kwh, duration_s, basis = json.loads(out)
        assert energy_kwh > 0
        assert duration_s >= 0.4
        for part in basis["components"]:
            if part["method"] in ("load × TDP", "constant"):  # a PUE of 9 would show
                assert part["energy_kwh"] * 3.6e6 / duration_s <= part["watts"] * 1.5
    for folder in ("home", "tmp", "work"):
        assert [path.name for path in (tmp_path / folder).rglob("*") if path.is_file()] == []


def test_a_codecarbon_without_its_hook_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter leans on names of 3.3: another release that lacks them must not measure nonsense."""
    from codecarbon.emissions_tracker import BaseEmissionsTracker

    monkeypatch.delattr(BaseEmissionsTracker, "_measure_power_and_energy")
    # a half-built tracker is what CodeCarbon leaves behind after a swallowed error
    with pytest.raises(MeasureError, match=r"pip install 'codecarbon>=3\.3\.2,<3\.4'"):
        open_meter("codecarbon").start("run")


@settings(max_examples=30, deadline=None)
@given(st.floats(5, 500), st.integers(1, 256), st.floats(0, 1), st.booleans())
def test_the_plausible_range_of_a_cpu_holds_the_figure(
    tdp: float, threads: int, load: float, known: bool
) -> None:
    low, high = cpu_range(tdp, threads, load=load, recognised=known)
    assert 0 < low <= 1 <= high
    idler = cpu_range(tdp, threads, load=load / 2, recognised=known)
    assert idler[1] >= high  # the idle share weighs more at lower load


def test_plausible_ranges_at_known_points() -> None:
    # an unknown CPU of 2 hardware threads, both busy: 8 W assumed, 2.8 to 16 W plausible
    assert cpu_range(8.0, 2, load=1.0, recognised=False) == pytest.approx((0.35, 2.0))
    # a known server socket of 280 W seen from a virtual machine with 2 threads: far below
    assert cpu_range(280.0, 2, load=1.0, recognised=True) == pytest.approx((0.01, 1.5))
    assert cpu_range(280.0, 128, load=0.5, recognised=True) == pytest.approx((0.5, 1.5 * 1.3))
    assert ram_range(20.0, 64.0) == pytest.approx((0.32, 1.28))
    assert ram_range(10.0, 1.0) == pytest.approx((0.01, 1.0))


WITHOUT = """
import sys
from foretoll.measure import open_meter
with open_meter("codecarbon") as meter:
    meter.start("run")
    reading = meter.stop()
assert reading.energy_kwh is not None
print(sorted({"pandas", "requests"} & set(sys.modules)))
"""


def test_a_measurement_loads_neither_pandas_nor_tables_of_countries() -> None:
    out = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(
    "model",
    [
        "AMD EPYC 7763 64-Core Processor",
        "Intel(R) Core(TM) i7-7600U CPU @ 2.80GHz",
        "1075T",
        "No Such CPU 9",
        "",
    ],
)
def test_a_processor_has_the_watts_that_codecarbon_knows(model: str) -> None:
    from codecarbon.core.cpu import TDP

    assert watts_of(model) == TDP.__new__(TDP)._get_cpu_power_from_registry(model)


def test_codecarbon_is_as_it_was_afterwards() -> None:
    from codecarbon.core import cpu, resource_tracker

    before = cpu.TDP._get_cpu_power_from_registry, cpu.detect_cpu_model, resource_tracker.detect_cpu_model
    with lean_look_ups():
        assert cpu.TDP._get_cpu_power_from_registry is not before[0]
    assert before == (
        cpu.TDP._get_cpu_power_from_registry,
        cpu.detect_cpu_model,
        resource_tracker.detect_cpu_model,
    )


def test_a_processor_has_the_name_that_codecarbon_would_find() -> None:
    from codecarbon.core.util import detect_cpu_model

    name = processor_model()
    if name is None:
        pytest.skip("this system has no name of its processor in /proc/cpuinfo")
    assert name == detect_cpu_model()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel\t\t: 79\nmodel name\t: Intel(R) Xeon(R): E5\n", "Intel(R) Xeon(R): E5"),
        ("model name\t: 79\nmodel name\t: AMD EPYC\n", "AMD EPYC"),
        ("Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n", None),
        ("", None),
    ],
)
def test_a_name_of_a_processor_is_no_number(tmp_path: Path, text: str, name: str | None) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor_model(tmp_path / "cpuinfo") == name
    assert processor_model(tmp_path / "none") is None
