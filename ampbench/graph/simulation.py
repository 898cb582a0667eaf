"""Simulators: a graph with a budget and a seed. A method has no other source of simulations.

Every draw is counted here, and a draw beyond the budget is refused, so that all methods have equal budgets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ampbench.counts import count, whole
from ampbench.errors import BudgetExceeded, GraphError, SimulationError
from ampbench.graph.model import Graph
from ampbench.seeding import derive, seeded


class Simulator:
    """A graph from which at most ``budget`` simulations can be drawn.

    Arguments:
        graph: the model.
        observed: names of the variables that will be observed.
        budget: how many ancestral samples may be drawn in all.
        seed: the draws are a function of the seed and of the calls made so far.

    Raises:
        GraphError: ``observed`` names no variable, an unknown one, or leaves nothing to infer; or a latent has gaps.
        UsageError: budget or seed is no whole number, or the budget is negative.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.graph import density, simulator
        >>> prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
        >>> source = Simulator(graph, observed=["x"], budget=10, seed=0)
        >>> source.sample(8)["x"].shape, source.spent, source.remaining
        (torch.Size([8, 1]), 8, 2)
        >>> source.sample(3)
        Traceback (most recent call last):
        ampbench.errors.BudgetExceeded: 3 simulations asked for, but only 2 of the budget of 10 remain
    """

    def __init__(self, graph: Graph, observed: Iterable[str], budget: int, seed: int) -> None:
        self.graph = graph
        self.observed = graph.check(observed)
        self.latents = graph.latents(self.observed)
        self.budget = count("budget", budget, least=0)
        self.seed = whole("seed", seed)
        self.spent = 0
        self._calls = 0
        self._sizes: dict[str, int] = {}
        self._double: set[str] = set()
        if not self.observed or not self.latents:
            raise GraphError(
                f"nothing to infer: observed {self.observed or '()'} and latent {self.latents or '()'} variables; "
                "name at least one of each"
            )
        if hidden := [name for name in self.latents if graph[name].gaps]:
            raise GraphError(f"node {hidden[0]!r} has gaps, but is not observed; observe it, or drop gaps")

    @property
    def gaps(self) -> tuple[str, ...]:
        """The observed variables whose entries may be missing."""
        return tuple(name for name in self.observed if self.graph[name].gaps)

    @property
    def remaining(self) -> int:
        """The number of simulations that can still be drawn."""
        return self.budget - self.spent

    def sample(
        self, n: int, given: Mapping[str, Tensor] | None = None, sizes: Mapping[str, int] = MappingProxyType({})
    ) -> dict[str, Tensor]:
        """Draw n ancestral samples.

        Each costs one simulation; if variables are repeated, each costs as many as the largest number of repeats of a
        variable, so that budgets are comparable between sizes.

        Arguments:
            n: number of draws.
            given: values (n, D) of some variables, such as parameters proposed by a sequential method.
            sizes: the size of every axis, by its name; axes with a single size need none.

        Returns:
            One tensor (n, D_i) per variable; (n, R_1, …, D_i) if it is repeated. It is in double precision if rounding
            would lose information in this call or did in an earlier one.

        Raises:
            BudgetExceeded: fewer than n simulations are left; nothing is drawn.
            SimulationError: the simulator returned something unusable; the draws count all the same.
        """
        n = whole("n", n)
        if n < 1:
            raise SimulationError(f"{n} simulations asked for; ask for at least one")
        cost = n * self.graph.draws(sizes)
        if cost > self.remaining:
            raise BudgetExceeded(
                f"{cost} simulations asked for, but only {self.remaining} of the budget of {self.budget} remain"
            )
        self.spent += cost
        self._calls += 1
        with seeded(derive(self.seed, "simulations", self._calls)):
            values = {name: value.detach() for name, value in self.graph.sample(n, given, sizes, self._double).items()}
        for name, value in values.items():
            if self._sizes.setdefault(name, value.shape[-1]) != value.shape[-1]:
                raise SimulationError(
                    f"node {name!r} returned {value.shape[-1]} components, but {self._sizes[name]} in an earlier call"
                )
        self._double.update(name for name, value in values.items() if value.dtype != torch.get_default_dtype())
        return values
