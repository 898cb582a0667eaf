"""The models: templates, flat graphs, exact posteriors and the tests of a posterior."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from judges import c2st, calibration, gaussian_kl, wasserstein
from torch import Tensor

from ampbench.graph import Graph, Simulator, Tree, density, join, previous, simulator
from ampbench.interfaces import Posterior
from ampbench_tasks import chain_binomial_sites, gaussian_tree, hierarchical, lgssm, radon, radon_data
from ampbench_tasks.chain_binomial_sites import ChainBinomialSites
from ampbench_tasks.gaussian_tree import GaussianTree
from ampbench_tasks.hierarchical import Hierarchical
from ampbench_tasks.lgssm import LGSSM
from ampbench_tasks.linear_gaussian import LinearGaussian, LinearGaussianTask, scalar
from ampbench_tasks.radon import Radon

SAMPLES = 2000
"""On each side of a C2ST."""
OBSERVATIONS = 5
PLACES, FEW_PLACES = 20, 5
"""Tuples per graph that are tested, evenly spread; the few at all sizes but the largest of a state space."""
CALIBRATION_SIZES = (10, 100)
CALIBRATION_SIMULATIONS, CALIBRATION_DRAWS = 200, 99
"""Simulations of simulation-based calibration, and draws of the posterior of each."""


@dataclass(frozen=True)
class Fitted:
    """A posterior of the template, or of a flat graph."""

    posterior: Any
    graph: Graph | None

    def draw(self, graph: Graph, given: Sequence[str], x: Tensor, n: int = SAMPLES) -> Tensor:
        """Draw all latents of a flat graph, (n, D), in its topological order."""
        if self.graph is not None:
            assert isinstance(self.posterior, Posterior)
            return self.posterior.sample(x, n)
        repetition = graph.repetition
        assert repetition is not None
        stacked = repetition.stack(graph.split(x[None], graph.check(given)))
        held = self.posterior.model.observed
        drawn = self.posterior.sample_variables({name: stacked[name][0] for name in held}, n)
        return join(repetition.unstack(drawn), graph.latents(given))


class Draws(Protocol):
    """Posterior draws, from whatever source."""

    def draw(self, graph: Graph, given: Sequence[str], x: Tensor) -> Tensor:
        """Draw all latents of a flat graph, (SAMPLES, D), in its topological order."""


@dataclass(frozen=True)
class Fit:
    """A posterior, and the size that it is judged at.

    Attributes:
        cpu, wall: seconds of processor time and of wall-clock time of its training.
        measured: columns of the table that another process has measured.
    """

    size: int
    fitted: Draws
    cpu: float
    wall: float
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Model(ABC):
    """A task whose size varies.

    Attributes:
        sizes: the sizes at which posteriors are judged; flat configurations are trained on the first one.
        draws: the budget of every configuration.
    """

    sizes: tuple[int, ...]
    draws: int
    observed: tuple[str, ...] = ("x",)

    @abstractmethod
    def template(self) -> Graph:
        """The graph with axes, and their training sizes."""

    @abstractmethod
    def task(self, size: int) -> Any:
        """The flat task of one size: its graph, observed names and reference."""

    def repeats(self, size: int) -> int:
        """Draws of one simulation."""
        repetition = self.task(size).graph.repetition
        return repetition.template.draws(repetition.sizes)

    def flat(self, size: int) -> tuple[Graph, Sequence[str]]:
        """The flat graph of one size, and its observed variables."""
        task = self.task(size)
        return task.graph, task.observed

    def observations(self, size: int) -> list[Tensor]:
        """Draw the observations of one size, (L,) each."""
        task = self.task(size)
        names = task.graph.check(task.observed)
        return [join(Simulator(task.graph, names, 1, seed).sample(1), names)[0] for seed in range(1, OBSERVATIONS + 1)]

    def judge(self, fitted: Draws, size: int) -> dict[str, float]:
        """Compare a posterior with the exact one, given each of some observations: means over these."""
        task, found = self.task(size), []
        for seed, x in enumerate(self.observations(size), start=1):
            start = time.process_time()
            drawn = fitted.draw(task.graph, task.observed, x)
            seconds = time.process_time() - start
            exact = task.reference(x, SAMPLES, seed)
            found.append({"sampling_seconds": seconds, **self.compare(task, x, drawn, exact)})
        means = {name: np.mean([each[name] for each in found], 0) for name in found[0]}
        return {name: float(np.mean(value)) for name, value in means.items()} | {
            "tuple_worst": float(np.max(means["tuple"]))
        }

    def compare(self, task: Any, x: Tensor, drawn: Tensor, exact: Tensor) -> dict[str, Any]:
        """Return the results of the tests for one observation; ``tuple`` is an array over the tuples."""
        tuples = [c2st(drawn[:, part], exact[:, part]) for part in self.tuples(drawn.shape[1])]
        found: dict[str, Any] = {"tuple": np.array(tuples)}
        if drawn.shape[1] <= 100:
            found["joint"] = c2st(drawn, exact)
        if drawn.shape[1] >= 20:
            starts = np.linspace(0, drawn.shape[1] - 10, 3).round().astype(int)
            found["block"] = float(np.mean([c2st(drawn[:, s : s + 10], exact[:, s : s + 10]) for s in starts]))
        return found

    @abstractmethod
    def tuples(self, count: int) -> list[list[int]]:
        """Return the components of the tuples that are tested."""


def spread(count: int, most: int) -> list[int]:
    """Return up to ``most`` numbers below ``count``, evenly spread."""
    return sorted({int(i) for i in np.linspace(0, count - 1, most).round()})


class FlatLinear:
    """A linear-Gaussian graph with a template, as a task."""

    def __init__(self, model: LinearGaussian, graph: Graph) -> None:
        self.model, self.graph, self.observed = model, graph, model.observed

    def reference(self, x: Tensor, n: int, seed: int) -> Tensor:
        """Draw from the exact posterior."""
        return self.model.sample(x, n, seed)


class ChainModel(Model):
    """The chain of the paper; the template is a tree without branches, whose leaf is observed."""

    def template(self) -> Graph:
        """The chain of the first size."""
        return chain_template(self.sizes[0])

    def task(self, size: int) -> FlatLinear:
        """The chain with latents z_size → … → z_1, and x."""
        step = (1 - 0.9**2) ** 0.5
        below = [scalar(f"z_{t}", step, **{f"z_{t + 1}": 0.9}) for t in range(size - 1, 0, -1)]
        model = LinearGaussian([scalar(f"z_{size}", 1.0), *below, scalar("x", 0.5, z_1=1.0)], ["x"])
        names = {f"z_{i}": f"z_{size + 1 - i}" for i in range(1, size + 1)} | {f"x_{size}": "x"}
        return FlatLinear(model, model.graph.repeating(chain_template(size), {"place": size - 1}, names))

    def tuples(self, count: int) -> list[list[int]]:
        """Neighbours, at three places as in results/local_against_global."""
        return [[i, i + 1] for i in spread(count - 1, 3)]


def chain_template(size: int) -> Graph:
    """The chain from z_size to z_1, of which the last has an observation."""
    place = [Tree("place", size - 1, branching=1)]
    root, below, leaf = scalar("z", 1.0), scalar("z", (1 - 0.9**2) ** 0.5, z=0.9), scalar("x", 0.5, z=1.0)
    return Graph(
        density("z", below.conditional, [previous("z")], size=1, along=place, first=root.conditional()),
        simulator("x", leaf.simulate, ["z"], size=1, along=place, leaves=True),
    )


class TreeModel(Model):
    """The task ``gaussian_tree``."""

    def template(self) -> Graph:
        """The tree of the first size."""
        return gaussian_tree.template(self.sizes[0])

    def task(self, size: int) -> LinearGaussianTask:
        """The tree of a depth."""
        return GaussianTree(depth=size)

    def tuples(self, count: int) -> list[list[int]]:
        """A variable with its parent."""
        names = self.task(self.sizes[0]).graph.latents(self.task(self.sizes[0]).observed)
        place = {name: i for i, name in enumerate(names)}
        return [[place[names[i]], place[names[i].rpartition("_")[0]]] for i in spread(count, PLACES) if names[i] != "z"]


class StateSpaceModel(Model):
    """The task ``lgssm``."""

    def template(self) -> Graph:
        """Lengths from 10 to 100."""
        return lgssm.template((10, 100))

    def task(self, size: int) -> LinearGaussianTask:
        """The state space of a length."""
        return LGSSM(length=size)

    def compare(self, task: Any, x: Tensor, drawn: Tensor, exact: Tensor) -> dict[str, Any]:
        """Add the Kullback-Leibler divergence per latent, by residuals of the exact conditionals."""
        return super().compare(task, x, drawn, exact) | {"kl": float(gaussian_kl(residuals(x, drawn)).mean())}

    def tuples(self, count: int) -> list[list[int]]:
        """Neighbours."""
        return [[i, i + 1] for i in spread(count - 1, PLACES if count == self.sizes[-1] else FEW_PLACES)]


def residuals(x: Tensor, z: Tensor) -> Tensor:
    """Return (z_t − E[z_t | z_{t−1}, x]) / sd[z_t | z_{t−1}, x] of draws (n, T) given x (T,), float64.

    Of the observations from t on, z_t has the likelihood exp(−J z²/2 + h z), which follows backwards in time.
    """
    matrix, variance = lgssm.transition(1, 1.0)
    a, q, r = float(matrix), variance, lgssm.NOISE**2
    precision, shift = torch.zeros(len(x), dtype=torch.float64), torch.zeros(len(x), dtype=torch.float64)
    j = h = 0.0
    for t in reversed(range(len(x))):
        precision[t], shift[t] = 1 / r + j, float(x[t]) / r + h
        below = 1 + q * float(precision[t])
        j, h = a**2 * float(precision[t]) / below, a * float(shift[t]) / below
    z = z.double()
    prior = torch.full_like(precision, 1 / q)
    prior[0] = 1.0
    before = torch.cat([torch.zeros_like(z[:, :1]), a * z[:, :-1] / q], 1)
    conditional = precision + prior
    return (z - (shift + before) / conditional) * conditional.sqrt()


class GroupsModel(Model):
    """Two or more roots, and a latent of every group, which are the last components of theta."""

    roots = 2

    def judge(self, fitted: Draws, size: int) -> dict[str, float]:
        """Add the smallest p-value of simulation-based calibration of the roots and of one random group.

        Draws that are stored have no calibration.
        """
        judged = super().judge(fitted, size)
        if size not in CALIBRATION_SIZES or not isinstance(fitted, Fitted):
            return judged
        task = self.task(size)
        values = Simulator(task.graph, task.observed, CALIBRATION_SIMULATIONS, seed=0).sample(CALIBRATION_SIMULATIONS)
        theta, x = (join(values, task.graph.check(names)) for names in (task.latents, task.observed))
        draws = torch.stack([fitted.draw(task.graph, task.observed, each, CALIBRATION_DRAWS) for each in x], dim=1)
        chosen = [
            *range(self.roots),
            self.roots + int(torch.randint(size, (), generator=torch.Generator().manual_seed(size))),
        ]
        return judged | {"sbc": calibration(theta[:, chosen], draws[..., chosen])}

    def compare(self, task: Any, x: Tensor, drawn: Tensor, exact: Tensor) -> dict[str, Any]:
        """Add the test of the roots, and the largest Wasserstein distance of a component."""
        found = super().compare(task, x, drawn, exact) | {"root": c2st(drawn[:, : self.roots], exact[:, : self.roots])}
        found.pop("block", None)
        return found | {"w1": float(wasserstein(drawn, exact).max())}

    def tuples(self, count: int) -> list[list[int]]:
        """The roots with the latent of a group, for some groups."""
        return [[*range(self.roots), self.roots + j] for j in spread(count - self.roots, 5)]


class HierarchicalModel(GroupsModel):
    """The task ``hierarchical``."""

    def template(self) -> Graph:
        """From 3 to 100 groups."""
        return hierarchical.template((3, 100))

    def task(self, size: int) -> Hierarchical:
        """The hierarchy with a number of groups."""
        return Hierarchical(groups=size)


class SitesModel(GroupsModel):
    """The task ``chain_binomial_sites``."""

    def template(self) -> Graph:
        """From 3 to 100 sites."""
        return chain_binomial_sites.template((3, 100))

    def task(self, size: int) -> ChainBinomialSites:
        """The outbreaks in a number of towns."""
        return ChainBinomialSites(sites=size)

    def observations(self, size: int) -> list[Tensor]:
        """Draw two observations of 1,000 sites, whose exact draws take a minute and more each."""
        return super().observations(size)[: 2 if size >= 1000 else OBSERVATIONS]


class RadonModel(GroupsModel):
    """The task ``radon``, judged on the real data; the size is the number of counties."""

    roots = 5

    def template(self) -> Graph:
        """From 10 to 85 counties, drawn at random from those of Minnesota."""
        return radon.template(radon_data.load(), (10, 85))

    def task(self, size: int) -> Radon:
        """The first counties."""
        return Radon(counties=size)

    def observations(self, size: int) -> list[Tensor]:
        """Return the real data."""
        return [self.task(size).numbered(1).x]


MODELS: Mapping[str, Model] = {
    "chain_50": ChainModel((50,), 500_000),
    "tree_3": TreeModel((3,), 150_000),
    "tree_4": TreeModel((4,), 310_000),
    "tree_6": TreeModel((6,), 1_270_000),
    "lgssm": StateSpaceModel((10, 50, 100, 1000), 1_000_000),
    "hierarchical": HierarchicalModel((3, 10, 100, 1000), 1_000_000, ("y",)),
    "chain_binomial_sites": SitesModel((3, 10, 100, 1000), 3_000_000, ("y",)),
    "radon": RadonModel((85,), 10_000_000, ("y",)),
}
"""By name; 10,000 simulations of every chain and tree. A county counts as 116 houses, most of which do not exist."""
