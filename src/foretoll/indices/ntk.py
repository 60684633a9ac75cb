"""NTK-linearised training: steps, gradient norm and parameter change from the first-order model at the start.

Source: Zancato et al., "Predicting Training Time Without Training", NeurIPS 2020.

With residuals r₀ = f₀(X) − Y (n, k) and the Jacobian J (n·k, parameters): (λ, v) = eig(J Jᵀ/n), q = vᵀ r₀. Full-batch
gradient descent with rate η on the loss (1/2n) Σ ‖f(x) − y‖² then has, exactly for a linear model,

    L(t)     = (1/2n) Σ (1 − ηλ)^{2t} q²
    ‖∇L(t)‖² = (1/n)  Σ λ (1 − ηλ)^{2t} q²
    ‖Δθ(t)‖² = (1/n)  Σ_{λ>0} (1 − (1 − ηλ)^t)² q²/λ

Deviations:
1. Zancato et al. solve a stochastic differential equation; here it is plain gradient descent. Momentum m enters as the
   effective rate η/(1 − m).
2. Eigenvalues below rounding (relative to the largest) count as 0: those modes never change.
3. A rate with ηλ > 2 diverges in that mode. The loss is convex in t all the same, so its first crossing of ε, if any,
   is found; otherwise the answer is "never".
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from foretoll.errors import DataError, UsageError, is_out_of_memory
from foretoll.indices._arrays import matrix
from foretoll.indices._validate import Array, check_choice
from foretoll.quality import evaluating

MAX_STEPS = 10**12  # beyond it the answer is "never"
AVERAGED_STEPS = 512  # points of the mean gradient norm; exact up to that many steps

Outputs = Literal["full", "sum"]
ModelFunction = Callable[[Mapping[str, Tensor], Tensor], Tensor]


class NtkModes(NamedTuple):
    """Eigenvalues λ ≥ 0 (m,) of J Jᵀ/n, squared projections q² (m,) of the residuals, and n."""

    eigenvalues: Tensor
    squares: Tensor
    samples: int

    def loss(self, steps: int, rate: float) -> float:
        """L(t) = ½ mean squared error, summed over outputs, after `steps` with effective `rate`."""
        return _total(self._decay(2 * steps, rate), self.squares) / (2 * self.samples)

    def gradient_norm(self, steps: int, rate: float) -> float:
        """‖∇L‖ after `steps`."""
        return math.sqrt(_total(self._decay(2 * steps, rate), self.eigenvalues * self.squares) / self.samples)

    def parameter_change(self, steps: int, rate: float) -> float:
        """‖θ(t) − θ(0)‖ after `steps`; divide by √parameters for the toll's convention."""
        moving = self.eigenvalues > 0
        values, squares = self.eigenvalues[moving], self.squares[moving]
        way = (1 - self._decay(steps, rate)[moving]).square()
        return math.sqrt(_total(way, squares / values) / self.samples)

    def steps_to(self, loss: float, rate: float) -> int | None:
        """The first t with L(t) ≤ `loss`; None for never."""
        if self.loss(0, rate) <= loss:
            return 0
        high = 1
        while self.loss(high, rate) > loss:  # L is convex in t: once it rises, it does not fall again
            if high > MAX_STEPS or self.loss(high, rate) < self.loss(high + 1, rate):
                return self._dip(loss, rate, high)
            high *= 2
        return self._first_below(loss, rate, high // 2, high)

    def _dip(self, loss: float, rate: float, high: int) -> int | None:
        """The crossing before the minimum of L, which lies at or before `high`, where L is above `loss`."""
        low = 0
        while low < high:  # the lowest point of a convex sequence
            middle = (low + high) // 2
            if self.loss(middle, rate) > self.loss(middle + 1, rate):
                low = middle + 1
            else:
                high = middle
        if low > MAX_STEPS or not self.loss(low, rate) <= loss:
            return None
        return self._first_below(loss, rate, 0, low)

    def _first_below(self, loss: float, rate: float, low: int, high: int) -> int:
        """Bisection on a falling stretch with L(low) > `loss` ≥ L(high)."""
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.loss(middle, rate) > loss else (low, middle)
        return high

    def _decay(self, power: int, rate: float) -> Tensor:
        """(1 − ηλ)^power; infinite where it diverges. The logarithm keeps the digits of a tiny ηλ."""
        x = rate * self.eigenvalues
        slow = torch.exp(power * torch.log1p(-x.clamp(max=1)))
        return slow.where(x < 1, (1 - x).pow(power)) if power else torch.ones_like(x)


class NtkForecast(NamedTuple):
    """What the linearised model forecasts for training until a loss. All None where it is never reached."""

    steps: int | None
    epochs: float | None
    gradient_norm: float | None  # mean over the steps
    gradient_norm_first: float
    gradient_norm_last: float | None
    parameter_change: float | None  # L2 norm, not divided by √parameters


def ntk_modes(residuals: Array, gram: Array) -> NtkModes:
    """Decompose the start: r₀ in the eigenbasis of J Jᵀ/n.

    Args:
        residuals: f₀(X) − Y, shape (n, k).
        gram: J Jᵀ/n, symmetric, shape (n·k, n·k) with row i·k + j for output j of sample i; or (n, n) for a kernel
            that all k outputs share (`ntk_gram(..., outputs="sum")`).

    Raises:
        DataError: NaN, infinity, or shapes that do not fit.
    """
    r = matrix(residuals, "residuals")
    kernel = matrix(gram, "gram")
    n, k = r.shape
    if kernel.shape not in ((n * k, n * k), (n, n)):
        raise DataError(
            f"gram has shape {tuple(kernel.shape)} for residuals of shape {(n, k)}: "
            f"it must be {(n * k, n * k)}, or {(n, n)} when the outputs share it"
        )
    if not torch.allclose(kernel, kernel.T, rtol=1e-3, atol=1e-5 * float(kernel.abs().max())):
        raise DataError("gram is not symmetric: pass J Jᵀ/n")
    values, vectors = torch.linalg.eigh((kernel + kernel.T) / 2)
    shared = len(kernel) == n and k > 1
    projections = vectors.T @ (r if shared else r.reshape(-1, 1))
    return ntk_modes_of_eigenpairs(values, projections.square().sum(1), samples=n)


def ntk_modes_of_eigenpairs(eigenvalues: Array, squares: Array, *, samples: int) -> NtkModes:
    """The same from eigenvalues of J Jᵀ/n, shape (m,), and q² of each, summed over outputs that share it."""
    values = matrix(torch.as_tensor(eigenvalues)[:, None], "eigenvalues")[:, 0]
    energy = matrix(torch.as_tensor(squares)[:, None], "squares")[:, 0]
    if len(values) != len(energy):
        raise DataError(
            f"there are {len(values)} eigenvalues and {len(energy)} projections: pass one for each"
        )
    if samples < 1:
        raise DataError(f"samples is {samples}: pass the number of samples of the kernel")
    threshold = len(values) * torch.finfo(torch.float64).eps * float(values.abs().max())
    return NtkModes(values.where(values > threshold, torch.zeros_like(values)), energy, samples)


def ntk_forecast(
    modes: NtkModes,
    *,
    loss: float,
    lr: float,
    momentum: float = 0.0,
    batch_size: int | None = None,
    samples: int | None = None,
) -> NtkForecast:
    """Steps, epochs, gradient norm and parameter change until L ≤ `loss`.

    Args:
        modes: of the start, from `ntk_modes`.
        loss: ε, in units of ½ squared error summed over outputs, mean over samples.
        lr: learning rate η > 0.
        momentum: m in [0, 1); the rate in use is η/(1 − m).
        batch_size: B of the training to forecast; None: one step is one epoch.
        samples: N of the training data; None: those of the kernel.

    Raises:
        UsageError: a rate, momentum, batch size or number of samples out of range.
    """
    if not (0 < lr < math.inf and 0 <= momentum < 1):
        raise UsageError(
            f"lr is {lr} and momentum {momentum}: give lr above 0 and momentum from 0 to below 1"
        )
    count = modes.samples if samples is None else samples
    if count < 1 or (batch_size is not None and batch_size < 1):
        raise UsageError(f"batch_size is {batch_size} and samples {count}: give at least 1")
    if math.isnan(loss):
        raise UsageError("loss is NaN: give the loss to reach")
    rate = lr / (1 - momentum)
    first = modes.gradient_norm(0, rate)
    steps = modes.steps_to(loss, rate)
    if steps is None:
        return NtkForecast(None, None, None, first, None, None)
    share = 1.0 if batch_size is None else min(batch_size / count, 1.0)
    return NtkForecast(
        steps=steps,
        epochs=steps * share,
        gradient_norm=_mean_gradient_norm(modes, steps, rate),
        gradient_norm_first=first,
        gradient_norm_last=modes.gradient_norm(max(steps - 1, 0), rate),
        parameter_change=modes.parameter_change(steps, rate),
    )


def functional_model(module: nn.Module) -> tuple[ModelFunction, dict[str, Tensor]]:
    """A module as (function of parameters and inputs → outputs (n, k), its trainable parameters).

    Every call runs in evaluation mode and restores the modes afterwards; buffers and frozen parameters are constants.
    """
    parameters = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    if not parameters:
        raise DataError("the model has no trainable parameters: unfreeze those that the training will change")

    def call(values: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        with evaluating(module):
            # a copy: the module may write into its input, which is read again for the next block
            outputs: Tensor = torch.func.functional_call(module, dict(values), (inputs.clone(),))
        return outputs

    return call, parameters


def ntk_gram(
    model: ModelFunction,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    *,
    outputs: Outputs = "full",
    memory_bytes: int = 2**31,
) -> Tensor:
    """J Jᵀ/n at `parameters` on `inputs`, float64 on the CPU, symmetric.

    Cost: one forward pass and one backward pass per sample and output (n·k in all); "sum" needs n. Where the
    n·k × parameters Jacobian exceeds `memory_bytes` it is recomputed in pairs of blocks, at (number of blocks + 1)/2
    times that cost. Where a block would be one sample, each row is the product of the Jacobian with one gradient (a
    forward pass of dual numbers over the samples up to it), which holds one gradient beside the parameters.

    Args:
        model: function of (parameters, inputs (b, …)) to outputs (b, k); see `functional_model`.
        parameters: by name; only these are differentiated.
        inputs: a sample of n inputs, as the model takes them.
        outputs: "full" for the (n·k, n·k) matrix; "sum" for the (n, n) kernel of the summed outputs divided by k,
            which stands for all outputs alike (exact where they share no weights and have equal kernels).
        memory_bytes: for the Jacobian blocks that are held at a time.

    Raises:
        DataError: no inputs, or a Jacobian that is NaN or infinite.
        UsageError: unknown `outputs`.
    """
    check_choice("outputs", outputs, ("full", "sum"))
    n = len(inputs)
    if n == 0:
        raise DataError("the kernel needs at least one input, and there are none")
    values = dict(parameters)
    with torch.no_grad():
        width = model(values, inputs[:1]).shape[1]
    rows = width if outputs == "full" else 1

    def single(point: dict[str, Tensor], sample: Tensor) -> Tensor:
        out = model(point, sample[None])[0]
        return out if outputs == "full" else out.sum(0, keepdim=True) / math.sqrt(width)

    per_sample = torch.func.vmap(torch.func.jacrev(single), in_dims=(None, 0))

    def jacobian(start: int, stop: int) -> list[Tensor]:
        parts = per_sample(values, inputs[start:stop])
        return [part.detach().reshape((stop - start) * rows, -1) for part in parts.values()]

    sample_bytes = rows * sum(value.numel() * value.element_size() for value in values.values())
    block = max(1, min(n, memory_bytes // (2 * sample_bytes)))  # a pair of blocks is held at a time
    if block == 1 and n > 1:
        try:
            return _by_directions(model, values, inputs, rows)
        except (NotImplementedError, RuntimeError) as error:  # a layer that knows no dual numbers
            if is_out_of_memory(error):
                raise
    edges = [(start, min(start + block, n)) for start in range(0, n, block)]
    gram = torch.empty(n * rows, n * rows, dtype=torch.float64)
    for number, (a, b) in enumerate(edges):
        left = jacobian(a, b)
        for c, d in edges[: number + 1]:
            right = left if c == a else jacobian(c, d)
            product = (
                torch.stack([x @ y.T for x, y in zip(left, right, strict=True)]).double().sum(0).cpu() / n
            )
            gram[a * rows : b * rows, c * rows : d * rows] = product
            gram[c * rows : d * rows, a * rows : b * rows] = product.T
    return _symmetric(gram)


def _symmetric(gram: Tensor) -> Tensor:
    if not bool(torch.isfinite(gram).all()):
        raise DataError("the Jacobian holds NaN or infinity: check the model's weights and inputs")
    return (gram + gram.T) / 2


def _by_directions(model: ModelFunction, values: dict[str, Tensor], inputs: Tensor, rows: int) -> Tensor:
    """`ntk_gram` of `rows` outputs a sample (1: their sum), row by row: J (Jᵀ e) for each unit vector e."""
    n = len(inputs)
    gram = torch.zeros(n * rows, n * rows, dtype=torch.float64)

    def outputs_of(point: dict[str, Tensor], samples: Tensor) -> Tensor:
        outputs = model(point, samples)
        return outputs if rows > 1 else outputs.sum(1, keepdim=True) / math.sqrt(outputs.shape[1])

    for row in range(n * rows):
        sample, output = divmod(row, rows)
        one = inputs[sample : sample + 1]
        direction = torch.func.grad(lambda point, one=one, output=output: outputs_of(point, one)[0, output])(
            values
        )
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own use of what it has deprecated
            products: Tensor = torch.func.jvp(
                lambda point, upto=sample + 1: outputs_of(point, inputs[:upto]), (values,), (direction,)
            )[1]
        gram[row, : products.numel()] = products.reshape(-1).double().cpu() / n
    # a row goes up to the last output of its own sample
    below = torch.tril(gram)
    return _symmetric(below + below.T - torch.diag(below.diagonal()))


def _total(factors: Tensor, amounts: Tensor) -> float:
    """Σ factor × amount; a diverged (infinite) factor of a mode that is not excited counts as 0."""
    return float((factors * amounts).where(amounts > 0, torch.zeros_like(amounts)).sum())


def _mean_gradient_norm(modes: NtkModes, steps: int, rate: float) -> float:
    """Mean of ‖∇L(t)‖ over t = 0 … steps − 1; by trapezoids on a geometric grid where there are many steps."""
    if steps <= AVERAGED_STEPS:
        times = list(range(max(steps, 1)))
        return math.fsum(modes.gradient_norm(t, rate) for t in times) / len(times)
    grid = torch.logspace(0, math.log10(steps), AVERAGED_STEPS, dtype=torch.float64).round().long()
    points = sorted({0, *(grid - 1).tolist()})
    norms = [modes.gradient_norm(t, rate) for t in points]
    # each span [s, t) by the trapezoid over its integers, the last point once more
    spans = zip(points, points[1:], norms, norms[1:], strict=False)
    area = math.fsum((t - s) * (x + y) / 2 for s, t, x, y in spans)
    return (area + (norms[0] + norms[-1]) / 2) / steps
