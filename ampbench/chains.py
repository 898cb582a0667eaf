r"""The bottom-up chain: from evidence through the inverse factors to the latents.

.. math:: q(X_L \mid X_O) = \prod_i q(x_i \mid \tilde{\mathrm{pa}}(x_i))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.factorization import Factor
from ampbench.graph import join
from ampbench.interfaces import Family, HasDensity
from ampbench.tuples import UNKNOWN, Laws, Site, Tuples


class BottomUp(nn.Module):
    """One family per inverse factor, sampled in order.

    Arguments:
        factors: the inverse factorization, in sampling order.
        sizes: number of coordinates of each variable.
        families: build the conditionals, one per factor.
    """

    def __init__(self, factors: Sequence[Factor], sizes: Mapping[str, int], families: Sequence[Family]) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.contexts = {factor.variable: sum(sizes[name] for name in factor.context) for factor in factors}
        self.conditionals = nn.ModuleList(
            family(sizes[factor.variable], self.contexts[factor.variable])
            for factor, family in zip(factors, families, strict=True)
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

    def log_prob(self, values: Mapping[str, Tensor], variables: Iterable[str]) -> Tensor:
        """Return the sum of log q(x_i | pã(x_i)) over some latents, shape (*,), for values (*, D_i).

        Raises:
            UsageError: the family of one of them has no density.
        """
        total = torch.zeros((), device=self.device)
        wanted = set(variables)
        for factor, conditional in zip(self.factors, self.conditionals, strict=True):
            if factor.variable not in wanted:
                continue
            if not isinstance(conditional, HasDensity):
                raise UsageError(
                    f"the family of {factor} has no density, but its divergence needs one; "
                    "take a family with a density, such as gaussian, mixture or flow"
                )
            total = total + conditional.log_prob(values[factor.variable], join(values, factor.context))
        return total


class SiteLaws(Laws):
    """The densities of a site: of its families, and of the model where it has one.

    Arguments:
        bottom_up: the families.
        site: whose tuples are looked at.
        sizes: number of coordinates of each variable.
        log_likelihood: from values of the site's variables to log p(context | variables), or to the error that says why
            there is none.
    """

    def __init__(
        self,
        bottom_up: BottomUp,
        site: Site,
        sizes: Mapping[str, int],
        log_likelihood: Callable[[Mapping[str, Tensor]], Tensor],
    ) -> None:
        self.bottom_up = bottom_up
        self.site = site
        self.sizes = sizes
        self.log_likelihood = log_likelihood

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(variable | context), shape (*,)."""
        return self.bottom_up.log_prob(self._values(tuples), self.site.variables)

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Return log p(context | variable), shape (*,)."""
        return self.log_likelihood(self._values(tuples))

    def _values(self, tuples: Tuples) -> dict[str, Tensor]:
        names = (*self.site.variables, *self.site.context)
        return dict(zip(names, tuples.joint.split([self.sizes[name] for name in names], dim=-1), strict=True))


def view(values: Mapping[str, Tensor], site: Site, laws: Laws = UNKNOWN) -> Tuples:
    """Return what a chain with these values shows at a site."""
    return Tuples(join(values, site.variables), join(values, site.context), laws)
