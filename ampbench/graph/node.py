"""Nodes: variables with their conditionals p(x_i | pa(x_i)).

See :mod:`ampbench.graph.model` for the kinds of conditionals, and :mod:`ampbench.graph.axes` for repeated variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ampbench.errors import GraphError, SimulationError
from ampbench.graph.axes import Axis, Previous, Tree
from ampbench.graph.coordinates import elementwise
from ampbench.graph.copies import copied, own
from ampbench.graph.gaps import filled, inside, stored_with_gaps, unusable
from ampbench.graph.precision import stored, warn_if_lost

Kind = Literal["density", "simulator", "learned"]


@dataclass(frozen=True)
class Node:
    """One variable and its conditional p(x_i | pa(x_i)); made by :func:`density`, :func:`simulator`, :func:`learned`.

    Arguments:
        name: the variable's name, unique in its graph.
        kind: ``density``, ``simulator`` or ``learned``.
        conditional: a distribution (density without parents), or a callable. It gets one tensor of shape (n, D_j)
            per parent, in the order of ``parents``, which is a copy; without parents it gets the integer n.
        parents: names of the parents.
        support: where the variable lives; families are transformed to respect it.
        size: D, the number of components, if it is to be checked; None accepts what comes.
        along: the axes along which the variable is repeated, the outer ones first.
        first: the conditional of repeats that follow none, where a parent is a :func:`ampbench.graph.previous` one; it
            gets the other parents.
        leaves: whether only the leaves of a tree, the innermost axis, have the variable.
        missing: smallest and largest share of the repeats whose value is missing in a simulation. The share is drawn
            for each simulation, and for each repeat along the outer axes.
        gaps: whether entries of a value may be missing, as NaN; see :mod:`ampbench.graph.gaps`.
        ragged: covariates with gaps among the ancestors, itself included: the variable has no value where one of them
            has none. :class:`ampbench.graph.Graph` fills this in.
    """

    name: str
    kind: Kind
    conditional: Distribution | Callable[..., Any]
    parents: tuple[str, ...] = ()
    support: constraints.Constraint = constraints.real
    size: int | None = None
    along: tuple[Axis, ...] = ()
    first: Distribution | Callable[..., Any] | None = None
    leaves: bool = False
    missing: tuple[float, float] = (0.0, 0.0)
    gaps: bool = False
    ragged: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise GraphError(f"node {self.name!r} {fault}")

    @property
    def incomplete(self) -> bool:
        """Whether some repeats may have no value."""
        return self.leaves or self.missing[1] > 0 or bool(self.ragged)

    @property
    def start(self) -> Node:
        """The node of repeats that follow none: itself, or one with the conditional ``first``."""
        if self.first is None:
            return self
        parents = tuple(name for name in self.parents if not isinstance(name, Previous))
        return replace(self, conditional=self.first, parents=parents, first=None)

    def distribution(self, *parents: Tensor) -> Distribution:
        """Return p(x_i | pa(x_i)); raises :class:`GraphError` if the node has no density."""
        distribution = self.conditional if isinstance(self.conditional, Distribution) else self._called(parents)
        if not isinstance(distribution, Distribution):
            raise GraphError(
                f"node {self.name!r} ({self.kind}) has no density: its conditional returned "
                f"{type(distribution).__name__}, not a torch Distribution; only density nodes (and learned nodes "
                "that return one) have a log_prob"
            )
        return distribution

    def sample(self, n: int, parents: tuple[Tensor, ...] = (), double: bool = False) -> Tensor:
        """Draw x_i given its parents, shape (n, D), in double precision if it is asked for or needed.

        Raises:
            SimulationError: NaN, a wrong shape, or values outside the support.

        Warns:
            PrecisionWarning: see :func:`ampbench.graph.precision.warn_if_lost`.
        """
        drawn = self._draw(n, parents)
        value = checked(self, n, drawn, double)
        if self.kind != "learned":
            raw = torch.as_tensor(drawn)
            warn_if_lost(self.name, filled(raw) if self.gaps else raw)
        return value

    def _draw(self, n: int, parents: tuple[Tensor, ...]) -> object:
        if isinstance(self.conditional, Distribution):
            return self.conditional.sample(torch.Size([n]))
        if self.kind == "simulator":
            parents = tuple(parent.detach() for parent in parents)  # a black box may be numpy
        assert not isinstance(self.conditional, Distribution)
        drawn = self._called(parents) if parents else self.conditional(n)
        if not isinstance(drawn, Distribution):
            return drawn
        return drawn.rsample() if drawn.has_rsample and self.kind == "learned" else drawn.sample()

    def _called(self, parents: tuple[Tensor, ...]) -> Any:
        """Call the conditional with copies of the parents, since it may work in place."""
        assert not isinstance(self.conditional, Distribution)
        return self.conditional(*map(copied, parents))


def density(
    name: str,
    conditional: Distribution | Callable[..., Distribution],
    parents: Iterable[str] = (),
    support: constraints.Constraint | None = None,
    size: int | None = None,
    along: Iterable[Axis] = (),
    first: Distribution | Callable[..., Distribution] | None = None,
    missing: tuple[float, float] = (0.0, 0.0),
    leaves: bool = False,
) -> Node:
    """A variable with a known conditional density.

    Arguments:
        conditional: a distribution with event shape (D,) for a root, of which the node keeps a copy; else a callable
            from parent tensors (n, D_j) to a distribution with batch shape (n,) and event shape (D,).
        support: by default the root distribution's own, and the real line for a callable.
        along, first, missing, leaves: of repeated variables; see :class:`Node`.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> density("theta", prior).sample(5).shape
        torch.Size([5, 2])
    """
    if isinstance(conditional, Distribution):
        if len(conditional.batch_shape) or len(conditional.event_shape) != 1:
            raise GraphError(
                f"node {name!r}: the distribution has batch shape {tuple(conditional.batch_shape)} and event shape "
                f"{tuple(conditional.event_shape)}, but a vector (batch shape (), event shape (D,)) is needed; "
                "wrap it in torch.distributions.Independent(..., 1)"
            )
        conditional = own(conditional)
        support = support or conditional.support
        size = size or conditional.event_shape[0]
    first = own(first) if isinstance(first, Distribution) else first
    repeated = (tuple(along), first, leaves, missing)
    return Node(name, "density", conditional, tuple(parents), own(support or constraints.real), size, *repeated)


def simulator(
    name: str,
    conditional: Callable[..., Any],
    parents: Iterable[str] = (),
    support: constraints.Constraint = constraints.real,
    size: int | None = None,
    along: Iterable[Axis] = (),
    first: Callable[..., Any] | None = None,
    missing: tuple[float, float] = (0.0, 0.0),
    leaves: bool = False,
    gaps: bool = False,
) -> Node:
    """A variable that can only be simulated: ``conditional(*parents)`` returns samples of shape (n, D).

    With ``gaps``, NaN is a missing entry, such as a trial that was not run; see :mod:`ampbench.graph.gaps`. The
    variable must then be observed, and have no children. The arguments ``along``, ``first``, ``missing`` and ``leaves``
    are those of repeated variables; see :class:`Node`.

    Example:
        >>> node = simulator("x", lambda theta: theta + torch.randn_like(theta), parents=["theta"])
        >>> node.sample(3, (torch.zeros(3, 2),)).shape
        torch.Size([3, 2])
    """
    repeated = (tuple(along), first, leaves, missing)
    return Node(name, "simulator", conditional, tuple(parents), own(support), size, *repeated, gaps)


@dataclass(frozen=True, eq=False)
class Design:
    """The conditional of a covariate: known rows (R_1, …, D), one for each repeat; NaN where there is no repeat."""

    rows: Tensor

    @property
    def known(self) -> Tensor:
        """Which repeats there are, booleans of shape (R_1, …)."""
        return ~self.rows.isnan().any(-1)

    @property
    def filler(self) -> Tensor:
        """Some known row, shape (D,)."""
        return self.rows[self.known][0]

    def __call__(self, n: int, repeats: tuple[int, ...]) -> Tensor:
        """Return rows of shape (n, R_1, …, D); along an axis with another number of repeats, repeats drawn at random.

        They are drawn with replacement, those of an inner axis within those of the outer ones.
        """
        index = []
        for axis, (there, wanted) in enumerate(zip(self.rows.shape[:-1], repeats, strict=True)):
            inner = (1,) * (len(repeats) - axis - 1)
            if there == wanted:
                index.append(torch.arange(wanted).reshape(*(1,) * (axis + 1), wanted, *inner))
            else:
                index.append(torch.randint(there, (n, *repeats[: axis + 1])).reshape(n, *repeats[: axis + 1], *inner))
        rows = self.rows[tuple(index)]
        return rows.expand(n, *repeats, rows.shape[-1])


def covariate(name: str, rows: Tensor, along: Iterable[Axis]) -> Node:
    """A known quantity of every repeat, such as a standard error; it is observed, and no latent influences it.

    Arguments:
        rows: values of the repeats along the axes, shape (R_1, …, D); NaN in groups that are smaller than the largest
            one: there, variables that depend on the covariate have no value either. In simulations with another number
            of repeats, repeats are drawn at random.
        along: the axes, the outer ones first.

    Raises:
        GraphError: the rows have another shape, are infinite, have NaN in some components only, or are all NaN.
    """
    axes, values = tuple(along), copied(torch.as_tensor(rows))
    if not axes or values.ndim != len(axes) + 1 or not values.numel():
        raise GraphError(
            f"covariate {name!r} has values of shape {tuple(values.shape)} along {len(axes)} axes; "
            "give (R_1, …, D), with a number of repeats R for each of one or more axes"
        )
    gaps = values.isnan()
    if bool(values.isinf().any()) or bool((gaps.any(-1) & ~gaps.all(-1)).any()) or bool(gaps.all()):
        raise GraphError(
            f"covariate {name!r} has infinite values, repeats of which some components are NaN, or no repeat without "
            "NaN; give finite values, and NaN in all components of repeats that do not exist"
        )
    values = values.to(stored(values[~gaps.any(-1)], min_rows=2).dtype)
    return Node(name, "simulator", Design(values), size=values.shape[-1], along=axes)


def learned(
    name: str,
    conditional: torch.nn.Module,
    parents: Iterable[str] = (),
    support: constraints.Constraint = constraints.real,
    size: int | None = None,
) -> Node:
    """A variable whose conditional is a module with parameters θ, to be learned from data together with q."""
    if not isinstance(conditional, torch.nn.Module):
        raise GraphError(f"learned node {name!r} needs a torch.nn.Module, got {type(conditional).__name__}")
    return Node(name, "learned", conditional, tuple(parents), support, size)


def _fault(node: Node) -> str:
    """Return what is wrong with the repetition or the gaps of a node; "" if nothing is."""
    axes = node.along
    if node.gaps and axes:
        return "is repeated and has gaps; give repeats without a value by missing=, and drop gaps"
    if node.gaps and elementwise(node.support).event_dim:
        return f"has gaps, but its support {node.support} is none of single components"
    lagged = [name for name in node.parents if isinstance(name, Previous)]
    if len({axis.name for axis in axes}) < len(axes):
        return f"is repeated twice along one axis: {', '.join(axis.name for axis in axes)}"
    if lagged and not (axes and axes[-1].linked):
        return f"has the previous {lagged[0]!r} as a parent, but its innermost axis is no chain and no tree"
    if lagged and node.first is None:
        return f"has the previous {lagged[0]!r} as a parent, but no conditional of the first repeat; give first="
    if node.first is not None and not lagged:
        return "has a conditional of the first repeat, but no previous(…) parent"
    if node.leaves and not (axes and isinstance(axes[-1], Tree)):
        return "is given at leaves only, but its innermost axis is no tree"
    low, high = node.missing
    if not 0 <= low <= high < 1:
        return f"has the range {node.missing} of missing shares; give two numbers in [0, 1), the smaller one first"
    return "" if axes or not high else "has missing repeats, but no axis"


def checked(node: Node, n: int, value: object, double: bool = False) -> Tensor:
    """Return ``value`` as a float tensor (n, D); raises :class:`SimulationError` that names the node and the fault.

    It is in double precision if that is asked for, or if rounding would lose information.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SimulationError(f"node {node.name!r} returned {type(value).__name__}, not a tensor or array") from error
    expected = f"({n}, {node.size if node.size is not None else 'D'})"
    if tensor.ndim != 2 or len(tensor) != n or tensor.shape[1] != (node.size or tensor.shape[1]):
        raise SimulationError(f"node {node.name!r} has shape {tuple(tensor.shape)}, expected {expected}")
    kept = stored_with_gaps(tensor, double) if node.gaps else stored(tensor, double)
    tensor = copied(kept)  # a simulator may overwrite in its next call what it returned
    if bad := int(unusable(tensor, node.gaps).sum()):
        what = "infinite values, or no value at all," if node.gaps else "NaN or infinite values"
        raise SimulationError(
            f"node {node.name!r} has {what} in {bad} of {n} rows; "
            "repair the simulator or let it return a finite code for failed simulations"
        )
    fits = inside(node.support, tensor.detach()) if node.gaps else node.support.check(tensor.detach())
    if not bool(torch.all(fits)):
        outside = tensor[~fits.reshape(n, -1).all(1)]
        raise SimulationError(
            f"node {node.name!r} has values outside its support {node.support} in {len(outside)} of {n} rows; "
            f"the first is {outside[0].tolist()}"
        )
    return tensor
