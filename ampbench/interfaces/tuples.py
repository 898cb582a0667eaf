r"""Local tuples: where the adversaries sit.

For each inverse factor i the tuple is :math:`T_i = \{x_i\} \cup \tilde{\mathrm{pa}}(x_i)`. If q and p agree on every
tuple, then :math:`q(x_i \mid \tilde{\mathrm{pa}}) = p(x_i \mid \tilde{\mathrm{pa}})`, and since the inverse is an I-map
of p their product is the exact posterior: the local fixed point is the global one (Karaletsos 2016, section 3.1), and
no network ever sees the joint. A tuple contained in another is dropped, because matching the larger one matches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Factor

Scope = Literal["local", "global", "evidence"]


class Laws:
    """The densities that are known at a site, in network coordinates; a site where none is known has this one.

    A divergence that needs a density asks the tuples for it; where it is unknown, the answer is an error that says why.
    """

    def family(self, tuples: Tuples) -> Tensor:
        """Return log q(variable | context), shape (*,), differentiable in φ.

        Raises:
            UsageError: a family at this site has no density.
        """
        raise UsageError("no family is known here, so that its density cannot be evaluated")

    def likelihood(self, tuples: Tuples) -> Tensor:
        """Return log p(context | variable) up to a constant, shape (*,), differentiable in the tuples and in θ.

        Raises:
            UsageError: a factor of the model that it needs has no density, or reaches outside the tuple.
        """
        raise UsageError("no model is known here, so that its likelihood cannot be evaluated")

    def prior(self, tuples: Tuples) -> Tensor:
        """Return the sum of log p(x_j | pa(x_j)) over the learned x_j of the variable that have a density, shape (*,).

        Those whose parents lie outside the tuple do not count; without any left it is 0. Differentiable in θ.
        """
        return tuples.joint.new_zeros(tuples.joint.shape[:-1])


UNKNOWN = Laws()


@dataclass(frozen=True)
class Tuples:
    """What one chain shows at one site.

    Attributes:
        variable: shape (*, D): the inferred part, x_i.
        context: shape (*, C): the part that it was inferred from, pã(x_i).
        laws: the densities that are known at this site.
    """

    variable: Tensor
    context: Tensor
    laws: Laws = UNKNOWN

    @property
    def joint(self) -> Tensor:
        """Both parts, shape (*, D + C)."""
        return torch.cat([self.variable, self.context], dim=-1)

    def detach(self) -> Tuples:
        """The same numbers, cut from the graph of gradients."""
        return Tuples(self.variable.detach(), self.context.detach(), self.laws)


@dataclass(frozen=True)
class Site:
    """One adversary's view: which variables are judged, given which others."""

    variables: tuple[str, ...]
    context: tuple[str, ...]

    def __str__(self) -> str:
        return f"({', '.join(self.variables)} | {', '.join(self.context)})"


def sites(
    factors: tuple[Factor, ...], observed: Iterable[str], scope: Scope, learned: Iterable[Factor] = ()
) -> tuple[Site, ...]:
    """Return the sites of an inverse factorization.

    Arguments:
        factors: the inverse, in sampling order.
        observed: the evidence.
        scope: ``local``: one site per tuple that no other contains (section 3.1);
            ``global``: a single site on all variables (ALI/BiGAN, GATSBI);
            ``evidence``: a single site on the evidence, which teaches the model but no inverse (GAN).
        learned: the factors with parameters θ; each has a local tuple as well, if its variables are all there.

    Example:
        >>> chain = (Factor("z1", ("x",)), Factor("z2", ("z1",)))
        >>> print(*sites(chain, ["x"], "local"))
        (z1 | x) (z2 | z1)
        >>> print(*sites(chain, ["x"], "global"))
        (z1, z2 | x)
        >>> print(*sites(chain, ["x"], "evidence"))
        ( | x)
    """
    observed = tuple(observed)
    inferred = tuple(factor.variable for factor in factors)
    if scope == "evidence":
        return (Site((), observed),)
    if scope == "global":
        return (Site(inferred, observed),)
    kept = [factor for factor in factors if not any(factor.scope < other.scope for other in factors)]
    local = [_site(factor, factors) for factor in kept]
    for factor in learned:
        present = factor.scope <= {*inferred, *observed}
        if present and not any(factor.scope <= {*site.variables, *site.context} for site in local):
            latents = tuple(name for name in inferred if name in factor.scope)
            local.append(Site(latents, tuple(name for name in observed if name in factor.scope)))
    return tuple(local)


def _site(largest: Factor, factors: tuple[Factor, ...]) -> Site:
    """The site of a kept tuple: every variable whose own tuple lies inside it is judged there."""
    judged = tuple(factor.variable for factor in factors if factor.scope <= largest.scope)
    return Site(judged, tuple(name for name in largest.context if name not in judged))
