"""Hardware that is not at hand: exact counts, a data sheet's ceiling, wide intervals, laws of scale."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from foretoll.measure import CATALOGUE, Machine, Pace, Work, count_work, probe_on

NAMES = st.sampled_from(sorted(CATALOGUE))
PRECISIONS = st.sampled_from(["fp32", "bf16", "fp16"])
WORKS = st.builds(Work, st.floats(0, 1e15), st.integers(0, 100_000), st.floats(0, 1e12))


def on(name: str, count: int = 1) -> Machine:
    return Machine(CATALOGUE[name], count)


def test_a_product_of_matrices_is_counted_exactly() -> None:
    a, b = torch.ones(30, 40), torch.ones(40, 50)
    work = count_work(lambda: a @ b)
    assert work == Work(2 * 30 * 40 * 50, 1, 4 * (30 * 40 + 40 * 50 + 30 * 50), 4 * 30 * 50)
    once_more = count_work(lambda: [a @ b for _ in range(3)])
    assert (once_more.operations, once_more.moved_bytes) == (3 * work.operations, 3 * work.moved_bytes)
    assert once_more.peak_bytes == 3 * work.peak_bytes, "the list holds all three"


def test_views_move_nothing_and_what_is_freed_is_no_longer_held() -> None:
    a = torch.ones(100, 100)
    assert count_work(lambda: a.view(10, 1000).t()).moved_bytes == 0

    def one_after_the_other() -> None:
        for _ in range(5):
            _ = a + 1

    assert count_work(one_after_the_other).peak_bytes <= 2 * 40_000


def test_forward_and_backward_are_counted() -> None:
    layer = nn.Linear(40, 50, bias=False)
    x = torch.ones(30, 40)
    forward = count_work(lambda: layer(x))
    both = count_work(lambda: layer(x).sum().backward())
    assert forward.operations == 2 * 30 * 40 * 50
    assert both.operations == 2 * forward.operations  # the input needs no gradient
    assert both.calls > forward.calls
    assert both.peak_bytes >= 4 * 40 * 50, "the gradient of the weights is held"


def test_what_a_backward_pass_waits_for_is_held() -> None:
    """Sixteen activations of 1 MB wait for it; the same forward pass without gradients holds two at a time."""
    network = nn.Sequential(*(nn.Tanh() for _ in range(16)))
    x = torch.zeros(2**18, requires_grad=True)
    held = count_work(lambda: network(x).sum().backward()).peak_bytes
    with torch.no_grad():
        free = count_work(lambda: network(x)).peak_bytes
    assert 16 * 2**20 <= held <= 19 * 2**20
    assert free <= 3 * 2**20


def test_a_step_on_the_meta_device_is_counted_as_a_real_one() -> None:
    works = []
    for device in ("cpu", "meta"):
        layer = nn.Conv2d(3, 8, 3, device=device)
        x = torch.zeros(4, 3, 16, 16, device=device)
        works.append(count_work(lambda layer=layer, x=x: layer(x).sum().backward()))  # type: ignore[misc]
    assert works[0] == works[1]


@given(NAMES, PRECISIONS, WORKS, st.floats(1.1, 10))
def test_more_work_takes_no_less_time_and_the_ends_are_in_order(
    name: str, precision: str, work: Work, factor: float
) -> None:
    pace, more = Pace.of(on(name), work, precision), Pace.of(on(name), work.times(factor), precision)
    low, typical, high = pace.seconds
    assert 0 <= low <= typical <= high
    assert all(b >= a for a, b in zip(pace.seconds, more.seconds, strict=True))
    assert pace.watts is not None
    assert 0 < pace.watts[0] <= pace.watts[1] <= pace.watts[2] <= CATALOGUE[name].watts * (1 + 1e-9)
    device = CATALOGUE[name]
    highest = max(
        device.fp32_tflops, device.tf32_tflops or 0, device.bf16_tflops or 0, device.fp16_tflops or 0
    )
    assert low * highest * 1e12 >= work.operations * (1 - 1e-12)  # never faster than the data sheet


@given(NAMES, PRECISIONS, WORKS, st.integers(1, 512), st.integers(1, 512))
def test_more_hardware_of_a_kind_never_costs_less_energy(
    name: str, precision: str, work: Work, few: int, more: int
) -> None:
    few, more = sorted((few, more))
    costs = []
    for count in (1, few, more):
        pace = Pace.of(on(name, count), work, precision)
        assert pace.watts is not None
        costs.append(pace.seconds[1] * pace.watts[1])
    assert costs[0] <= costs[1] * (1 + 1e-9)
    assert costs[1] <= costs[2] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("work", "bound"),
    [
        (Work(1e15, 10), "arithmetic"),
        (Work(1e6, 10, 1e12), "memory traffic"),
        (Work(1.0, 100_000), "operator calls"),
    ],
)
def test_what_limits_a_step_is_said(work: Work, bound: str) -> None:
    assert Pace.of(on("A100"), work).bound == bound


def test_low_precision_is_faster_where_there_are_units_for_it() -> None:
    work = Work(1e15, 10)
    assert Pace.of(on("A100"), work, "bf16").seconds[1] < Pace.of(on("A100"), work).seconds[1] / 2
    assert Pace.of(on("V100"), work, "bf16").seconds == Pace.of(on("V100"), work).seconds
    assert "no bf16 units" in on("V100").basis("bf16")


def test_idle_devices_draw_less_than_busy_ones() -> None:
    waiting, busy = Pace.of(on("A100"), Work(1.0, 10_000)), Pace.of(on("A100"), Work(1e15, 10))
    assert waiting.watts is not None and busy.watts is not None
    assert waiting.watts[1] < busy.watts[0]


def test_a_probe_says_that_nothing_was_measured() -> None:
    work = Work(1e9, 200)
    probe, basis = probe_on(on("A100"), step=work, evaluation=work.times(10), preparation=work)
    assert probe.steps == 0 and probe.joules_per_step is not None
    assert probe.seconds_per_step_low < probe.seconds_per_step < probe.seconds_per_step_high
    assert probe.seconds_per_evaluation == pytest.approx(10 * probe.seconds_per_step)
    assert basis.method.startswith("catalogue: fp32 peak × 0.15 … 0.9") and basis.counter_share == 0
    assert any("W" in part.detail for part in basis.components)
