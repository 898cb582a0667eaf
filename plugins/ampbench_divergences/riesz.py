r"""Riesz kernel scores of random marginals: as sharp as their gradients allow.

For each item of evidence, a subset A of the k components that are inferred is drawn: all of them for every second item,
and a random number of random ones for the others. With the simulated tuple t of the top-down chain and particles
t₁ … t_L of the bottom-up chain,

.. math:: S = \frac1L \sum_l k_A(t_l, t) - \frac1{2 L (L - 1)} \sum_{l \ne l'} k_A(t_l, t_{l'}),
          \qquad k_A(a, b) = \frac1\beta \left( \|a_A - b_A\|^2 + s^2 \right)^{\beta/2},
          \qquad \beta = \max\left(1 - \tfrac{|A|}2 + \delta,\; -1\right)

is an unbiased estimate of a kernel score, strictly proper for β < 2 (½ log takes the place of the power at β = 0): the
exact posterior alone minimises its mean over A, and no adversary is needed.

*Why this power.* The smaller β, the finer the structure that moves the score. But a particle at distance r pulls with
r to the power β − 1, and in |A| dimensions near particles are found with density r to the power |A| − 1: the variance
of the gradient is finite for β > 1 − |A| / 2 only. So β is just above that, by the margin δ; and not below −1, where a
particle would feel its nearest neighbours only. In one dimension this is close to the energy score (β = 1), in two to
the logarithm, in four and more to Coulomb's potential.

*Why marginals.* In the distance of all components a narrow one hides behind the wide ones.

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

from ampbench.interfaces import Tuples
from ampbench.options import at_least, between
from ampbench.statistics.scoring_rules import kernel_score
from ampbench_divergences.without_adversary import WithoutAdversary, several

SHARPEST = -1.0
"""The least power."""
LOGARITHM = 1e-3
"""A power nearer to 0 than this is taken to be this: its potential is the logarithm, but for a constant."""


@final
class Riesz(WithoutAdversary):
    """Riesz kernel scores of random marginals, in network coordinates; needs at least two particles.

    Arguments:
        margin: δ, how far the power is above the one at which gradients cease to have a variance.
        softening: s, below which structure is blurred, in standard deviations of the prior.
        refine: for how long at most a new adversary judges the families in the end, as a share of the training, so that
            its ratio can thin their draws; 0: not at all. It starts from nothing, and stops once it learns no more.
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
        truth, particles = p.joint, several("riesz", p, q)
        inferred = (particles != truth).flatten(0, -2).any(0)  # the rest is evidence, the same for all
        truth, particles = truth[..., inferred], particles[..., inferred]
        chosen = subsets(len(truth), truth.shape[-1], truth.device)
        beta = (1 - chosen.sum(-1) / 2 + self.margin).clamp_min(SHARPEST)
        beta = torch.where(beta.abs() < LOGARITHM, LOGARITHM, beta)

        def kernel(a: Tensor, b: Tensor) -> Tensor:
            softened = ((a - b) * chosen).square().sum(-1) + self.softening**2
            return softened ** (beta / 2) / beta

        return kernel_score(particles, truth, kernel).mean()


def subsets(rows: int, components: int, device: torch.device) -> Tensor:
    """Return which components each row chooses, as 0 and 1, shape (rows, components); every second row chooses all."""
    sizes = torch.randint(1, max(components, 1) + 1, (rows, 1), device=device)
    ranks = torch.rand(rows, components, device=device).argsort(-1)
    chosen = (ranks < sizes).float()
    chosen[::2] = 1.0
    return chosen
