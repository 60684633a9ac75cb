"""NTK forecasts against simulated gradient descent, and the kernel against Jacobians known by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from foretoll.errors import DataError, UsageError
from foretoll.indices.ntk import (
    AVERAGED_STEPS,
    functional_model,
    ntk_forecast,
    ntk_gram,
    ntk_modes,
    ntk_modes_of_eigenpairs,
)

N, D, K = 20, 6, 3


def problem(n: int = N) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, targets and start weights of a linear model f(x) = x Wᵀ."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, D, generator=generator, dtype=torch.float64)
    y = torch.randn(n, K, generator=generator, dtype=torch.float64)
    return x, y, 0.5 * torch.randn(K, D, generator=generator, dtype=torch.float64)


def descend(
    x: Tensor, y: Tensor, w: Tensor, lr: float, steps: int
) -> tuple[list[float], list[float], list[float]]:
    """Loss, gradient norm and distance from the start at t = 0 … steps, by plain gradient descent."""
    start, losses, norms, ways = w, [], [], []
    for _ in range(steps + 1):
        residual = x @ w.T - y
        gradient = residual.T @ x / len(x)
        losses.append(float(residual.square().sum()) / (2 * len(x)))
        norms.append(float(gradient.norm()))
        ways.append(float((w - start).norm()))
        w = w - lr * gradient
    return losses, norms, ways


def linear_gram(x: Tensor) -> Tensor:
    """J Jᵀ/n of f(x) = x Wᵀ: the outputs share no weights."""
    return torch.kron(x @ x.T, torch.eye(K, dtype=torch.float64)) / len(x)


@pytest.mark.parametrize(("n", "lr"), [(N, 0.3), (N, 0.02), (4, 0.3)])
def test_forecast_is_simulated_descent_on_a_linear_model(n: int, lr: float) -> None:
    x, y, w = problem(n)
    losses, norms, ways = descend(x, y, w, lr, 400)
    modes = ntk_modes(x @ w.T - y, linear_gram(x))
    for t in (0, 1, 7, 400):
        assert modes.loss(t, lr) == pytest.approx(losses[t], rel=1e-9, abs=1e-12)
        assert modes.gradient_norm(t, lr) == pytest.approx(norms[t], rel=1e-6, abs=1e-9)
        assert modes.parameter_change(t, lr) == pytest.approx(ways[t], rel=1e-6, abs=1e-9)
    for target in (losses[0] * 0.9, (losses[10] + losses[11]) / 2, losses[60] * (1 + 1e-9)):
        steps = next(t for t, loss in enumerate(losses) if loss <= target)
        found = ntk_forecast(modes, loss=target, lr=lr, batch_size=5, samples=100)
        assert found.steps == steps
        assert found.epochs == pytest.approx(steps * 5 / 100)
        assert found.gradient_norm == pytest.approx(sum(norms[:steps]) / steps, rel=1e-6)
        assert found.gradient_norm_first == pytest.approx(norms[0], rel=1e-9)
        assert found.gradient_norm_last == pytest.approx(norms[steps - 1], rel=1e-6)
        assert found.parameter_change == pytest.approx(ways[steps], rel=1e-6)


def test_a_kernel_that_all_outputs_share_gives_the_same() -> None:
    x, y, w = problem()
    residuals = x @ w.T - y
    full, shared = ntk_modes(residuals, linear_gram(x)), ntk_modes(residuals, x @ x.T / N)
    for t in (0, 5, 50):
        assert shared.loss(t, 0.1) == pytest.approx(full.loss(t, 0.1), rel=1e-9)
        assert shared.gradient_norm(t, 0.1) == pytest.approx(full.gradient_norm(t, 0.1), rel=1e-9)
        assert shared.parameter_change(t, 0.1) == pytest.approx(full.parameter_change(t, 0.1), rel=1e-9)


def test_a_loss_below_the_floor_is_never_reached() -> None:
    x, y, w = problem()
    modes = ntk_modes(x @ w.T - y, linear_gram(x))
    best = x @ torch.linalg.lstsq(x, y).solution
    floor = float((best - y).square().sum()) / (2 * N)
    never = ntk_forecast(modes, loss=floor * 0.999, lr=0.1)
    assert (never.steps, never.epochs, never.parameter_change, never.gradient_norm) == (
        None,
        None,
        None,
        None,
    )
    assert never.gradient_norm_first > 0
    assert ntk_forecast(modes, loss=floor * 1.001, lr=0.1).steps is not None


def test_a_loss_that_is_met_already_takes_no_step() -> None:
    modes = ntk_modes_of_eigenpairs(torch.tensor([1.0, 0.5]), torch.tensor([2.0, 2.0]), samples=1)
    found = ntk_forecast(modes, loss=2.0, lr=0.1)
    assert (found.steps, found.epochs, found.parameter_change) == (0, 0.0, 0.0)


def test_one_mode_in_closed_form_and_momentum_as_a_larger_rate() -> None:
    modes = ntk_modes_of_eigenpairs(torch.tensor([0.01]), torch.tensor([2.0]), samples=1)
    # L(t) = (1 − ηλ)^{2t}
    steps = math.ceil(math.log(1e-3) / (2 * math.log(1 - 0.5 * 0.01)))
    assert ntk_forecast(modes, loss=1e-3, lr=0.5).steps == steps
    assert ntk_forecast(modes, loss=1e-3, lr=0.05, momentum=0.9).steps == steps


def test_tiny_rates_lose_no_digits() -> None:
    modes = ntk_modes_of_eigenpairs(torch.tensor([1e-18]), torch.tensor([2.0]), samples=1)
    steps = ntk_forecast(modes, loss=1 - 1e-7, lr=1.0).steps
    assert steps == pytest.approx(0.5e-7 / 1e-18, rel=1e-6)
    assert ntk_forecast(modes, loss=0.5, lr=1.0).steps is None  # 3e17 steps: never


def test_a_diverging_rate_reaches_only_what_it_passes_on_its_way() -> None:
    # the first mode falls at once, the second doubles every two steps: the sum dips and then grows
    modes = ntk_modes_of_eigenpairs(torch.tensor([0.3, 2.2]), torch.tensor([2.0, 1e-6]), samples=1)
    losses = [modes.loss(t, 1.0) for t in range(200)]
    lowest = min(losses)
    assert losses[-1] > losses[0]
    assert modes.steps_to(lowest * 1.0001, 1.0) == losses.index(lowest)
    target = (losses[3] + losses[4]) / 2
    assert modes.steps_to(target, 1.0) == 4
    assert modes.steps_to(lowest * 0.999, 1.0) is None
    still = ntk_modes_of_eigenpairs(torch.tensor([3.0, 0.1]), torch.tensor([0.0, 1.0]), samples=1)
    assert still.steps_to(1e-6, 1.0) is not None  # a mode that nothing excites cannot diverge


def test_mean_gradient_norm_over_many_steps() -> None:
    modes = ntk_modes_of_eigenpairs(torch.tensor([1.0, 1e-3]), torch.tensor([4.0, 3.0]), samples=2)
    found = ntk_forecast(modes, loss=modes.loss(5000, 0.5), lr=0.5)
    assert found.steps is not None
    assert found.steps > AVERAGED_STEPS
    exact = sum(modes.gradient_norm(t, 0.5) for t in range(found.steps)) / found.steps
    assert found.gradient_norm == pytest.approx(exact, rel=1e-3)


# --- the kernel ------------------------------------------------------------------------------------


def test_gram_of_a_linear_layer_by_hand() -> None:
    x, _, w = problem()
    layer = nn.Linear(D, K).double()
    with torch.no_grad():
        layer.weight.copy_(w)
    gram = ntk_gram(*functional_model(layer), x)
    torch.testing.assert_close(gram, torch.kron(x @ x.T + 1, torch.eye(K, dtype=torch.float64)) / N)
    torch.testing.assert_close(ntk_gram(*functional_model(layer), x, outputs="sum"), (x @ x.T + 1) / N)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten())
    return nn.Sequential(body, nn.Linear(3 * 4 * 4, K)).double()


def test_gram_of_a_network_by_one_backward_pass_per_row_and_in_blocks() -> None:
    model = network().train()
    inputs = torch.randn(5, 1, 6, 6, dtype=torch.float64)
    model(inputs)  # running statistics that are not those of the start
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gram = ntk_gram(*functional_model(model), inputs)
    parameters = sum(p.numel() for p in model.parameters())
    blocks = ntk_gram(*functional_model(model), inputs, memory_bytes=2 * 2 * K * parameters * 8)
    directions = ntk_gram(*functional_model(model), inputs, memory_bytes=1)
    both = [
        ntk_gram(*functional_model(model), inputs, outputs="sum", memory_bytes=room) for room in (1, 2**31)
    ]
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    model.eval()
    rows = []
    for sample in inputs:
        for output in model(sample[None])[0]:
            gradients = torch.autograd.grad(output, list(model.parameters()), retain_graph=True)
            rows.append(torch.cat([part.flatten() for part in gradients]))
    jacobian = torch.stack(rows)
    torch.testing.assert_close(gram, jacobian @ jacobian.T / 5)
    torch.testing.assert_close(blocks, gram)
    torch.testing.assert_close(directions, gram)
    torch.testing.assert_close(*both)


class _Double(torch.autograd.Function):
    """A layer of somebody's own, which knows no dual numbers."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: object, inputs: object, output: object) -> None: ...

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return 2 * gradient


def test_gram_of_a_network_that_knows_no_dual_numbers() -> None:
    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            doubled: torch.Tensor = _Double.apply(super().forward(x))  # type: ignore[no-untyped-call]
            return doubled

    x, _, _ = problem()
    called = functional_model(Doubled(D, K).double())
    torch.testing.assert_close(ntk_gram(*called, x, memory_bytes=1), ntk_gram(*called, x))


def test_frozen_parameters_are_left_out() -> None:
    layer = nn.Linear(D, K).double()
    layer.weight.requires_grad_(False)
    gram = ntk_gram(*functional_model(layer), problem()[0])
    torch.testing.assert_close(gram, torch.kron(torch.ones(N, N), torch.eye(K)).double() / N)


def test_a_forecast_from_a_model_is_its_own_descent() -> None:
    x, y, w = problem()
    layer = nn.Linear(D, K, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(w)
    modes = ntk_modes((layer(x) - y).detach(), ntk_gram(*functional_model(layer), x))
    target = modes.loss(25, 0.2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
    steps = 0
    while (loss := (layer(x) - y).square().sum() / (2 * N)) > target * (1 + 1e-12):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    found = ntk_forecast(modes, loss=target * (1 + 1e-12), lr=0.2)
    assert found.steps == steps == 25
    assert found.parameter_change == pytest.approx(float((layer.weight.detach() - w).norm()), rel=1e-9)


# --- bad input -------------------------------------------------------------------------------------


def test_bad_input_is_refused() -> None:
    x, y, w = problem()
    residuals, gram = x @ w.T - y, linear_gram(x)
    modes = ntk_modes(residuals, gram)
    with pytest.raises(DataError, match="gram has shape"):
        ntk_modes(residuals, gram[:5, :5])
    with pytest.raises(DataError, match="symmetric"):
        ntk_modes(residuals, gram + torch.arange(N * K))
    with pytest.raises(DataError, match="NaN"):
        ntk_modes(residuals * math.nan, gram)
    with pytest.raises(DataError, match="1 eigenvalues and 2"):
        ntk_modes_of_eigenpairs(torch.ones(1), torch.ones(2), samples=1)
    with pytest.raises(DataError, match="samples is 0"):
        ntk_modes_of_eigenpairs(torch.ones(1), torch.ones(1), samples=0)
    for wrong in ({"lr": 0.0}, {"lr": 0.1, "momentum": 1.0}, {"lr": 0.1, "batch_size": 0}):
        with pytest.raises(UsageError, match="give"):
            ntk_forecast(modes, loss=0.1, **wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="NaN"):
        ntk_forecast(modes, loss=math.nan, lr=0.1)
    layer = nn.Linear(D, K).double()
    with pytest.raises(DataError, match="at least one input"):
        ntk_gram(*functional_model(layer), x[:0])
    with pytest.raises(UsageError, match="outputs"):
        ntk_gram(*functional_model(layer), x, outputs="mean")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="Jacobian"):
        ntk_gram(*functional_model(layer), x * math.inf)
    with pytest.raises(DataError, match="no trainable"):
        functional_model(nn.Flatten())
