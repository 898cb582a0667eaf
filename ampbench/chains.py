r"""The bottom-up chain: from evidence through the inverse factors to the latents.

.. math:: q(X_L \mid X_O) = \prod_i q(x_i \mid \tilde{\mathrm{pa}}(x_i))
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ampbench.factorization import Factor
from ampbench.graph import join
from ampbench.interfaces import Family
from ampbench.tuples import Site, Tuples


class BottomUp(nn.Module):
    """One family per inverse factor, sampled in order.

    Arguments:
        factors: the inverse factorization, in sampling order.
        sizes: number of coordinates of each variable.
        family: builds the conditional of each factor.
    """

    def __init__(self, factors: tuple[Factor, ...], sizes: Mapping[str, int], family: Family) -> None:
        super().__init__()
        self.factors = factors
        self.conditionals = nn.ModuleList(
            family(sizes[factor.variable], sum(sizes[name] for name in factor.context)) for factor in factors
        )

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def forward(self, evidence: Mapping[str, Tensor], particles: int) -> dict[str, Tensor]:
        """Infer all latents from evidence.

        Arguments:
            evidence: one tensor (B, D_i) per observed variable.
            particles: L, how many samples to draw for each item of evidence.

        Returns:
            The evidence and the inferred latents, each of shape (L, B, D_i).
        """
        values = {name: value.expand(particles, *value.shape) for name, value in evidence.items()}
        for factor, conditional in zip(self.factors, self.conditionals, strict=True):
            values[factor.variable] = conditional(join(values, factor.context))
        return values


def view(values: Mapping[str, Tensor], site: Site) -> Tuples:
    """Return what a chain with these values shows at a site."""
    return Tuples(join(values, site.variables), join(values, site.context))
