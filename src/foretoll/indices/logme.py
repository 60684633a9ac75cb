"""LogME: the log evidence of a Bayesian linear model from representations to labels.

Source: You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021.

Per class, with the one-hot column y (N,), representations F = U S Vᵀ (N, D) of rank r, σ = s², z = Uᵀ y and
ρ = ‖y‖² − ‖z‖²: y ~ N(0, α⁻¹ F Fᵀ + β⁻¹ I), and the score is the log density per sample at the best α, β, averaged
over the classes. Trusted equivalent: scipy.stats.multivariate_normal.logpdf at that covariance.

Deviations:
1. r stands where the released code has the dimension D; they differ when r < D, for example when N < D.
2. The fixed point is iterated on λ = α/β with MacKay's updates as in the paper, to a relative change of 1e-6 (paper:
   1e-3 or 11 rounds; a round costs next to nothing beside the decomposition). With λ found, β = N/(e + λ‖m‖²) is the
   exact optimum, so the score is the evidence at the α and β that are meant, not one with an older mean m.
3. Nothing is added to the denominators. Instead e is held at 1e-12 ‖y‖² or more, and λ between 1e-12 and 1e12 times
   the largest σ: representations that fit a class exactly (for which the evidence has no bound) get a large, finite
   score, and those that know nothing of it the evidence of pure noise.
4. Classes without samples are left out, and U is never formed: z comes from a QR decomposition of [F, Y].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foretoll.indices._arrays import labelled
from foretoll.indices._validate import Array

_TINY = 1e-12


def logme(features: Array, labels: Array, *, tolerance: float = 1e-6, rounds: int = 200) -> float:
    """Log evidence per sample, in nats, averaged over the classes; higher promises easier transfer.

    Args:
        features: representations, shape (N, D).
        labels: class numbers, shape (N,), at least two classes.
        tolerance: relative change of λ at which the iteration stops.
        rounds: the most iterations.

    Raises:
        DataError: NaN, infinity, one class only, or lengths that differ.
    """
    f, position, classes = labelled(features, labels)
    y = torch.nn.functional.one_hot(position, classes).double()
    sigma, z, rest = _spectrum(f, y)
    return float(log_evidence(sigma, z, rest, len(f), tolerance=tolerance, rounds=rounds).mean())


def log_evidence(
    sigma: Tensor, z: Tensor, rest: Tensor, samples: int, *, tolerance: float = 1e-6, rounds: int = 200
) -> Tensor:
    """Log evidence per sample of each column, shape (C,), maximised over α and β.

    Args:
        sigma: squared singular values above 0, shape (r,).
        z: columns in the left singular basis, shape (r, C).
        rest: squared length of each column outside of that basis, shape (C,).
        samples: N.
        tolerance: as in `logme`.
        rounds: as in `logme`.
    """
    z2 = z.square()
    floor = _TINY * (z2.sum(0) + rest)
    rest = rest.clamp(min=0)
    if len(sigma) == 0:  # all features are 0: y is pure noise
        beta = samples / rest.maximum(floor)
        return 0.5 * (beta.log() - math.log(2 * math.pi) - 1)
    low, high = _TINY * float(sigma.max()), float(sigma.max()) / _TINY
    s = sigma[:, None]
    ratio = torch.ones_like(rest).clamp(low, high)  # λ = α/β, one per column
    for _ in range(rounds):
        share = s / (s + ratio)
        gamma = share.sum(0)
        length = (s * z2 / (ratio + s).square()).sum(0)
        error = ((1 - share).square() * z2).sum(0) + rest
        free = (1 - share).sum(0) + (samples - len(sigma))  # N − γ without cancellation
        update = (
            (gamma * error.maximum(floor) / (length * free))
            .nan_to_num(nan=high, posinf=high)
            .clamp(low, high)
        )
        change = ((update - ratio).abs() / ratio).max()
        ratio = update
        if change < tolerance:
            break
    # the minimum of β ↦ −(N/2) log β + (β/2)(e + λ‖m‖²), where e + λ‖m‖² = Σ z² λ/(λ + σ) + ρ
    misfit = (z2 * ratio / (ratio + s)).sum(0) + rest
    beta = samples / misfit.maximum(floor)
    return 0.5 * (beta.log() - math.log(2 * math.pi) - 1 - torch.log1p(s / ratio).sum(0) / samples)


def _spectrum(f: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Squared singular values (r,) of `f`, `y` in its left singular basis (r, C), and the rest of ‖y‖² (C,)."""
    n, d = f.shape
    if n >= d + y.shape[1]:
        # the triangle of [F, Y] = Q R holds R of F, Qᵀ Y, and below it what of Y lies outside of F's columns
        triangle = torch.linalg.qr(torch.cat((f, y), 1), mode="r").R
        u, s, _ = torch.linalg.svd(triangle[:d, :d])
        inside, outside = triangle[:d, d:], triangle[d:, d:].square().sum(0)
    else:
        u, s, _ = torch.linalg.svd(f, full_matrices=False)
        inside, outside = y, None
    z = u.T @ inside
    rank = int((s > max(n, d) * torch.finfo(torch.float64).eps * s.max()).sum())
    rest = (
        y.square().sum(0) - z[:rank].square().sum(0)
        if outside is None
        else outside + z[rank:].square().sum(0)
    )
    return s[:rank].square(), z[:rank], rest
