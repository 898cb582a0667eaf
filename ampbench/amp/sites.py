r"""Sites: the tuples of variables at which adversaries compare the chains.

For each inverse factor i the tuple is :math:`T_i = \{x_i\} \cup \tilde{\mathrm{pa}}(x_i)`. If q and p agree on every
tuple, then :math:`q(x_i \mid \tilde{\mathrm{pa}}) = p(x_i \mid \tilde{\mathrm{pa}})`, and since the inverse is an I-map
of p, the product of these conditionals is the exact posterior: the local fixed point is the global one (Karaletsos
2016, section 3.1), and no network has the joint as its input. A tuple contained in another one needs no adversary,
because equality on the larger tuple implies equality on the smaller one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ampbench.graph import Factor
from ampbench.graph.factorization import Context

Scope = Literal["local", "global", "evidence"]


@dataclass(frozen=True)
class Site:
    """The tuple of one adversary.

    Attributes:
        variables: the inferred variables of the tuple.
        context: the other variables of the tuple.
    """

    variables: tuple[str, ...]
    context: Sequence[str]

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
    factors = tuple(factor for factor in factors if not factor.barren)
    inferred = tuple(factor.variable for factor in factors)
    if scope == "evidence":
        return (Site((), observed),)
    if scope == "global":
        return (Site(inferred, observed),)
    by_variable = {factor.variable: factor for factor in factors}
    contained = {name for factor in factors for name in _inside(factor, by_variable)}
    local = [_site(factor, by_variable) for factor in factors if factor.variable not in contained]
    return (*local, *_learned_sites(learned, local, inferred, observed))


def _inside(largest: Factor, by_variable: Mapping[str, Factor]) -> list[str]:
    """Return the latents in the context of a factor whose own tuples the tuple of the factor contains."""
    above = [by_variable[name] for name in latents_of(largest.context, by_variable)]
    small = [factor for factor in above if len(factor.context) < len(largest.context)]  # the others cannot be inside
    return [factor.variable for factor in small if factor.scope <= largest.scope]


def latents_of(context: Sequence[str], latents: Container[str]) -> tuple[str, ...]:
    """Return the latents of a context; the evidence of an inverse factor is not read."""
    return context.separator if isinstance(context, Context) else tuple(name for name in context if name in latents)


def _site(largest: Factor, by_variable: Mapping[str, Factor]) -> Site:
    """Return the site of a maximal tuple; its inferred variables are all those whose own tuples it contains."""
    inside = {largest.variable, *_inside(largest, by_variable)}
    inferred = tuple(name for name in (*latents_of(largest.context, by_variable), largest.variable) if name in inside)
    if len(inside) == 1:
        return Site(inferred, largest.context)  # not read
    return Site(inferred, tuple(name for name in largest.context if name not in inside))


def _learned_sites(
    learned: Iterable[Factor], local: Sequence[Site], inferred: Sequence[str], observed: Sequence[str]
) -> list[Site]:
    """Return the sites of those learned factors that no other site contains, if the inverse has their variables."""
    latents, known = {*inferred}, {*inferred, *observed}
    made: list[Site] = []
    for factor in learned:
        inside = latents & factor.scope
        around = [site for site in (*local, *made) if inside <= {*site.variables, *latents_of(site.context, latents)}]
        if factor.scope <= known and not any(factor.scope <= {*site.variables, *site.context} for site in around):
            variables = tuple(name for name in inferred if name in inside)
            made.append(Site(variables, tuple(name for name in observed if name in factor.scope)))
    return made
