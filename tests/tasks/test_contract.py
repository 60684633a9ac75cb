"""The laws of every registered task, on targets that hypothesis draws; a task without examples fails here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from foretoll.errors import UsageError
from foretoll.tasks import TASKS, get_task, known_metric
from foretoll.testing import check_task

Example = Callable[[torch.Generator, int], tuple[Tensor, Tensor]]


def _classes(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    width += 1
    targets = torch.randint(0, width, (60,), generator=random)
    targets[:width] = torch.arange(width)
    return targets, 30.0 * torch.nn.functional.one_hot(targets, width).float()


def _numbers(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    unit = 10.0 ** torch.randint(-3, 5, (width,), generator=random)
    targets = (torch.randn((60, width), generator=random) + 3) * unit
    return targets, targets.clone()


def _labels(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    targets = (torch.rand((60, width + 1), generator=random) < 0.4).float()
    targets[:4, :2] = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    targets[0] = 0
    targets[3] = 1
    return targets, 30.0 * (2 * targets - 1)


def _two_classes(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    targets, outputs = _labels(random, width)
    return targets[:, :1].contiguous(), outputs[:, :1].contiguous()


def _tokens(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    """Sequences of several lengths: what is behind their end counts for nothing."""
    width += 1
    targets = torch.randint(0, width, (60, 5), generator=random)
    targets[:, 0] = torch.arange(60) % width
    ends = torch.randint(1, 6, (60, 1), generator=random)
    perfect = 30.0 * torch.nn.functional.one_hot(targets, width).float().movedim(-1, 1)
    return torch.where(torch.arange(5) < ends, targets, -1), perfect


def _masks(random: torch.Generator, width: int) -> tuple[Tensor, Tensor]:
    """Small images, some of whose pixels are left out."""
    width += 1
    targets = torch.randint(0, width, (60, 2, 3), generator=random)
    targets[:, 0, 0] = torch.arange(60) % width
    perfect = 30.0 * torch.nn.functional.one_hot(targets, width).float().movedim(-1, 1)
    left_out = torch.rand((60, 2, 3), generator=random) < 0.2
    left_out[:, 0, 0] = False
    return torch.where(left_out, -1, targets), perfect


EXAMPLES: dict[str, Example] = {
    "binary": _two_classes,
    "classification": _classes,
    "language": _tokens,
    "multilabel": _labels,
    "regression": _numbers,
    "segmentation": _masks,
}


@pytest.mark.parametrize("name", list(TASKS))
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), width=st.integers(1, 4))
def test_every_task_keeps_its_laws(name: str, seed: int, width: int) -> None:
    assert name in EXAMPLES, f"give {name} an example here"
    targets, perfect = EXAMPLES[name](torch.Generator().manual_seed(seed), width)
    check_task(get_task(name), targets, perfect, seed=seed)


def test_progress_of_a_share_is_the_share_itself() -> None:
    for metric in get_task("classification").metrics:
        assert (metric.trivial, metric.best, metric.direction) == (0.0, 1.0, "higher")


def test_names_that_there_are_not_have_the_nearest_beside_them() -> None:
    with pytest.raises(UsageError, match="unknown task 'regresion': did you mean 'regression'"):
        get_task("regresion")
    assert known_metric("rmse") is not None and known_metric("rmse", "classification") is None
