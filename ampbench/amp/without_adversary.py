"""Divergences without an adversary: only the families are trained."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn

from ampbench.interfaces import Divergence, Tuples


class WithoutAdversary(Divergence, ABC):
    """A divergence without a trained adversary; a subclass defines the families' loss."""

    def adversary(self, features: int) -> nn.Module:
        """Return a module without parameters."""
        return nn.Identity()

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return 0: there are no parameters to train."""
        return p.joint.new_zeros(())


class MaximumLikelihood(WithoutAdversary):
    """−E_p[log q(variable | context)], up to a constant the forward Kullback-Leibler divergence."""

    likelihood = True

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return −E_p[log q(variable | context)].

        Raises:
            UsageError: the family has no density.
        """
        return -p.densities.family(p.detach()).mean()
