"""A source that is only an API: outputs, no gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn import functional as F

from foretoll.errors import DataError, UsageError
from foretoll.reprogram import (
    BLACK_BOX_OPTIMISERS,
    Augment,
    ReprogrammedNetwork,
    fit_black_box,
    make_mapping,
    make_program,
)


class Service:
    """A classifier of digits that lives outside torch, and counts the samples it is sent."""

    def __init__(self) -> None:
        digits = load_digits()
        self.fitted = LogisticRegression(max_iter=200, C=0.1).fit(digits.data[:400] / 16, digits.target[:400])
        self.weight, self.bias = torch.tensor(self.fitted.coef_), torch.tensor(self.fitted.intercept_)
        self.sent = 0

    def __call__(self, images: Tensor) -> Tensor:
        self.sent += len(images)
        scores = self.fitted.decision_function(images.detach().numpy().reshape(len(images), -1))
        return torch.tensor(np.asarray(scores))

    def with_gradients(self, images: Tensor) -> Tensor:
        """The same function for autograd."""
        return images.flatten(1).double() @ self.weight.T + self.bias


def task() -> tuple[Tensor, Tensor]:
    """Digits under stray light from the right: what an added image can take away again."""
    digits = load_digits()
    images = torch.tensor(digits.data / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    return images + torch.linspace(0, 1.5, 8), torch.tensor(digits.target)


@pytest.fixture(scope="module")
def service() -> Service:
    return Service()


def wrapped_around(source: object, mapping: str = "identity") -> ReprogrammedNetwork:
    return ReprogrammedNetwork(
        source,  # type: ignore[arg-type]
        make_program("full", channels=1, size=8),
        make_mapping(mapping, 10, 10),
        num_classes=10,
        augment=Augment(flip=0.0),
    )


def accuracy(model: ReprogrammedNetwork, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((model.eval()(images).argmax(1) == labels).float().mean())


@pytest.fixture(scope="module")
def by_gradient(service: Service) -> float:
    images, labels = task()
    model = wrapped_around(service.with_gradients)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for epoch in range(2):
        for i in torch.randperm(1200, generator=torch.Generator().manual_seed(epoch)).split(60):
            optimizer.zero_grad()
            F.cross_entropy(model.eval()(images[i]), labels[i]).backward()
            optimizer.step()
    return accuracy(model, images[1200:], labels[1200:])


@pytest.mark.parametrize("optimiser", sorted(BLACK_BOX_OPTIMISERS))
def test_it_comes_within_a_few_points_of_the_gradient(
    optimiser: str, service: Service, by_gradient: float
) -> None:
    images, labels = task()
    model = wrapped_around(service)
    untrained = accuracy(model, images[1200:], labels[1200:])
    batches = list(zip(images[:1200].split(60), labels[:1200].split(60), strict=True))
    before = service.sent
    result = fit_black_box(model, batches, optimiser=optimiser, steps=120, seed=1)
    assert result.queries == service.sent - before
    assert result.steps == 120 == len(result.losses) == len(result.gradient_norms)
    found = accuracy(model, images[1200:], labels[1200:])
    assert found > untrained + 0.12
    assert found > by_gradient - 0.03


def test_a_linear_mapping_is_trained_by_its_own_gradient(service: Service) -> None:
    images, labels = task()
    model, before = wrapped_around(service, "linear"), service.sent
    start = model.mapping.layer.weight.detach().clone()
    result = fit_black_box(model, [(images[:50], labels[:50])], steps=20, directions=1)
    assert result.queries == service.sent - before == 20 * 2 * 50
    assert not torch.equal(model.mapping.layer.weight, start)
    assert result.losses[-1] < result.losses[0]


@pytest.mark.parametrize(("optimiser", "looks"), [("spsa_gc", 6), ("gradient_free", 4)])
def test_queries_are_counted_exactly_and_bounded(optimiser: str, looks: int, service: Service) -> None:
    images, labels = task()
    batches = [(images[:10], labels[:10]), (images[10:17], labels[10:17])]
    model, before = wrapped_around(service, "bayesian"), service.sent
    result = fit_black_box(model, batches, optimiser=optimiser, steps=3, directions=3)
    assert result.queries == service.sent - before == 17 + looks * (10 + 7 + 10)
    for budget in (17 + looks * 17, 17 + looks * 27 - 1, 17, 16, 0):
        before = service.sent
        result = fit_black_box(model, batches, optimiser=optimiser, queries=budget, directions=3)
        assert result.queries == service.sent - before <= budget
    again = fit_black_box(model, batches, optimiser=optimiser, queries=17 + looks * 17, directions=3)
    assert (again.steps, again.queries) == (2, 17 + looks * 17)


def test_a_seed_gives_the_same_program_and_the_modes_come_back(service: Service) -> None:
    images, labels = task()
    found = []
    for seed in (4, 4, 5):
        model = wrapped_around(service, "bayesian").train()
        state = torch.get_rng_state()
        fit_black_box(model, [(images[:20], labels[:20])], steps=3, seed=seed)
        assert model.training and torch.equal(torch.get_rng_state(), state)
        found.append(model.program.weight.detach().clone())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_wrong_use_is_one_sentence(service: Service) -> None:
    images, labels = task()
    model, batches = wrapped_around(service), [(images[:4], labels[:4])]
    for arguments, error, message in (
        ({"optimiser": "spsa"}, UsageError, "unknown black-box optimiser 'spsa'"),
        ({}, UsageError, "needs a bound"),
        ({"steps": 1, "directions": 0}, UsageError, "directions"),
    ):
        with pytest.raises(error, match=message):
            fit_black_box(model, batches, **{"optimiser": "spsa_gc", **arguments})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no batches"):
        fit_black_box(model, iter(batches), steps=3)
    with pytest.raises(DataError, match="no batches"):
        fit_black_box(model, [], steps=3)
