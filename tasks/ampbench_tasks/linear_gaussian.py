r"""Linear-Gaussian graphs: the joint Gaussian is derived from the structure and conditioned exactly.

Every variable is a linear function of its parents, plus noise,

.. math::
    x_i = \sum_{j \in \mathrm{pa}(i)} A_{ij} x_j + b_i + \varepsilon_i, \qquad \varepsilon_i \sim \mathcal N(0, Q_i)

with diagonal :math:`Q_i`, so that means and covariances follow recursively in topological order, with
:math:`k` any earlier variable:

.. math::
    m_i = \sum_j A_{ij} m_j + b_i, \qquad C_{ik} = \sum_j A_{ij} C_{jk}, \qquad
    C_{ii} = \sum_j A_{ij} C_{ji} + Q_i

The latent variables z given the observed ones x are then Gaussian with

.. math:: m_{z|x} = m_z + C_{zx} C_{xx}^{-1} (x - m_x), \qquad C_{z|x} = C_{zz} - C_{zx} C_{xx}^{-1} C_{xz}

All computations are in float64; the noise of every observed variable bounds :math:`C_{xx}` from below.

References:
    Bishop 2006, *Pattern Recognition and Machine Learning*, sections 2.3 and 8.1.4 (linear-Gaussian models).
    Shachter, Kenley 1989, *Gaussian influence diagrams*, doi:10.1287/mnsc.35.5.527.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, Normal

from ampbench.errors import GraphError
from ampbench.graph import Graph, Node, density, simulator
from ampbench_tasks.structured import Structured


@dataclass(frozen=True)
class Linear:
    """A variable of a linear-Gaussian graph, float64.

    Attributes:
        name: unique in the graph.
        offset: b, shape (D,).
        variance: the diagonal of Q, shape (D,), positive.
        weights: the matrix A of each parent by its name, shape (D, D_parent).
    """

    name: str
    offset: Tensor
    variance: Tensor
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def mean(self, *parents: Tensor) -> Tensor:
        """Return the mean given values (n, D_j) of the parents, in the order of ``weights``; shape (n, D)."""
        parts = [parent @ weight.to(parent).T for parent, weight in zip(parents, self.weights.values(), strict=True)]
        return self.offset.to(parents[0]) + sum(parts)

    def conditional(self, *parents: Tensor) -> Distribution:
        """Return the distribution given the parents, in their floating-point type; float32 without parents."""
        mean = self.mean(*parents) if parents else self.offset.float()
        return Independent(Normal(mean, self.variance.sqrt().to(mean)), 1)

    def simulate(self, *parents: Tensor) -> Tensor:
        """Draw given the parents, shape (n, D)."""
        mean = self.mean(*parents)
        return mean + self.variance.sqrt().to(mean) * torch.randn_like(mean)


def scalar(name: str, deviation: float, **weights: float) -> Linear:
    """Return a scalar variable: the sum of weight × parent, plus noise with the standard deviation ``deviation``."""
    matrices = {parent: torch.tensor([[weight]], dtype=torch.float64) for parent, weight in weights.items()}
    variance = torch.tensor([deviation**2], dtype=torch.float64)
    return Linear(name, torch.zeros(1, dtype=torch.float64), variance, matrices)


class LinearGaussian:
    """A linear-Gaussian graph with some variables observed.

    Arguments:
        variables: in any order.
        observed: names of variables without children; they become simulators, the other variables densities.

    Attributes:
        graph: the model.
        observed: names of the observed variables, in topological order.

    Raises:
        GraphError: the variables do not form a graph, or an observed one is a parent.
    """

    def __init__(self, variables: Sequence[Linear], observed: Iterable[str]) -> None:
        names = set(observed)
        self.graph = Graph(*(_node(variable, variable.name in names) for variable in variables))
        self.observed = self.graph.check(names)
        by_name = {variable.name: variable for variable in variables}
        self._variables = [by_name[name] for name in self.graph.names]
        for variable in variables:
            if parents := sorted(names & set(variable.weights)):
                raise GraphError(
                    f"observed variable {parents[0]!r} is a parent of {variable.name!r}; observe leaves only"
                )

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """The slice of each variable's components in the joint vector, by name."""
        ends = torch.tensor([len(variable.offset) for variable in self._variables]).cumsum(0).tolist()
        return {v.name: slice(end - len(v.offset), end) for v, end in zip(self._variables, ends, strict=True)}

    @cached_property
    def joint(self) -> tuple[Tensor, Tensor]:
        """The mean (N,) and the covariance (N, N) of all variables, joined in topological order."""
        size = self.slices[self._variables[-1].name].stop
        mean = torch.zeros(size, dtype=torch.float64)
        covariance = torch.zeros(size, size, dtype=torch.float64)
        for variable in self._variables:
            own = self.slices[variable.name]
            above = [(weight, self.slices[parent]) for parent, weight in variable.weights.items()]
            mean[own] = variable.offset + sum(weight @ mean[parent] for weight, parent in above)
            for weight, parent in above:
                covariance[own] += weight @ covariance[parent]
            covariance[:, own] = covariance[own].T
            inherited = sum(weight @ covariance[parent, own] for weight, parent in above)
            covariance[own, own] = variable.variance.diag() + inherited
        return mean, covariance

    @cached_property
    def _conditioned(self) -> tuple[Tensor, Tensor]:
        """The gain C_zx C_xx⁻¹, shape (D, L), and a Cholesky factor of C_z|x, shape (D, D)."""
        _, covariance = self.joint
        z, x = self._index(observed=False), self._index(observed=True)
        cross = covariance[z][:, x]
        gain = torch.cholesky_solve(cross.T, torch.linalg.cholesky(covariance[x][:, x])).T
        remaining = covariance[z][:, z] - gain @ cross.T
        return gain, torch.linalg.cholesky((remaining + remaining.T) / 2)

    def _index(self, observed: bool) -> Tensor:
        wanted = [name for name in self.graph.names if (name in self.observed) == observed]
        return torch.cat([torch.arange(self.slices[name].start, self.slices[name].stop) for name in wanted])

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean (D,) and the covariance (D, D) of the latent variables given x (L,), float64."""
        gain, root = self._conditioned
        mean, _ = self.joint
        return mean[self._index(False)] + gain @ (x.double() - mean[self._index(True)]), root @ root.T

    def sample(self, x: Tensor, n: int, seed: int) -> Tensor:
        """Draw n times from the posterior given x (L,), shape (n, D), float32."""
        mean, _ = self.posterior(x)
        _, root = self._conditioned
        noise = torch.randn(n, len(mean), dtype=torch.float64, generator=Generator().manual_seed(seed))
        return (mean + noise @ root.T).float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64, for theta (*, D) and x (*, L), broadcast."""
        latents = self.graph.split(theta.double(), self.graph.latents(self.observed))
        parts = self.graph.split(x.double(), self.observed)
        observed = [variable for variable in self._variables if variable.name in self.observed]
        terms = [v.conditional(*(latents[parent] for parent in v.weights)).log_prob(parts[v.name]) for v in observed]
        return torch.stack(terms).sum(0)


class LinearGaussianTask(Structured):
    """A structured task whose variables are all linear-Gaussian; a subclass builds the model from its options."""

    algorithm = "conditioning of the joint Gaussian"

    def __init__(self, model: LinearGaussian, **options: float) -> None:
        super().__init__(**options)
        self.model = model
        self.observed = model.observed

    @property
    def graph(self) -> Graph:
        """The graph of the model."""
        return self.model.graph

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior, a Gaussian, shape (n, D)."""
        return self.model.sample(self.check_observation(observation), n, seed)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        return self.model.log_likelihood(theta, x)


def _node(variable: Linear, observed: bool) -> Node:
    size = len(variable.offset)
    if observed:
        return simulator(variable.name, variable.simulate, variable.weights, size=size)
    distribution: Distribution | Callable[..., Distribution] = variable.conditional
    if not variable.weights:
        distribution = variable.conditional()
    return density(variable.name, distribution, variable.weights, size=size)
