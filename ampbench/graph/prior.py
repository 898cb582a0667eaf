r"""The joint prior of the latent variables, as one torch distribution over theta.

Theta is the latents' components, joined in topological order, and

.. math:: p(\theta) = \prod_{i \in L} p(\theta_i \mid \mathrm{pa}(\theta_i))

Drawing it runs the latents and their ancestors only: no observed variable below them is simulated, so it costs no
simulation. Its density exists if every latent is a density node whose parents are latent too; :meth:`LatentPrior.fault`
names the one to blame otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ampbench.errors import GraphError
from ampbench.graph.model import Graph, component_names, join, split
from ampbench.graph.supports import elementwise, joined
from ampbench.seeding import seeded

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
"""Types of samples."""


class LatentPrior(Distribution):
    """p(theta) of a graph, with event shape (D,).

    Arguments:
        graph: the model.
        latents: names of the variables that theta joins.
        device: where values are handed out and taken; the graph itself runs on the CPU.

    Attributes:
        sizes: the number of components of each latent, in topological order.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.graph import density, simulator
        >>> prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        >>> graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
        >>> LatentPrior(graph, ["theta"]).log_prob(torch.zeros(3, 2))
        tensor([-1.8379, -1.8379, -1.8379])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, graph: Graph, latents: Iterable[str], device: torch.device | str = "cpu") -> None:
        self.graph = graph
        self.latents = graph.check(latents)
        self.device = torch.device(device)
        self._above = graph.ancestral(self.latents)
        self._double: set[str] = set()
        drawn = self._above.sample(2)
        self.sizes = {name: drawn[name].shape[1] for name in self.latents}
        super().__init__(event_shape=torch.Size([sum(self.sizes.values())]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The support of theta, with event dimension 1."""
        parts = [elementwise(self.graph[name].support) for name in self.latents]
        if all(isinstance(part, type(constraints.real)) for part in parts):
            return constraints.real_vector
        return joined(parts, list(self.sizes.values()))

    @property
    def fault(self) -> str:
        """The reason why there is no density; "" if there is one."""
        latents = frozenset(self.latents)
        for name in self.latents:
            node = self.graph[name]
            if node.kind != "density":
                return f"latent variable {name!r} is a {node.kind} node without a density"
            if outside := [parent for parent in node.parents if parent not in latents]:
                return f"latent variable {name!r} depends on the observed {outside[0]!r}"
        return ""

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw theta, shape (*sample_shape, D)."""
        count = torch.Size(sample_shape).numel()
        drawn = self._draw(count) if count else torch.zeros(0, *self.event_shape)
        return drawn.detach().to(self.device).reshape(*sample_shape, *self.event_shape)

    def _draw(self, count: int) -> Tensor:
        values = self._above.sample(count, double=self._double)
        self._double.update(name for name, value in values.items() if value.dtype != torch.get_default_dtype())
        return join(values, self.latents)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(theta), shape (*,), for theta (*, D); minus infinity outside the support.

        Raises:
            GraphError: the density does not exist.
        """
        if self.fault:
            raise GraphError(f"the prior has no density: {self.fault}")
        flat = value.reshape(-1, *self.event_shape).to(
            "cpu", torch.float64 if self._double else torch.get_default_dtype()
        )
        return self.graph.log_prob(self.split(flat), self.latents).to(self.device).reshape(value.shape[:-1])

    def __deepcopy__(self, memo: object) -> LatentPrior:
        """Return the prior itself: it is immutable, and sbi copies it for every minibatch."""
        return self

    def split(self, theta: Tensor) -> dict[str, Tensor]:
        """Cut theta (*, D) into the latents, (*, D_i) each."""
        return split(theta, self.sizes)


def parameter_names(graph: Graph, latents: Iterable[str]) -> tuple[str, ...]:
    """Name the components of theta: by the names that nodes give, else by :func:`ampbench.graph.component_names`.

    Raises:
        GraphError: a node has another number of names than components, or a name occurs twice.
    """
    with seeded(0):  # the prior is drawn to see the sizes
        sizes = LatentPrior(graph, latents).sizes
    found: list[str] = []
    for name, size in sizes.items():
        if (given := graph[name].names) and len(given) != size:
            raise GraphError(f"node {name!r} has {len(given)} names ({', '.join(given)}) for {size} components")
        found += given or component_names({name: size})
    if twice := [name for name in found if found.count(name) > 1]:
        raise GraphError(f"two components of the latent variables are named {twice[0]!r}; give each a name of its own")
    return tuple(found)


def wrong_type(samples: object, n: int, size: int) -> str:
    """Return what samples are, if they are no tensor of floating-point numbers of the shape (n, size); "" if they are.

    Example:
        >>> wrong_type(torch.zeros(3, 2), 4, 2), wrong_type([0.0], 4, 2), wrong_type(torch.zeros(4, 2), 4, 2)
        ('(3, 2)', 'list', '')
    """
    if not isinstance(samples, Tensor):
        return type(samples).__name__
    if samples.layout != torch.strided or samples.is_nested or samples.is_meta:
        return f"a tensor without plain values ({'nested' if samples.is_nested else samples.layout}, {samples.device})"
    if tuple(samples.shape) != (n, size):
        return str(tuple(samples.shape))
    return "" if samples.dtype in FLOATS else f"{tuple(samples.shape)} of {samples.dtype}"


def not_finite(samples: Tensor, names: tuple[str, ...], what: str = "posterior samples") -> str:
    """Return a message with the number of samples (n, D) that are not finite, and their parameters; "" if all are.

    Example:
        >>> not_finite(torch.tensor([[0.0, torch.nan], [1.0, 2.0]]), ("a", "b"))
        '1 of 2 posterior samples are NaN or infinite: b (1 NaN)'
    """
    finite = samples.isfinite()
    bad = int((~finite).any(1).sum())
    if not bad:
        return ""
    parts = []
    for i in (~finite).any(0).nonzero().flatten().tolist():
        nan, infinite = int(samples[:, i].isnan().sum()), int(samples[:, i].isinf().sum())
        said = [f"{count} {what}" for count, what in ((nan, "NaN"), (infinite, "infinite")) if count]
        parts.append(f"{names[i] if i < len(names) else f'component {i}'} ({', '.join(said)})")
    more = f" and {len(parts) - 5} more" if len(parts) > 5 else ""
    return f"{bad} of {len(samples)} {what} are NaN or infinite: {', '.join(parts[:5])}{more}"
