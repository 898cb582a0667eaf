r"""An epidemic among agents on a small-world network, in discrete time.

.. math::
    \theta = (\beta, \gamma, \iota) \sim \mathcal U(0, 0.3) \times \mathcal U(0.05, 0.5) \times \mathcal U(0, 0.01)

150 agents form a fixed Watts-Strogatz network, with 6 neighbours each and 10 % of the edges rewired. On each of 30 days

- a susceptible agent with j infectious neighbours is infected with probability 1 − (1 − ι)(1 − β)^j: through each of
  these contacts with probability β, or from outside with probability ι;
- an agent who was infectious in the morning recovers with probability γ, and stays immune.

On day 0 the agents 0, 50 and 100 are infectious. x is the number of infectious agents on the evenings of days 1 to 30.

The likelihood is intractable, a sum over all histories of all agents: this task is forward-only. The simulator is not
differentiable.

References:
    Watts & Strogatz 1998, *Collective dynamics of "small-world" networks*, doi:10.1038/30918.
    Keeling & Eames 2005, *Networks and epidemic models*, doi:10.1098/rsif.2005.0051.
"""

from __future__ import annotations

from functools import cache, cached_property
from typing import final

import networkx as nx
import torch
from torch import Tensor
from torch.distributions import Independent, Uniform, constraints

from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import packaged

AGENTS, NEIGHBOURS, REWIRED_SHARE, NETWORK_SEED = 150, 6, 0.1, 2026
FIRST_CASES = (0, 50, 100)
DAYS = 30
LOWER_BOUNDS, UPPER_BOUNDS = (0.0, 0.05, 0.0), (0.3, 0.5, 0.01)


@final
class Epidemic(Task, HasGolden):
    """Epidemic on a network: theta of size 3, x of size 30; forward-only."""

    version = "1"
    source = "SIR on a small world: Watts & Strogatz 1998; Keeling & Eames 2005"

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        prior = Independent(Uniform(torch.tensor(LOWER_BOUNDS), torch.tensor(UPPER_BOUNDS)), 1)
        counts = constraints.independent(constraints.integer_interval(0, AGENTS), 1)
        return Graph(density("theta", prior), simulator("x", simulate, ["theta"], counts, size=DAYS))

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy."""
        return packaged.golden("epidemic")


@cache
def contacts() -> Tensor:
    """Return the network's adjacency matrix, symmetric, shape (150, 150)."""
    network = nx.watts_strogatz_graph(AGENTS, NEIGHBOURS, REWIRED_SHARE, seed=NETWORK_SEED)
    return torch.from_numpy(nx.to_numpy_array(network)).float()


def simulate(theta: Tensor) -> Tensor:
    """Draw x given theta (n, 3), shape (n, 30)."""
    contact, recovery, outside = theta.T[:, :, None]  # (n, 1) each
    neighbours = contacts().to(theta.device)
    infectious = torch.zeros(len(theta), AGENTS, dtype=torch.bool, device=theta.device)
    infectious[:, list(FIRST_CASES)] = True
    susceptible = ~infectious
    counts = []
    for _ in range(DAYS):
        exposure = infectious.float() @ neighbours  # infectious neighbours, (n, 150)
        escape = (1 - outside) * (1 - contact) ** exposure
        infected = susceptible & (torch.rand_like(escape) >= escape)
        recovered = infectious & (torch.rand_like(escape) < recovery)
        susceptible = susceptible & ~infected
        infectious = (infectious & ~recovered) | infected
        counts.append(infectious.sum(1))
    return torch.stack(counts, dim=1).float()
