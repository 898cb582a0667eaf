r"""Riesz kernel scores of random marginals.

For each item of evidence, a subset A of the k inferred components is drawn: for every second item all components, for
the others a subset of random size. With the simulated tuple t of the top-down chain and particles t₁ … t_L of the
bottom-up chain,

.. math:: S = \frac1L \sum_l k_A(t_l, t) - \frac1{2 L (L - 1)} \sum_{l \ne l'} k_A(t_l, t_{l'}),
          \qquad k_A(a, b) = \frac1\beta \left( \|a_A - b_A\|^2 + s^2 \right)^{\beta/2},
          \qquad \beta = \max\left(1 - \tfrac{|A|}2 + \delta,\; -1\right)

is an unbiased estimate of a kernel score, strictly proper for β < 2 (with ½ log in place of the power at β = 0): the
exact posterior alone minimises its mean over A, and no adversary is needed.

*The power β.* The smaller β, the more sensitive is the score to fine structure. But the gradient from a particle at
distance r is proportional to r to the power β − 1, and in |A| dimensions the distances have a density proportional to
r to the power |A| − 1: the variance of the gradient is finite only for β > 1 − |A| / 2. Therefore β exceeds this bound
by the margin δ, and is at least −1, because with smaller powers only the nearest neighbours contribute to the gradient.
In one dimension S is close to the energy score with β = ½; in two dimensions the kernel is close to the logarithm, in
four and more to 1/r, Coulomb's potential.

*The marginals.* In the distance over all components, wide components dominate narrow ones.

References:
    Hertrich, Wald, Altekrüger, Hagemann 2024, *Generative sliced MMD flows with Riesz kernels*, arXiv:2305.11463.
    Pacchiardi & Dutta 2022, *Likelihood-free inference with generative neural networks via scoring rule minimization*,
    arXiv:2205.15784.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*, section 5.
    Micchelli 1986, *Interpolation of scattered data: distance matrices and conditionally positive definite functions*
    (why the softened powers are proper).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from ampbench.amp.without_adversary import WithoutAdversary
from ampbench.interfaces import Tuples
from ampbench.options import at_least, between
from ampbench.statistics.scoring_rules import kernel_score
from ampbench_divergences.particles import multiple_particles

MIN_POWER = -1.0
"""Minimum of the power β."""
LOGARITHMIC_POWER = 1e-3
"""Power that replaces all |β| below it: the kernel is then the logarithm, up to a constant and terms of this order."""


@final
class Riesz(WithoutAdversary):
    """Riesz kernel scores of random marginals, in network coordinates; needs at least two particles.

    Arguments:
        margin: δ, difference of the power to the bound at which the variance of gradients becomes infinite.
        softening: s, the length below which the kernel is smooth, in standard deviations of the prior.
        refine: maximum number of steps for which a new adversary is trained after the training of the families, so that
            draws can be resampled by its density ratio, as a share of the training's steps; 0: none. The adversary
            starts untrained; its training stops early when its held-out loss no longer improves.
    """

    paired = True

    def __init__(self, margin: float = 0.1, softening: float = 0.01, refine: float = 3.0) -> None:
        between(self, margin=(margin, 0, 1), softening=(softening, 0, math.inf))
        at_least(self, refine=(refine, 0))
        self.margin = margin
        self.softening = softening
        self.refine = refine

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the mean score over the items of evidence.

        Raises:
            UsageError: q has a single particle per item of evidence.
        """
        truth, particles = p.joint, multiple_particles("riesz", p, q)
        inferred = (
            (particles != truth).flatten(0, -2).any(0)
        )  # the other components are evidence, equal in all particles
        truth, particles = truth[..., inferred], particles[..., inferred]
        rows = truth.shape[:-1]  # (B,), or (M, B) of several members
        chosen = subsets(rows.numel(), truth.shape[-1], truth.device).unflatten(0, rows)
        beta = (1 - chosen.sum(-1) / 2 + self.margin).clamp_min(MIN_POWER)
        beta = torch.where(beta.abs() < LOGARITHMIC_POWER, LOGARITHMIC_POWER, beta)

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            softened = ((a - b) * chosen).square().sum(-1) + self.softening**2
            return softened ** (beta / 2) / beta

        return kernel_score(particles, truth, kernel).mean()


def subsets(rows: int, components: int, device: torch.device) -> Tensor:
    """Return a random subset of the components for each row, as 0 and 1, (rows, components); all for even rows."""
    sizes = torch.randint(1, max(components, 1) + 1, (rows, 1), device=device)
    ranks = torch.rand(rows, components, device=device).argsort(-1)
    chosen = (ranks < sizes).float()
    chosen[::2] = 1.0
    return chosen
