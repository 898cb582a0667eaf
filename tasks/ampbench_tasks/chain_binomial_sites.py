r"""Outbreaks of one disease in many towns: chain-binomial epidemics whose contact rates vary by an unknown amount.

.. math::
    \mu \sim \mathcal N(-5, 0.5^2), \qquad \tau \sim \mathcal N^+(0, 0.5^2), \qquad
    \operatorname{logit} p_j \sim \mathcal N(\mu, \tau^2), \qquad y_j \sim \text{chain binomial}(p_j)

:math:`\mathcal N^+` is the half-normal. A site is a town of 200 people with :math:`I_0 = 2` infectious and
:math:`S_0 = 198` susceptible ones. In generation :math:`t = 1, \dots, 20`

.. math::
    I_t \sim \mathrm{Bin}\bigl(S_{t-1},\, 1 - (1 - p_j)^{I_{t-1}}\bigr), \qquad S_t = S_{t-1} - I_t, \qquad
    y_{jt} \sim \mathrm{Bin}(I_t, \tfrac12)

so that :math:`y_{jt}` reports the people infected in generation t, and the first cases are not reported. To methods the
simulator of a site is a black box.

The likelihood of a site is computed exactly, see :mod:`ampbench_tasks.chain_binomial`, on nodes of
:math:`\operatorname{logit} p` in [−15, 3] with a spacing of 0.2; the prior mass outside is below :math:`10^{-9}`. Nodes
at which it is below :math:`e^{-25}` times its maximum are left out, and its logarithm is continued as a straight line.
The posterior is drawn from these tables, see :mod:`ampbench_tasks.tabulated`. Twice as many nodes change the
log-likelihood of a site by less than 0.002.

References:
    Abbey 1952, *An examination of the Reed-Frost theory of epidemics*, Human Biology 24, 201-233.
    Becker 1989, *Analysis of Infectious Disease Data*, chapter 2 (chain binomials, heterogeneous groups).
    Gelman et al. 2013, *Bayesian Data Analysis*, third edition, chapter 5, http://www.stat.columbia.edu/~gelman/book/.
"""

from __future__ import annotations

from functools import lru_cache
from typing import final

import torch
from torch import Tensor
from torch.distributions import HalfNormal, Independent, Normal, constraints
from torch.nn.functional import max_pool1d

from ampbench.errors import UsageError
from ampbench.graph import Graph, Node, Plate, density, simulator
from ampbench.graph.axes import Axis
from ampbench.options import at_least
from ampbench_tasks import chain_binomial, plates, tabulated
from ampbench_tasks.chain_binomial import FIRST_CASES, GENERATIONS, REPORTED_SHARE, SUSCEPTIBLE
from ampbench_tasks.structured import Structured

MU_MEAN, MU_DEVIATION = -5.0, 0.5
TAU_SCALE = 0.5
BOUNDS = ((-8.5, -1.5), (-40.0, 1.25))
"""Bounds of μ and log τ; the prior mass outside is below 1e-11."""
LOW, HIGH, SPACING = -15.0, 3.0, 0.2
"""The nodes of logit p."""
NEIGHBOURS = 4
"""Number of nodes beyond one with a high likelihood, which the interpolation uses."""
MAX_LOG_RATIO = 25.0
"""Largest log-ratio of the maximum of the likelihood to its value at a node; nodes beyond it are left out."""


@final
class ChainBinomialSites(Structured):
    """Chain-binomial epidemics, exact: latents mu, tau, logit_p_1 … logit_p_sites, observed y_1 … y_sites.

    Arguments:
        sites: number of sites.

    Raises:
        UsageError: sites below 1.
    """

    folder = "chain_binomial_sites"
    version = "1"
    source = "Abbey 1952; Becker 1989, chapter 2"
    algorithm = "exact likelihoods on nodes, then inverse distribution functions"
    max_likelihood_rows = 200

    def __init__(self, sites: int = 10) -> None:
        at_least(self, sites=(sites, 1))
        super().__init__(sites=sites)
        self._sites = sites
        flat = Graph(*_roots(), *(node for j in range(1, sites + 1) for node in _site(f"_{j}")))
        self._graph = flat.repeating(template(sites), {"site": sites})
        self.observed = tuple(f"y_{j}" for j in range(1, sites + 1))

    @property
    def graph(self) -> Graph:
        """The graph (mu, tau) → logit_p_j → y_j."""
        return self._graph

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw from the posterior of (mu, tau, logit_p), shape (n, 2 + sites).

        Raises:
            UsageError: the observation has another shape, is not finite, or holds numbers that no epidemic reports.
        """
        return tabulated.sample(self.table(observation), _log_prior, BOUNDS, n, seed)

    def table(self, observation: Tensor, refine: int = 1) -> tabulated.Table:
        """Return the likelihoods from which :meth:`reference` draws, with nodes and rules ``refine`` times finer."""
        x = self.check_observation(observation)
        _check_reports(x)
        return _table(tuple(x.long().tolist()), refine)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta), shape (*,), float64.

        For one observation, x (L,), it is interpolated; for several ones it is computed for each pair of a rate and
        reports, which takes milliseconds per pair. Certification compares few parameters given equal observations, and
        often with equal rates at most sites; what was computed last is kept.
        """
        logit_p = theta.double()[..., 2:]
        if x.ndim == 1:
            return self.table(x).log_likelihood(logit_p).sum(-1)
        logit_p = logit_p.expand(len(x), -1)
        reports = x.reshape(len(x), self._sites, GENERATIONS)
        return torch.stack([_pairs(logit_p[:, j], reports[:, j]) for j in range(self._sites)]).sum(0)


def _roots() -> list[Node]:
    return [
        density("mu", Independent(Normal(MU_MEAN * torch.ones(1), MU_DEVIATION * torch.ones(1)), 1)),
        density("tau", Independent(HalfNormal(TAU_SCALE * torch.ones(1)), 1)),
    ]


def template(sites: int | tuple[int, int]) -> Graph:
    """Return the graph with the axis ``site`` in place of single sites: latents mu, tau and logit_p, observed y.

    Arguments:
        sites: the number of sites, or the smallest and the largest one.
    """
    return Graph(*_roots(), *_site("", Plate("site", sites)))


def _site(suffix: str, *along: Axis) -> list[Node]:
    reports = constraints.independent(constraints.integer_interval(0, SUSCEPTIBLE), 1)
    return [
        density(f"logit_p{suffix}", plates.group, ["mu", "tau"], size=1, along=along),
        simulator(f"y{suffix}", chain_binomial.simulate, [f"logit_p{suffix}"], reports, GENERATIONS, along=along),
    ]


def _log_prior(points: Tensor) -> Tensor:
    """Return log p(μ, τ) up to a constant, shape (m,)."""
    mu, tau = points.T
    return -(((mu - MU_MEAN) / MU_DEVIATION) ** 2 + (tau / TAU_SCALE) ** 2) / 2


def _check_reports(x: Tensor) -> None:
    """Raise :class:`UsageError` for reports that no epidemic has."""
    if bad := ((x < 0) | (x > SUSCEPTIBLE) | (x != x.round())).nonzero().flatten().tolist():
        raise UsageError(
            f"reports are whole numbers from 0 to {SUSCEPTIBLE}, but component {bad[0]} is {float(x[bad[0]]):g}"
        )
    totals = x.reshape(-1, GENERATIONS).sum(1)
    if bad := (totals > SUSCEPTIBLE).nonzero().flatten().tolist():
        raise UsageError(f"site {bad[0] + 1} reports {int(totals[bad[0]])} people, more than {SUSCEPTIBLE}")


def _pairs(logit_p: Tensor, y: Tensor) -> Tensor:
    """Return log p(y | p) of one site, shape (m,), for pairs of a logit (m,) and reports (m, 20)."""
    result = torch.empty(len(y), dtype=torch.float64)
    for value in logit_p.unique().tolist():
        rows = logit_p == value
        result[rows] = _kept(value, y[rows].long().numpy().tobytes())
    return result


@lru_cache(maxsize=256)
def _kept(logit_p: float, reports: bytes) -> Tensor:
    """Return log p(y | p), shape (m,), for one logit of p and the bytes of reports (m, 20)."""
    y = torch.frombuffer(bytearray(reports), dtype=torch.int64).reshape(-1, GENERATIONS)
    return chain_binomial.log_likelihood(logit_p, y)


@lru_cache(maxsize=4)
def _table(reports: tuple[int, ...], refine: int) -> tabulated.Table:
    """Return the log-likelihoods of sites on nodes, computed once for equal reports."""
    rows, place = torch.tensor(reports).reshape(-1, GENERATIONS).unique(dim=0, return_inverse=True)
    spacing = SPACING / refine
    nodes = LOW + spacing * torch.arange(round((HIGH - LOW) / spacing) + 1, dtype=torch.float64)
    values = torch.full((len(rows), len(nodes)), torch.nan, dtype=torch.float64)
    wanted = (nodes - _estimate(rows)[:, None]).abs() <= SPACING
    while bool((missing := wanted & values.isnan()).any()):
        for g in missing.any(0).nonzero().flatten().tolist():
            values[missing[:, g], g] = chain_binomial.log_likelihood(float(nodes[g]), rows[missing[:, g]])
        wanted = _extended(values)
    return tabulated.Table(LOW, spacing, _continued(values)[place], refine)


def _estimate(y: Tensor) -> Tensor:
    """Return a rough estimate of logit p, shape (m,), from reports (m, 20) as if exactly their share were reported."""
    infected = torch.cat([torch.full_like(y[:, :1], FIRST_CASES), y / REPORTED_SHARE], dim=1).double()
    susceptible = (SUSCEPTIBLE - infected[:, 1:].cumsum(1)).clamp(min=1)
    susceptible = torch.cat([torch.full_like(susceptible[:, :1], SUSCEPTIBLE), susceptible[:, :-1]], dim=1)
    exposure = (infected[:, :-1] * susceptible).sum(1)
    return ((infected[:, 1:].sum(1) + 1) / exposure).log().clamp(LOW, HIGH)


def _extended(values: Tensor) -> Tensor:
    """Return which nodes are wanted, (m, G): those known, and the neighbours of those where the likelihood is high."""
    known = ~values.isnan()
    high = known & (values > _top(values) - MAX_LOG_RATIO)
    near = max_pool1d(high[:, None].double(), 2 * NEIGHBOURS + 1, stride=1, padding=NEIGHBOURS)[:, 0]
    return known | (near > 0)


def _continued(values: Tensor) -> Tensor:
    """Return the values (m, G), whose known ones are next to each other, with straight lines at both ends."""
    known, place = ~values.isnan(), torch.arange(values.shape[1])
    first = torch.where(known, place, len(place)).min(1, keepdim=True).values
    last = torch.where(known, place, -1).max(1, keepdim=True).values
    slope_first = values.gather(1, first + 1) - values.gather(1, first)
    slope_last = values.gather(1, last) - values.gather(1, last - 1)
    below = values.gather(1, first) + slope_first * (place - first)
    above = values.gather(1, last) + slope_last * (place - last)
    return torch.where(place < first, below, torch.where(place > last, above, values))


def _top(values: Tensor) -> Tensor:
    """Return the largest known value of each row, shape (m, 1)."""
    return values.nan_to_num(nan=-torch.inf).max(1, keepdim=True).values
