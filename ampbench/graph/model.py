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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import networkx as nx
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ampbench.errors import GraphError, SimulationError
from ampbench.graph.factorization import Factor, inverse, structure

Kind = Literal["density", "simulator", "learned"]


@dataclass(frozen=True)
class Node:
    """One variable and its conditional p(x_i | pa(x_i)); made by :func:`density`, :func:`simulator`, :func:`learned`.

    Arguments:
        name: the variable's name, unique in its graph.
        kind: ``density``, ``simulator`` or ``learned``.
        conditional: a distribution (density without parents), or a callable. It gets one tensor of shape (n, D_j)
            per parent, in the order of ``parents``; without parents it gets the integer n.
        parents: names of the parents.
        support: where the variable lives; families are transformed to respect it.
        size: D, the number of components, if it is to be checked; None accepts what comes.
    """

    name: str
    kind: Kind
    conditional: Distribution | Callable[..., Any]
    parents: tuple[str, ...] = ()
    support: constraints.Constraint = constraints.real
    size: int | None = None

    def distribution(self, *parents: Tensor) -> Distribution:
        """Return p(x_i | pa(x_i)); raises :class:`GraphError` if the node has no density."""
        distribution = self.conditional if isinstance(self.conditional, Distribution) else self.conditional(*parents)
        if not isinstance(distribution, Distribution):
            raise GraphError(
                f"node {self.name!r} ({self.kind}) has no density: its conditional returned "
                f"{type(distribution).__name__}, not a torch Distribution; only density nodes (and learned nodes "
                "that return one) have a log_prob"
            )
        return distribution

    def sample(self, n: int, parents: tuple[Tensor, ...] = ()) -> Tensor:
        """Draw x_i given its parents, shape (n, D); raises :class:`SimulationError` on NaN, wrong shape or support."""
        return _checked(self, n, self._draw(n, parents))

    def _draw(self, n: int, parents: tuple[Tensor, ...]) -> object:
        if isinstance(self.conditional, Distribution):
            return self.conditional.sample(torch.Size([n]))
        if self.kind == "simulator":
            parents = tuple(parent.detach() for parent in parents)  # a black box may be numpy
        drawn = self.conditional(*parents) if parents else self.conditional(n)
        if not isinstance(drawn, Distribution):
            return drawn
        return drawn.rsample() if drawn.has_rsample and self.kind == "learned" else drawn.sample()


def density(
    name: str,
    conditional: Distribution | Callable[..., Distribution],
    parents: Iterable[str] = (),
    support: constraints.Constraint | None = None,
    size: int | None = None,
) -> Node:
    """A variable with a known conditional density.

    Arguments:
        conditional: a distribution with event shape (D,) for a root, else a callable from parent tensors (n, D_j)
            to a distribution with batch shape (n,) and event shape (D,).
        support: by default the root distribution's own, and the real line for a callable.

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
        support = support or conditional.support
        size = size or conditional.event_shape[0]
    return Node(name, "density", conditional, tuple(parents), support or constraints.real, size)


def simulator(
    name: str,
    conditional: Callable[..., Any],
    parents: Iterable[str] = (),
    support: constraints.Constraint = constraints.real,
    size: int | None = None,
) -> Node:
    """A variable that can only be simulated: ``conditional(*parents)`` returns samples of shape (n, D).

    Example:
        >>> node = simulator("x", lambda theta: theta + torch.randn_like(theta), parents=["theta"])
        >>> node.sample(3, (torch.zeros(3, 2),)).shape
        torch.Size([3, 2])
    """
    return Node(name, "simulator", conditional, tuple(parents), support, size)


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


@dataclass(frozen=True, init=False)
class Graph:
    """A directed graphical model: nodes in any order, kept in a topological one.

    Arguments:
        nodes: the variables.

    Raises:
        GraphError: for no nodes, a name used twice, an unknown parent, or a cycle; the message names it.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
        >>> {name: tuple(value.shape) for name, value in graph.sample(4).items()}
        {'theta': (4, 2), 'x': (4, 2)}
        >>> print(*graph.inverse({"x"}))
        (theta | x)
    """

    nodes: tuple[Node, ...]

    def __init__(self, *nodes: Node) -> None:
        object.__setattr__(self, "nodes", _topological(nodes))

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
        """The directed acyclic graph of the variable names, for graph algorithms."""
        return structure({node.name: node.parents for node in self.nodes})

    def factors(self) -> tuple[Factor, ...]:
        """The generative factorization p(x_i | pa(x_i)), in topological order."""
        return tuple(Factor(node.name, node.parents) for node in self.nodes)

    def learned(self) -> tuple[Factor, ...]:
        """The factors p(x_i | pa(x_i)) with parameters θ, in topological order."""
        return tuple(Factor(node.name, node.parents) for node in self.nodes if node.kind == "learned")

    def ancestral(self, names: Iterable[str]) -> Graph:
        """Return the graph of the named variables and their ancestors, which marginalises all other variables.

        Example:
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
        return result.masked_scatter(inside, distribution.log_prob(values[node.name][inside]))

    def sample(self, n: int, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Draw n ancestral samples, top down.

        Arguments:
            n: number of draws.
            given: values of shape (n, D) for some variables, which are then not drawn.

        Returns:
            One tensor of shape (n, D_i) per variable, in topological order.

        Raises:
            SimulationError: a conditional returned NaN, a wrong shape, or values outside its support.
        """
        given = given or {}
        self.check(given)
        return self.complete(n, {name: _checked(self[name], n, value) for name, value in given.items()})

    def complete(self, n: int, given: Mapping[str, Tensor], device: torch.device | None = None) -> dict[str, Tensor]:
        """Draw the variables that are not given, on a device; unlike :meth:`sample`, without checks of given values."""
        values: dict[str, Tensor] = {}
        for node in self.nodes:
            if node.name in given:
                values[node.name] = given[node.name]
            else:
                values[node.name] = node.sample(n, tuple(values[parent] for parent in node.parents)).to(device)
        return values


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


def _is_discrete(distribution: Distribution) -> bool:
    try:
        return distribution.support is not None and distribution.support.is_discrete
    except NotImplementedError:  # torch leaves it to each distribution to say
        return False


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
    dag = structure({node.name: node.parents for node in nodes})
    if not nx.is_directed_acyclic_graph(dag):
        cycle = [edge[0] for edge in nx.find_cycle(dag)]
        raise GraphError(f"the graph has a cycle: {' -> '.join([*cycle, cycle[0]])}")
    position = {name: i for i, name in enumerate(by_name)}
    return tuple(by_name[name] for name in nx.lexicographical_topological_sort(dag, key=position.__getitem__))


def _checked(node: Node, n: int, value: object) -> Tensor:
    """Return ``value`` as a float tensor (n, D); raises :class:`SimulationError` that names the node and the fault."""
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SimulationError(f"node {node.name!r} returned {type(value).__name__}, not a tensor or array") from error
    expected = f"({n}, {node.size if node.size is not None else 'D'})"
    if tensor.ndim != 2 or len(tensor) != n or tensor.shape[1] != (node.size or tensor.shape[1]):
        raise SimulationError(f"node {node.name!r} has shape {tuple(tensor.shape)}, expected {expected}")
    tensor = tensor.to(torch.get_default_dtype())
    if bad := int((~torch.isfinite(tensor)).any(1).sum()):
        raise SimulationError(
            f"node {node.name!r} has NaN or infinite values in {bad} of {n} rows; "
            "repair the simulator or let it return a finite code for failed simulations"
        )
    if not bool(torch.all(node.support.check(tensor.detach()))):
        outside = tensor[~node.support.check(tensor.detach()).reshape(n, -1).all(1)]
        raise SimulationError(
            f"node {node.name!r} has values outside its support {node.support} in {len(outside)} of {n} rows; "
            f"the first is {outside[0].tolist()}"
        )
    return tensor
