r"""Nile: annual flow at Aswan from 1871 to 1970, as a random walk with noise of unknown sizes (the local level model).

.. math::
    s &\sim \mathcal N(\log 100, 1), \qquad w \sim \mathcal N(\log 30, 1), \qquad
    m_1 \sim \mathcal N(1000, 300^2) \\
    m_t &\sim \mathcal N(m_{t-1}, e^{2 w}), \qquad y_t \sim \mathcal N(m_t, e^{2 s})

The unit of y, m, :math:`e^s` and :math:`e^w` is 10⁸ m³. Observation 1 is the real data, with unknown parameters;
observations 2 to 10 are simulated. Given (s, w) everything is Gaussian: the Kalman filter gives the likelihood
:math:`p(y \mid s, w)`. (s, w) is drawn on a grid that adapts to the posterior (:mod:`ampbench_tasks.grid`), and the
levels are then drawn exactly given (s, w) (:mod:`ampbench_tasks.kalman`).

References:
    Cobb 1978, *The problem of the Nile: conditional solution to a changepoint problem*, doi:10.1093/biomet/65.2.243
    (the data, which are in the public domain; taken from statsmodels 0.15, ``statsmodels.datasets.nile``).
    Durbin, Koopman 2012, *Time Series Analysis by State Space Methods*, second edition, chapter 2,
    doi:10.1093/acprof:oso/9780199641178.001.0001 (the model).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import final

import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, Normal

from ampbench.graph import Graph, Node, axes, density, previous, simulator
from ampbench.interfaces import Observation
from ampbench.options import at_least
from ampbench_tasks import grid
from ampbench_tasks.kalman import Chain
from ampbench_tasks.structured import Structured

FLOW = (
    *(1120, 1160, 963, 1210, 1160, 1160, 813, 1230, 1370, 1140, 995, 935, 1110, 994, 1020, 960, 1180, 799, 958, 1140),
    *(1100, 1210, 1150, 1250, 1260, 1220, 1030, 1100, 774, 840, 874, 694, 940, 833, 701, 916, 692, 1020, 1050, 969),
    *(831, 726, 456, 824, 702, 1120, 1100, 832, 764, 821, 768, 845, 864, 862, 698, 845, 744, 796, 1040, 759),
    *(781, 865, 845, 944, 984, 897, 822, 1010, 771, 676, 649, 846, 812, 742, 801, 1040, 860, 874, 848, 890),
    *(744, 749, 838, 1050, 918, 986, 797, 923, 975, 815, 1020, 906, 901, 1170, 912, 746, 919, 718, 714, 740),
)
"""Annual flow from 1871 to 1970, in 10⁸ m³."""
FIRST_MEAN = 1000.0
FIRST_DEVIATION = 300.0
S_MEAN = math.log(100)
W_MEAN = math.log(30)
BOUNDS = ((-50.0, 90.0), (-50.0, 90.0))
"""Bounds of s and w, which allow for all observations that float32 can hold."""


@final
class Nile(Structured):
    """Nile, exact up to a grid: latents s, w, m_1 … m_length, observed y_1 … y_length; observation 1 is the real data.

    Arguments:
        length: number of years T. The real data are the first ``length`` years; beyond 100 years, all observations
            are simulated.

    Raises:
        UsageError: length below 1.
    """

    folder = "nile"
    version = "1"
    source = "Cobb 1978; Durbin & Koopman 2012, chapter 2"
    algorithm = "inverse distribution function of (s, w) on a grid, then backward sampling"

    def __init__(self, length: int = 100) -> None:
        at_least(self, length=(length, 1))
        super().__init__(length=length)
        self._length = length
        levels = [density(f"m_{t}", step, [f"m_{t - 1}", "w"], size=1) for t in range(2, length + 1)]
        readings = [simulator(f"y_{t}", measure, [f"m_{t}", "s"], size=1) for t in range(1, length + 1)]
        flat = Graph(*_parameters(), _root("m_1", FIRST_MEAN, FIRST_DEVIATION), *levels, *readings)
        self._graph = flat.repeating(template(length), {"year": length})
        self.observed = tuple(f"y_{t}" for t in range(1, length + 1))

    @property
    def graph(self) -> Graph:
        """The graph m_1 → … → m_length, m_t → y_t, with w → m_t and s → y_t."""
        return self._graph

    def observations(self) -> Mapping[int, Observation]:
        """Return simulations of the seeds 1 to 10, of which the real data replace number 1 if there are enough."""
        simulated = {number: self.observation(number) for number in range(1, 11)}
        if self._length > len(FLOW):
            return simulated
        x = torch.tensor(FLOW[: self._length], dtype=torch.get_default_dtype())
        return simulated | {1: Observation(x, torch.full((2 + self._length,), torch.nan), seed=-1)}

    def reference(self, observation: Tensor, n: int, seed: int, refine: int = 1) -> Tensor:
        """Draw from the posterior of (s, w, m), shape (n, 2 + length), on a grid that is ``refine`` times finer."""
        y = self.check_observation(observation).double()
        generator = Generator().manual_seed(seed)

        def log_density(s: Tensor, w: Tensor) -> Tensor:
            return chain(s, w).log_likelihood(y) - ((s - S_MEAN) ** 2 + (w - W_MEAN) ** 2) / 2

        s, w = grid.draw(log_density, BOUNDS, n, generator, refine).T
        levels = chain(s, w).sample(y, generator)
        return torch.cat([s[:, None], w[:, None], levels], dim=1).float()

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64."""
        theta = theta.double()
        return Normal(theta[..., 2:], theta[..., :1].exp()).log_prob(x.double()).sum(-1)


def template(length: int | tuple[int, int]) -> Graph:
    """Return the graph with the axis ``year`` in place of single years: latents s, w and m, observed y.

    Arguments:
        length: the number of years, or the smallest and the largest one.
    """
    year = [axes.Chain("year", length)]
    level = Independent(Normal(torch.full((1,), FIRST_MEAN), torch.full((1,), FIRST_DEVIATION)), 1)
    return Graph(
        *_parameters(),
        density("m", step, [previous("m"), "w"], size=1, along=year, first=lambda w: level.expand(w.shape[:1])),
        simulator("y", measure, ["m", "s"], size=1, along=year),
    )


def _parameters() -> list[Node]:
    return [_root("s", S_MEAN, 1.0), _root("w", W_MEAN, 1.0)]


def chain(s: Tensor, w: Tensor) -> Chain:
    """Return the levels and their observations given s (m,) and w (m,)."""
    return Chain(FIRST_MEAN, FIRST_DEVIATION**2, torch.ones_like(w), (2 * w).exp(), (2 * s).exp())


def step(level: Tensor, w: Tensor) -> Distribution:
    """Return p(m_t | m_{t−1}, w) for a level and w of shape (n, 1)."""
    return Independent(Normal(level, w.exp()), 1)


def measure(level: Tensor, s: Tensor) -> Tensor:
    """Draw y_t given m_t and s, (n, 1) each, shape (n, 1)."""
    return level + s.exp() * torch.randn_like(level)


def _root(name: str, mean: float, deviation: float) -> Node:
    return density(name, Independent(Normal(torch.full((1,), mean), torch.full((1,), deviation)), 1))
