r"""Sites: the tuples of variables at which adversaries compare the chains.

For each inverse factor i the tuple is :math:`T_i = \{x_i\} \cup \tilde{\mathrm{pa}}(x_i)`. If q and p agree on every
tuple, then :math:`q(x_i \mid \tilde{\mathrm{pa}}) = p(x_i \mid \tilde{\mathrm{pa}})`, and since the inverse is an I-map
of p, the product of these conditionals is the exact posterior: the local fixed point is the global one (Karaletsos
2016, section 3.1), and no network has the joint as its input. A tuple contained in another one needs no adversary,
because equality on the larger tuple implies equality on the smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ampbench.graph import Factor

Scope = Literal["local", "global", "evidence"]


@dataclass(frozen=True)
class Site:
    """The tuple of one adversary.

    Attributes:
        variables: the inferred variables of the tuple.
        context: the other variables of the tuple.
    """

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
        scope: ``local``: one site per tuple that no other tuple contains (section 3.1);
            ``global``: a single site on all variables (ALI/BiGAN, GATSBI);
            ``evidence``: a single site on the evidence, which trains a model but no inverse (GAN).
        learned: the factors with parameters θ. The tuple {x_i} ∪ pa(x_i) of each is a site too, if no other site
            contains it and the inverse has all its variables.

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
    maximal = [factor for factor in factors if not any(factor.scope < other.scope for other in factors)]
    local = [_site(factor, factors) for factor in maximal]
    for factor in learned:
        present = factor.scope <= {*inferred, *observed}
        if present and not any(factor.scope <= {*site.variables, *site.context} for site in local):
            latents = tuple(name for name in inferred if name in factor.scope)
            local.append(Site(latents, tuple(name for name in observed if name in factor.scope)))
    return tuple(local)


def _site(largest: Factor, factors: tuple[Factor, ...]) -> Site:
    """Return the site of a maximal tuple; its inferred variables are all those whose own tuples it contains."""
    inferred = tuple(factor.variable for factor in factors if factor.scope <= largest.scope)
    return Site(inferred, tuple(name for name in largest.context if name not in inferred))
