r"""Directed graphical models whose conditionals may be black boxes.

A model is a directed acyclic graph over variables :math:`x_0, \dots, x_I` with

.. math:: p(X) = \prod_i p(x_i \mid \mathrm{pa}(x_i)) \qquad \text{(eq. 3 of Karaletsos 2016)}

and a conditional is one of three kinds:

``density``
    a ``torch.distributions.Distribution`` (a root), or a callable from parent values to one;
``simulator``
    any callable from parent values to samples. It may be numpy, discrete, slow, not differentiable;
``learned``
    a ``torch.nn.Module`` from parent values to samples or to a distribution.

Every variable is a tensor of shape (n, D): n independent draws of a vector with D components.

References:
    Karaletsos 2016, *Adversarial Message Passing for Graphical Models*, arXiv:1612.05048, section 3.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from types import MappingProxyType

import networkx as nx
import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.counts import count
from ampbench.errors import GraphError, SimulationError
from ampbench.graph import repeats
from ampbench.graph.axes import Axis, Previous, shape, sizes_within
from ampbench.graph.factorization import Factor, inverse, structure
from ampbench.graph.failures import Report, finite_rows
from ampbench.graph.node import Design, Node, checked
from ampbench.graph.ragged import covered, with_ragged


@dataclass(frozen=True, init=False)
class Graph:
    """A directed graphical model: nodes in any order, kept in a topological one.

    Arguments:
        nodes: the variables.

    Raises:
        GraphError: for no nodes, a name used twice, an unknown parent, or a cycle; the message names it.

    Example:
        >>> from ampbench.graph import density, simulator
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
        >>> {name: tuple(value.shape) for name, value in graph.sample(4).items()}
        {'theta': (4, 2), 'x': (4, 2)}
        >>> print(*graph.inverse({"x"}))
        (theta | x)
    """

    nodes: tuple[Node, ...]
    repetition: Repetition | None = field(default=None, compare=False, repr=False)

    def __init__(self, *nodes: Node) -> None:
        object.__setattr__(self, "nodes", with_ragged(_topological(nodes)))
        object.__setattr__(self, "repetition", None)
        repeats.check_axes(self.nodes, self.by_name)
        _check_gaps(self.nodes)

    def __deepcopy__(self, memo: object) -> Graph:
        """Return the graph itself: it is immutable, and networks that refer to it are copied in every training."""
        return self

    def __getstate__(self) -> tuple[tuple[Node, ...], Repetition | None]:
        """Return what pickle writes: what is not derived from it."""
        return self.nodes, self.repetition

    def __setstate__(self, state: tuple[tuple[Node, ...], Repetition | None]) -> None:
        for name, value in zip(("nodes", "repetition"), state, strict=True):
            object.__setattr__(self, name, value)

    def __getitem__(self, name: str) -> Node:
        try:
            return self.by_name[name]
        except KeyError:
            raise self._unknown(name) from None

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """Nodes by name, in topological order."""
        return MappingProxyType({node.name: node for node in self.nodes})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Variable names in topological order."""
        return tuple(self.by_name)

    @cached_property
    def dag(self) -> nx.DiGraph:
        """The directed acyclic graph of the variable names, for graph algorithms; without parents in other repeats."""
        return structure({node.name: _within(node) for node in self.nodes})

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes along which variables are repeated."""
        return tuple(dict.fromkeys(axis for node in self.nodes for axis in node.along))

    def draws(self, sizes: Mapping[str, int] = MappingProxyType({})) -> int:
        """Return the largest number of repeats of a variable: 1 without axes.

        Arguments:
            sizes: the size of every axis, by its name; axes with a single size need none.
        """
        if not self.axes:
            return 1
        within = sizes_within(self.axes, sizes)
        return max(prod(shape(node.along, within)) for node in self.nodes)

    def ground(self, sizes: Mapping[str, int] = MappingProxyType({}), **present: Tensor) -> Graph:
        """Return the flat graph with one variable for every repeat, such as ``theta_1``, ``theta_2``, ….

        Arguments:
            sizes: the size of every axis, by its name; axes with a single size need none.
            present: by the name of a variable, which of its repeats exist, booleans (R_1, …). All do by default.

        Raises:
            GraphError: a size is missing, or a covariate has another number of rows.

        Example:
            >>> from ampbench.graph import Plate, density, simulator
            >>> from torch.distributions import Independent, Normal
            >>> one = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
            >>> school = Plate("school", (3, 100))
            >>> graph = Graph(density("mu", one), simulator("y", lambda mu: mu + 1, ["mu"], along=[school]))
            >>> graph.ground({"school": 3}).names
            ('mu', 'y_1', 'y_2', 'y_3')
        """
        within = sizes_within(self.axes, sizes)
        flat = Graph(*repeats.ground(self.nodes, within, present))
        return flat.repeating(self, within)

    def repeating(
        self,
        template: Graph,
        sizes: Mapping[str, int],
        names: Mapping[str, str] = MappingProxyType({}),
        joined: Iterable[str] = (),
    ) -> Graph:
        """Return this graph with the knowledge that its variables are repeats of a template's variables.

        Arguments:
            template: a graph with axes; this one is its :meth:`ground`, up to repeats that are missing and to names.
            sizes: the size of every axis.
            names: by the name of a repeat in the graph that :meth:`ground` returns, its name here, if it differs.
            joined: variables of the template whose repeats along the innermost axis are, in their order, the components
                of one variable here, such as y_2 for y_2_1, y_2_2, ….
        """
        made, within = Graph(*self.nodes), sizes_within(template.axes, sizes)
        repetition = Repetition(template, within, dict(names), frozenset(self.names), frozenset(template.check(joined)))
        object.__setattr__(made, "repetition", repetition)
        return made

    @property
    def covariates(self) -> tuple[str, ...]:
        """The names of the covariates, which are always observed."""
        return tuple(node.name for node in self.nodes if isinstance(node.conditional, Design))

    def factors(self) -> tuple[Factor, ...]:
        """The generative factorization p(x_i | pa(x_i)), in topological order."""
        return tuple(Factor(node.name, node.parents) for node in self.nodes)

    def learned(self) -> tuple[Factor, ...]:
        """The factors p(x_i | pa(x_i)) with parameters θ, in topological order."""
        return tuple(Factor(node.name, node.parents) for node in self.nodes if node.kind == "learned")

    def ancestral(self, names: Iterable[str]) -> Graph:
        """Return the graph of the named variables and their ancestors, which marginalises all other variables.

        Example:
            >>> from ampbench.graph import density, simulator
            >>> from torch.distributions import Independent, Normal
            >>> root = density("z", Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
            >>> Graph(root, simulator("a", abs, ["z"]), simulator("b", abs, ["z"])).ancestral({"a"}).names
            ('z', 'a')
        """
        wanted = set(self.check(names))
        for node in reversed(self.nodes):
            if node.name in wanted:
                wanted.update(node.parents)
        return Graph(*(node for node in self.nodes if node.name in wanted))

    def inverse(self, observed: Iterable[str], order: Sequence[str] | None = None) -> tuple[Factor, ...]:
        """The inverse factorization q(x_i | pã(x_i)) in sampling order; see :func:`ampbench.graph.inverse`."""
        return inverse(self.dag, self.check(observed), order)

    def check(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return ``names`` in topological order; raises :class:`GraphError` for one that is not a variable."""
        wanted = set(names)
        if unknown := sorted(wanted - self.by_name.keys()):
            raise self._unknown(unknown[0])
        return tuple(name for name in self.names if name in wanted)

    def _unknown(self, name: str) -> GraphError:
        return GraphError(f"unknown variable {name!r}; this graph has {', '.join(self.names)}")

    def latents(self, observed: Iterable[str]) -> tuple[str, ...]:
        """Return the variables that are not observed, in topological order.

        Raises:
            GraphError: one of the observed names is not a variable.
        """
        given = frozenset(self.check(observed))
        return tuple(name for name in self.names if name not in given)

    def size(self, names: Iterable[str]) -> int | None:
        """Return how many components the named variables have together; None if a node does not declare its size."""
        sizes = [self[name].size for name in names]
        return None if None in sizes else sum(size for size in sizes if size)

    def split(self, joined: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
        """Undo :func:`join`: cut ``(*, sum of D_i)`` into the named variables, ``(*, D_i)`` each.

        Raises:
            GraphError: a node does not declare its size, or the sizes do not add up.
        """
        names = tuple(names)
        if self.size(names) != joined.shape[-1]:
            raise GraphError(f"{joined.shape[-1]} components, but {', '.join(names)} have {self.size(names)} together")
        return split(joined, {name: self[name].size or 0 for name in names})

    def log_prob(self, values: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
        """Return the sum of log p(x_i | pa(x_i)) over the named variables, shape (n,).

        Arguments:
            values: (n, D_i) for the named variables and their parents.
            names: which factors to sum.

        Raises:
            GraphError: one of them has no density.

        Example:
            >>> from ampbench.graph import density
            >>> from torch.distributions import Independent, Normal
            >>> graph = Graph(density("theta", Independent(Normal(torch.zeros(2), torch.ones(2)), 1)))
            >>> graph.log_prob({"theta": torch.zeros(3, 2)}, ["theta"])
            tensor([-1.8379, -1.8379, -1.8379])
        """
        return torch.stack([self._log_factor(self[name], values) for name in names]).sum(0)

    def _log_factor(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        """log p(x_i | pa(x_i)), shape (n,); minus infinity outside the support, where torch would raise."""
        inside = node.support.check(values[node.name])
        inside = inside.reshape(len(inside), -1).all(1)
        result = values[node.name].new_full((len(inside),), -torch.inf)
        if not bool(inside.any()):
            return result
        distribution = node.distribution(*(values[parent][inside] for parent in node.parents))
        if _is_discrete(distribution) and not node.support.is_discrete:
            raise GraphError(
                f"node {node.name!r} has the support {node.support}, but its conditional is a distribution on "
                f"{distribution.support}; declare it, as in density(…, support=constraints.nonnegative_integer)"
            )
        return result.masked_scatter(inside, distribution.log_prob(values[node.name][inside]).to(result))

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] | None = None,
        sizes: Mapping[str, int] = MappingProxyType({}),
        double: Container[str] = (),
        report: Report | None = None,
    ) -> dict[str, Tensor]:
        """Draw n ancestral samples, top down.

        Arguments:
            n: number of draws.
            given: values of shape (n, D) for some variables, which are then not drawn.
            sizes: the size of every axis, by its name; axes with a single size need none.
            double: the variables that stay in double precision if they are given or drawn in it; others do if rounding
                would lose information, see :mod:`ampbench.graph.precision`.
            report: takes the layouts of the outputs, and says whether simulators may fail, unless variables are
                repeated.

        Returns:
            One tensor of shape (n, D_i) per variable, in topological order; of shape (n, R_1, …, D_i) if the variable
            is repeated, and NaN where a repeat is missing. NaN or infinite where a simulator failed, and NaN in the
            variables below it.

        Raises:
            SimulationError: a conditional returned NaN, a wrong shape, or values outside its support.
        """
        given, n = given or {}, count("n", n, least=0)
        self.check(given)
        if self.axes:
            return repeats.sample(self.nodes, n, sizes_within(self.axes, sizes), given)
        may_fail = report is not None and report.tolerant
        checked_values = {
            name: checked(self[name], n, value, name in double, may_fail) for name, value in given.items()
        }
        return self.complete(n, checked_values, double=double, report=report)

    def complete(
        self,
        n: int,
        given: Mapping[str, Tensor],
        device: torch.device | None = None,
        double: Container[str] = (),
        report: Report | None = None,
    ) -> dict[str, Tensor]:
        """Draw the variables that are not given, on a device; unlike :meth:`sample`, without checks of given values."""
        values: dict[str, Tensor] = {}
        for node in self.nodes:
            if node.name in given:
                values[node.name] = given[node.name]
            else:
                parents = tuple(values[parent] for parent in node.parents)
                values[node.name] = _drawn(node, n, parents, node.name in double, report).to(device)
        return values


@dataclass(frozen=True)
class Repetition:
    """The template whose repeats are the variables of a flat graph; see :meth:`Graph.repeating`.

    Attributes:
        template: a graph with axes.
        sizes: the size of every axis.
        names: by the name of a repeat in the template's flat graph, its name in this one, if it differs.
        present: the names of the variables in this flat graph.
        joined: the names of template variables whose repeats along the innermost axis are components of one variable.
    """

    template: Graph
    sizes: Mapping[str, int]
    names: Mapping[str, str]
    present: frozenset[str]
    joined: frozenset[str] = frozenset()

    def stack(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return flat values (n, D_i) as tensors (n, R_1, …, D), NaN where a repeat is missing.

        Raises:
            GraphError: the components of a variable are not those of the repeats that it joins.
        """
        here: dict[str, Tensor] = {}
        held = []
        for node in self.template.nodes:
            found = [(name, grounds) for name, grounds in self._flat(node) if name in values]
            for name, grounds in found:
                if values[name].shape[1] % len(grounds):
                    raise GraphError(
                        f"{name!r} has {values[name].shape[1]} components, but joins {len(grounds)} repeats of "
                        f"{node.name!r} of equal sizes"
                    )
                here |= zip(grounds, values[name].chunk(len(grounds), dim=1), strict=True)
            if found or isinstance(node.conditional, Design):
                held.append(node)
        return repeats.stack(here, held, self.sizes)

    def unstack(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Undo :meth:`stack`."""
        fixed = set(self.template.covariates)
        nodes = [node for node in self.template.nodes if node.name in values and node.name not in fixed]
        flat = repeats.unstack(values, nodes, self.sizes)
        named = [each for node in nodes for each in self._flat(node) if flat.keys() >= set(each[1])]
        return {name: torch.cat([flat[ground] for ground in grounds], dim=1) for name, grounds in named}

    def observed(self, given: Iterable[str]) -> tuple[str, ...]:
        """Return the variables of the template whose repeats are observed, covariates included.

        Raises:
            GraphError: some repeats of a variable are observed, and others are latent.
        """
        inside = set(given)
        found = []
        for node in self.template.nodes:
            flat = {name for name, _ in self._flat(node)}
            if isinstance(node.conditional, Design) or flat & inside:
                found.append(node.name)
            if flat & inside and (latent := (flat - inside) & self.present):
                raise GraphError(
                    f"of the repeats of {node.name!r} some are observed and others are latent, such as "
                    f"{min(latent)}; observe all or none"
                )
        return tuple(found)

    def _flat(self, node: Node) -> list[tuple[str, list[str]]]:
        """Return the names of a node's variables here, each with those of its repeats in the template's flat graph."""
        if node.name not in self.joined:
            return [(self.names.get(name, name), [name]) for name in repeats.flat_names(node, self.sizes)]
        inner: dict[str, list[str]] = {}
        for index in covered(node, self.sizes).nonzero().tolist():
            inner.setdefault(repeats.flat_name(node.name, index[:-1]), []).append(repeats.flat_name(node.name, index))
        return [(self.names.get(name, name), grounds) for name, grounds in inner.items()]


def join(values: Mapping[str, Tensor], names: Iterable[str]) -> Tensor:
    """Concatenate the named variables' components: shape ``(*, sum of D_i)``, and ``(*, 0)`` for no names."""
    parts = [values[name] for name in names]
    return torch.cat(parts, dim=-1) if parts else next(iter(values.values()))[..., :0]


def split(joined: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """Undo :func:`join`: cut ``(*, sum of D_i)`` into variables of the given sizes D_i, ``(*, D_i)`` each.

    Example:
        >>> {name: part.tolist() for name, part in split(torch.arange(3), {"a": 1, "b": 2}).items()}
        {'a': [0], 'b': [1, 2]}
    """
    return dict(zip(sizes, joined.split(list(sizes.values()), dim=-1), strict=True))


def component_names(sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Name the components of variables: ``mu`` for a variable with one, ``theta[0]``, ``theta[1]``, … for several.

    Example:
        >>> component_names({"mu": 1, "theta": 2})
        ('mu', 'theta[0]', 'theta[1]')
    """
    return tuple(name if size == 1 else f"{name}[{i}]" for name, size in sizes.items() for i in range(size))


def _drawn(node: Node, n: int, parents: tuple[Tensor, ...], double: bool, report: Report | None) -> Tensor:
    """Draw a variable, shape (n, D), where its parents did not fail; other rows are NaN."""
    valid = (
        torch.stack([finite_rows(parent) for parent in parents]).all(0) if report and parents else torch.tensor(True)
    )
    if bool(valid.all()):
        return node.sample(n, parents, double, report)
    if not bool(valid.any()):
        raise SimulationError(f"no value of {node.name!r} can be drawn: in all of {n} simulations its parents failed")
    drawn = node.sample(int(valid.sum()), tuple(parent[valid] for parent in parents), double, report)
    return drawn.new_full((n, drawn.shape[1]), torch.nan).masked_scatter(valid[:, None], drawn)


def _is_discrete(distribution: Distribution) -> bool:
    try:
        return distribution.support is not None and distribution.support.is_discrete
    except NotImplementedError:  # torch leaves it to each distribution to say
        return False


def _check_gaps(nodes: Iterable[Node]) -> None:
    """Raise :class:`GraphError` if a node with gaps has children, or shares its graph with repeated variables."""
    nodes = tuple(nodes)
    for node in nodes:
        if node.gaps and (children := [child.name for child in nodes if node.name in child.parents]):
            raise GraphError(
                f"node {node.name!r} has gaps, but is a parent of {children[0]!r}; only observed variables without "
                "children may have gaps: let the simulator of the child depend on the parents of "
                f"{node.name!r} instead"
            )
        if node.gaps and (repeated := [other.name for other in nodes if other.along]):
            raise GraphError(
                f"node {node.name!r} has gaps, but {repeated[0]!r} is repeated along an axis; "
                "in graphs with axes, give repeats without a value by missing="
            )


def _within(node: Node) -> list[str]:
    """Return the parents in the same repeat."""
    return [str(parent) for parent in node.parents if not isinstance(parent, Previous)]


def _topological(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    if not nodes:
        raise GraphError("a graph needs at least one node")
    by_name: dict[str, Node] = {}
    for node in nodes:
        if not isinstance(node, Node):
            raise GraphError(f"a graph is made of nodes, got {type(node).__name__}; write Graph(node, node, …)")
        if node.name in by_name:
            raise GraphError(f"two nodes are named {node.name!r}; names must be unique")
        by_name[node.name] = node
    for node in nodes:
        for parent in node.parents:
            if parent not in by_name:
                raise GraphError(
                    f"node {node.name!r} has the unknown parent {parent!r}; this graph has {', '.join(by_name)}"
                )
    dag = structure({node.name: _within(node) for node in nodes})
    if not nx.is_directed_acyclic_graph(dag):
        cycle = [edge[0] for edge in nx.find_cycle(dag)]
        raise GraphError(f"the graph has a cycle: {' -> '.join([*cycle, cycle[0]])}")
    position = {name: i for i, name in enumerate(by_name)}
    return tuple(by_name[name] for name in nx.lexicographical_topological_sort(dag, key=position.__getitem__))
