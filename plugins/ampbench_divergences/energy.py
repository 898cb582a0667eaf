r"""Conditional energy score, a strictly proper scoring rule.

For each item of evidence, with the simulated tuple t of the top-down chain and particles t₁ … t_L of the bottom-up
chain,

.. math:: S_\beta = \frac1L \sum_l \|t_l - t\|^\beta
          - \frac1{2 L (L - 1)} \sum_{l \ne l'} \|t_l - t_{l'}\|^\beta

is an unbiased estimate of the energy score, which is strictly proper for 0 < β < 2: the exact posterior alone
minimises it, and no adversary is needed. Distances are between whole tuples. If the context is evidence, all particles
share it, and distances reduce to those between the variables. If the context was inferred, the score compares variable
and context jointly, given the evidence.

References:
    Pacchiardi & Dutta 2022, *Likelihood-free inference with generative neural networks via scoring rule minimization*,
    arXiv:2205.15784.
    Gneiting & Raftery 2007, *Strictly proper scoring rules, prediction, and estimation*, section 5.1.
"""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from ampbench.amp.without_adversary import WithoutAdversary
from ampbench.errors import UsageError
from ampbench.interfaces import Tuples
from ampbench.statistics.scoring_rules import kernel_score
from ampbench_divergences.particles import multiple_particles

SQUARED_DISTANCE_OFFSET = 1e-12
"""Added to squared distances: the power has no finite gradient where two particles coincide."""


@final
class Energy(WithoutAdversary):
    """Conditional energy score, in network coordinates; needs at least two particles.

    Arguments:
        beta: β, the power of the distance.

    Raises:
        UsageError: β is not between 0 and 2.
    """

    paired = True

    def __init__(self, beta: float = 1.0) -> None:
        if not 0 < beta < 2:
            raise UsageError(f"the energy score is strictly proper for 0 < beta < 2, got beta={beta}; 1 is usual")
        self.beta = beta

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the mean score over the items of evidence.

        Raises:
            UsageError: q has a single particle per item of evidence.
        """
        truth, particles = p.joint, multiple_particles("energy", p, q)
        return kernel_score(particles, truth, self._distance).mean()

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        return ((a - b).square().sum(-1) + SQUARED_DISTANCE_OFFSET) ** (self.beta / 2)
