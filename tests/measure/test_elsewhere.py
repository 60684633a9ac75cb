"""Hardware that is not at hand: exact counts, a data sheet's ceiling, wide intervals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from foretoll.errors import UsageError
from foretoll.measure import CATALOGUE, Device, Work, count_work, find_device, probe_on
from foretoll.measure.elsewhere import LAUNCH_S, SHARE, seconds_on


def test_a_product_of_matrices_is_counted_exactly() -> None:
    a, b = torch.ones(30, 40), torch.ones(40, 50)
    work = count_work(lambda: a @ b)
    assert work == Work(2 * 30 * 40 * 50, 1)
    assert count_work(lambda: [a @ b for _ in range(3)]) == work.times(3)


def test_forward_and_backward_are_counted() -> None:
    layer = torch.nn.Linear(40, 50, bias=False)
    x = torch.ones(30, 40)
    forward = count_work(lambda: layer(x))
    both = count_work(lambda: layer(x).sum().backward())
    assert forward.operations == 2 * 30 * 40 * 50
    assert both.operations == 2 * forward.operations  # the input needs no gradient
    assert both.calls > forward.calls


@given(st.sampled_from(sorted(CATALOGUE)), st.floats(0, 1e15), st.integers(0, 100_000), st.floats(1.1, 10))
def test_more_work_takes_no_less_time_and_the_ends_are_in_order(
    name: str, operations: float, calls: int, factor: float
) -> None:
    device, work = CATALOGUE[name], Work(operations, calls)
    low, typical, high = seconds_on(device, work)
    assert 0 <= low <= typical <= high
    assert all(
        b >= a for a, b in zip((low, typical, high), seconds_on(device, work.times(factor)), strict=True)
    )
    assert low * device.tflops * 1e12 >= operations * (1 - 1e-12)  # never faster than the data sheet


@pytest.mark.parametrize("kind", ["gpu", "cpu"])
def test_small_work_is_limited_by_launches_and_large_work_by_arithmetic(kind: str) -> None:
    device = Device("a device", kind, tflops=10.0, watts=100.0)
    assert seconds_on(device, Work(1.0, 1000))[1] == 1000 * LAUNCH_S[kind][1]
    assert seconds_on(device, Work(1e13, 1))[1] == pytest.approx(1 / SHARE[kind][1])


def test_a_probe_says_that_nothing_was_measured() -> None:
    work = Work(1e9, 200)
    probe, basis = probe_on(find_device("a100"), step=work, evaluation=work.times(10), preparation=work)
    assert probe.steps == 0 and probe.joules_per_step is not None
    assert probe.seconds_per_step_low < probe.seconds_per_step < probe.seconds_per_step_high
    assert probe.joules_per_step == pytest.approx(probe.seconds_per_step * 0.7 * 400)
    assert "not measured" in basis.method and basis.counter_share == 0
    assert basis.relative_low is not None and basis.relative_high is not None
    assert basis.relative_low < 1 < basis.relative_high


@pytest.mark.parametrize("name", ["A100", "a100", "NVIDIA A100", "nvidia-a100"])
def test_a_device_is_found_however_it_is_written(name: str) -> None:
    assert find_device(name).name == "A100"


def test_an_unknown_device_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown hardware 'A101': did you mean .*'A100'"):
        find_device("A101")
