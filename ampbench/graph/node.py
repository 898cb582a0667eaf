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
from ampbench.graph.copies import copied, own
from ampbench.graph.failures import Report
from ampbench.graph.gaps import filled, inside, stored_with_gaps, unusable
from ampbench.graph.outputs import read_output
from ampbench.graph.precision import stored, warn_if_lost
from ampbench.graph.priors import as_distribution
from ampbench.graph.supports import elementwise

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
        names: of the D components, for tables and plots.
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
    names: tuple[str, ...] = ()

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

    def sample(
        self, n: int, parents: tuple[Tensor, ...] = (), double: bool = False, report: Report | None = None
    ) -> Tensor:
        """Draw x_i given its parents, shape (n, D), in double precision if it is asked for or needed.

        Arguments:
            n: number of draws.
            parents: values (n, D_j) of the parents.
            double: whether the variable stays in double precision in any case.
            report: takes the layout of the output, and says whether a simulator may fail.

        Raises:
            SimulationError: NaN, a wrong shape, or values outside the support.

        Warns:
            PrecisionWarning: see :func:`ampbench.graph.precision.warn_if_lost`.
        """
        drawn, layout = read_output(f"node {self.name!r}", self._draw(n, parents), n, self.size)
        if report is not None:
            report.layouts[self.name] = layout
        value = checked(self, n, drawn, double, self.kind == "simulator" and report is not None and report.tolerant)
        self.warn_if_rounded(drawn)
        return value

    def warn_if_rounded(self, drawn: Tensor) -> None:
        """Warn if rounding lost the information of draws (n, D); gaps and failed rows are left aside.

        Warns:
            PrecisionWarning: see :func:`ampbench.graph.precision.warn_if_lost`.
        """
        if self.kind == "learned":
            return
        bad = unusable(drawn, self.gaps)
        usable = drawn[~bad] if bool(bad.any()) else drawn
        warn_if_lost(self.name, filled(usable) if self.gaps else usable)

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
    conditional: Any,
    parents: Iterable[str] = (),
    support: constraints.Constraint | None = None,
    size: int | None = None,
    along: Iterable[Axis] = (),
    first: Distribution | Callable[..., Distribution] | None = None,
    missing: tuple[float, float] = (0.0, 0.0),
    leaves: bool = False,
    names: Iterable[str] = (),
) -> Node:
    """A variable with a known conditional density.

    Arguments:
        conditional: a prior for a root, such as a distribution with event shape (D,), of which the node keeps a copy;
            see :mod:`ampbench.graph.priors` for all that it may be. Otherwise a callable from parent tensors (n, D_j)
            to a distribution with batch shape (n,) and event shape (D,).
        support: by default that of the prior, and the real line for a callable.
        along, first, missing, leaves: of repeated variables; see :class:`Node`.
        names: of the D components, for tables and plots; by default ``theta[0]``, ``theta[1]``, ….

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> density("theta", prior).sample(5).shape
        torch.Size([5, 2])

    Raises:
        GraphError: the prior is of a type that is not known, draws matrices, does not exist, or has no support.

    Warns:
        SupportWarning: nothing says in which region the draws of the prior lie.
    """
    parents = tuple(parents)
    if isinstance(conditional, Distribution) or not parents:
        law = as_distribution(conditional, f"node {name!r}: the prior", support)
        support = support or law.support
        size = size or law.event_shape[0]
        conditional = own(law)
    first = own(first) if isinstance(first, Distribution) else first
    repeated = (tuple(along), first, leaves, missing)
    support = own(support or constraints.real)
    return Node(name, "density", conditional, parents, support, size, *repeated, names=_names(name, names))


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
    names: Iterable[str] = (),
    gaps: bool = False,
) -> Node:
    """A variable that can only be simulated: ``conditional(*parents)`` returns samples of shape (n, D).

    With ``gaps``, NaN is a missing entry, such as a trial that was not run; see :mod:`ampbench.graph.gaps`. The
    variable must then be observed, and have no children. The arguments ``along``, ``first``, ``missing`` and ``leaves``
    are those of repeated variables, and ``names`` are of the components; see :class:`Node`.

    Example:
        >>> node = simulator("x", lambda theta: theta + torch.randn_like(theta), parents=["theta"])
        >>> node.sample(3, (torch.zeros(3, 2),)).shape
        torch.Size([3, 2])
    """
    repeated = (tuple(along), first, leaves, missing)
    of_components = _names(name, names)
    return Node(
        name, "simulator", conditional, tuple(parents), own(support), size, *repeated, gaps, names=of_components
    )


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


def _names(node: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return names of components as a tuple."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise GraphError(f"node {node!r} has the names {names!r}; give a list of texts, one for each component")
    return tuple(names)


def _fault(node: Node) -> str:
    """Return what is wrong with the names, the repetition or the gaps of a node; "" if nothing is."""
    axes, names = node.along, node.names
    if bad := [each for each in names if not isinstance(each, str) or not each]:
        return f"has the name {bad[0]!r} of a component; give texts"
    if twice := [each for each in names if names.count(each) > 1]:
        return f"has the name {twice[0]!r} of a component twice"
    if names and node.size is not None and len(names) != node.size:
        return f"has {len(names)} names ({', '.join(names)}) for {node.size} components; give one for each"
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


def checked(node: Node, n: int, value: object, double: bool = False, tolerant: bool = False) -> Tensor:
    """Return ``value`` as a float tensor (n, D); raises :class:`SimulationError` that names the node and the fault.

    It is in double precision if that is asked for, or if rounding would lose information, and on the CPU if it is of a
    simulator. If the check is ``tolerant``, rows with NaN or infinite values are kept, and the others are checked.
    """
    tensor, _ = read_output(f"node {node.name!r}", value, n, node.size)
    tensor = tensor.cpu() if node.kind == "simulator" else tensor
    bad = unusable(tensor, node.gaps)
    usable = tensor[~bad] if bool(bad.any()) else tensor
    kept = stored_with_gaps(usable, double) if node.gaps else stored(usable, double)
    tensor = copied(tensor.to(kept.dtype))  # a simulator may overwrite in its next call what it returned
    bad = unusable(tensor, node.gaps)
    if not tolerant and (failed := int(bad.sum())):
        what = "infinite values, or no value at all," if node.gaps else "NaN or infinite values"
        raise SimulationError(
            f"node {node.name!r} has {what} in {failed} of {n} rows; repair the simulator, or give "
            "failed='drop' to leave failed simulations out, or failed='code' to replace them by a code"
        )
    valid = tensor.detach()[~bad] if bool(bad.any()) else tensor.detach()
    fits = inside(node.support, valid) if node.gaps else node.support.check(valid)
    if not bool(torch.all(fits)):
        outside = valid[~fits.reshape(len(valid), -1).all(1)]
        raise SimulationError(
            f"node {node.name!r} has values outside its support {node.support} in {len(outside)} of {n} rows; "
            f"the first is {outside[0].tolist()}"
        )
    return tensor
