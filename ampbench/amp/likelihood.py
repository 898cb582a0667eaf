"""The divergence of maximum likelihood, which trains conditionals that have a density, without an adversary."""

from __future__ import annotations

from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples


class MaximumLikelihood(Divergence):
    """−E_p[log q(variable | context)], up to a constant the forward Kullback-Leibler divergence."""

    likelihood = True

    def adversary(self, features: int) -> nn.Module:
        """Return a module without parameters."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there are no parameters to train."""
        return p.joint.new_zeros(())

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −E_p[log q(variable | context)].

        Raises:
            UsageError: the family has no density.
        """
        return -p.densities.family(p.detach()).mean()
