r"""Conditional energy score: scoring-rule minimisation.

For each item of evidence, with the simulated tuple t of the top-down chain and particles t₁ … t_L of the bottom-up
chain,

.. math:: S_\beta = \frac1L \sum_l k_\beta(t_l, t) - \frac1{2 L (L - 1)} \sum_{l \ne l'} k_\beta(t_l, t_{l'}),
          \qquad k_\beta(a, b) = \frac{(\|a - b\|^2 + s^2)^{\beta/2}}{\beta},
          \qquad k_0(a, b) = \tfrac12 \log(\|a - b\|^2 + s^2)

is an unbiased estimate of a kernel score, which is strictly proper for β < 2: the exact posterior alone minimises it,
and no adversary is needed. β = 1 is the energy score. The smaller β, the more the score sees of fine structure (how the
shares of the mass lie on a thin ridge), and the less of where far modes are; below 0 it is half a squared MMD with the
inverse multiquadric as its kernel, a potential by which particles are drawn to the truth and repel each other.
Structure finer than s, the softening, is blurred. Noise rises as β falls: a sharp kernel feels near particles only.

The distance is that of the whole tuple. Where the context is evidence all particles share it, and the distance is the
one between the variables; where it was inferred itself, the score judges both together, given the evidence.

References:
    Pacchiardi & Dutta 2022, *Likelihood-free inference with generative neural networks via scoring rule minimization*,
    arXiv:2205.15784.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*, section 5.
    Micchelli 1986, *Interpolation of scattered data: distance matrices and conditionally positive definite functions*
    (why these kernels are proper).
    Unterthiner et al. 2018, *Coulomb GANs*, arXiv:1708.08819 (particles that attract and repel each other).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.options import at_least, between
from ampbench.tuples import Tuples
from ampbench_divergences.without_adversary import WithoutAdversary


@final
class Energy(WithoutAdversary):
    """Conditional energy score, in network coordinates; needs at least two particles.

    Arguments:
        beta: β, the power of the distance; -1 sees fine structure.
        softening: s, in standard deviations of the prior.
        refine: for how long a new adversary judges the families in the end, as a share of the training, so that its
            ratio can thin their draws; 0: not at all.

    Raises:
        UsageError: β is 2 or more.
    """

    paired = True

    def __init__(self, beta: float = 1.0, softening: float = 0.03, refine: float = 0.0) -> None:
        if not -math.inf < beta < 2:
            raise UsageError(f"the energy score is strictly proper for beta < 2, got beta={beta}; 1 is usual")
        between(self, softening=(softening, 0, math.inf))
        at_least(self, refine=(refine, 0))
        self.beta = beta
        self.softening = softening
        self.refine = refine

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the mean score over the items of evidence.

        Raises:
            UsageError: q has a single particle per item of evidence.
        """
        truth, particles = p.joint, q.joint  # (B, D), (L, B, D)
        number = len(particles) if particles.ndim > truth.ndim else 1
        if number < 2:
            raise UsageError(
                f"divergence 'energy' needs at least 2 particles per item of evidence, got {number}; set particles=2"
            )
        first, second = torch.triu_indices(number, number, offset=1, device=particles.device)
        spread = self._kernel(particles[first], particles[second]).mean()
        return self._kernel(particles, truth).mean() - spread / 2

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        softened = (a - b).square().sum(-1) + self.softening**2
        return softened.log() / 2 if self.beta == 0 else softened ** (self.beta / 2) / self.beta
