r"""Ricker's map: a chaotic population, observed through Poisson counts.

.. math::
    (\ln r, \sigma, \varphi) &\sim \mathcal U(3, 5) \times \mathcal U(0.1, 0.6) \times \mathcal U(5, 15) \\
    N_t &= r N_{t-1} e^{-N_{t-1} + e_t}, \quad e_t \sim \mathcal N(0, \sigma^2), \qquad
    x_t \sim \mathrm{Poisson}(\varphi N_t), \qquad N_0 = 1

theta = (ln r, σ, φ); x holds ``steps`` counts, by default 50, without a burn-in. The prior is that of Thomas et al.,
except for the lower bound of σ, which is 0 there: without noise the map is chaotic and deterministic, the likelihood is
too rough, and a reference would not be reliable.

**Likelihood.** With u = ln N the states follow a Gaussian random walk with nonlinear drift,
:math:`u_t \sim \mathcal N(m_t, \sigma^2)`, :math:`m_t = \ln r + u_{t-1} - e^{u_{t-1}}`. A particle filter gives an
unbiased estimate of p(x | theta), which suffices for exact importance sampling. The proposal of a particle depends on
the count: with probability 0.9 it is the Gaussian at the mode of p(u_t | u_{t-1}, x_t), which solves

.. math:: w + \ln w = \ln(\sigma^2 \varphi) + m_t + \sigma^2 x_t, \qquad w = \sigma^2 \varphi e^{u_t}

and otherwise :math:`\mathcal N(m_t, \sigma^2)`, which bounds the weights.

References:
    Ricker 1954, *Stock and recruitment*, doi:10.1139/f54-039.
    Wood 2010, *Statistical inference for noisy nonlinear ecological dynamic systems*, doi:10.1038/nature09319.
    Thomas, Dutta, Corander, Kaski, Gutmann 2022, *Likelihood-free inference by ratio estimation*, arXiv:1611.10242.
    Andrieu, Doucet, Holenstein 2010, *Particle Markov chain Monte Carlo methods*, doi:10.1111/j.1467-9868.2009.00736.x.
    Tran, Scharth, Pitt, Kohn 2013, *Importance sampling squared*, arXiv:1309.3339.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property
from typing import final

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Uniform, constraints

from ampbench.errors import SimulationError, UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasGolden, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench.seeding import seeded
from ampbench_tasks import packaged
from ampbench_tasks.importance import Target, accept, effective_share
from ampbench_tasks.student import Mixture, fit

STEPS = 50
LOWER_BOUNDS, UPPER_BOUNDS = (3.0, 0.1, 5.0), (5.0, 0.6, 15.0)
ROUGH_PARTICLES = 32
"""Number of particles of a likelihood estimate during the adaptation of the proposal."""
PRIOR_DRAWS, ROUND_PROPOSALS, ROUNDS = 1500, 700, 6
"""Numbers of prior draws at the start, of proposals in a round, and of rounds of the adaptation."""
MIN_EFFECTIVE_SHARE = 0.1
"""Smallest share of effective draws at the temperature of a round."""
COMPONENTS = 3
"""Number of mixture components of the proposal."""
PARTICLES = (64, 256, 1024)
"""Numbers of particles of a likelihood estimate for the draws; the next number is tried if estimates are too noisy."""
GUIDED_SHARE = 0.9
"""Probability that a particle is proposed from the Gaussian at the mode, which depends on the count."""


@final
class Ricker(Task, HasReference, HasGolden):
    """Ricker's map: theta = (ln r, σ, φ) of size 3, x of size ``steps``.

    Raises:
        UsageError: there are no steps.
    """

    version = "1"
    source = "Wood 2010; prior after Thomas et al. 2022"
    algorithm = "importance sampling with particle-filter likelihoods"

    def __init__(self, steps: int = STEPS) -> None:
        if steps < 1:
            raise UsageError(f"ricker needs at least one step, got steps={steps}")
        self.steps = steps

    @cached_property
    def prior(self) -> Distribution:
        """The prior, uniform on the box."""
        return Independent(Uniform(torch.tensor(LOWER_BOUNDS), torch.tensor(UPPER_BOUNDS)), 1)

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        counts = constraints.independent(constraints.nonnegative_integer, 1)
        return Graph(density("theta", self.prior), simulator("x", self.simulate, ["theta"], counts, self.steps))

    def simulate(self, theta: Tensor) -> Tensor:
        """Draw x given theta (n, 3), shape (n, steps)."""
        log_r, sigma, phi = theta.T
        u = torch.zeros_like(log_r)  # ln N
        counts = []
        for _ in range(self.steps):
            u = log_r + u - u.exp() + sigma * torch.randn_like(u)
            counts.append(torch.poisson(phi * u.exp()))
        return torch.stack(counts, dim=1)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly by importance sampling with estimated likelihoods, shape (n, 3)."""
        x = self.check_observation(observation)
        with seeded(seed):
            proposal = _adapt(Target(self.prior, lambda theta: estimate(theta, x, ROUGH_PARTICLES)))
            for particles in PARTICLES[:-1]:
                with suppress(SimulationError):  # too noisy estimates give too few effective draws
                    return self._draws(proposal, x, n, particles)
            return self._draws(proposal, x, n, PARTICLES[-1])

    def _draws(self, proposal: Mixture, x: Tensor, n: int, particles: int) -> Tensor:
        return accept(Target(self.prior, lambda theta: estimate(theta, x, particles)), proposal, n).samples.float()

    def golden(self) -> Golden:
        """Return the statistics of an independent implementation in numpy.

        Raises:
            UsageError: an option differs from its default.
        """
        return packaged.golden_of_defaults("ricker", {"steps": self.steps}, {"steps": STEPS})


def _adapt(target: Target) -> Mixture:
    """Return a proposal that approximates the posterior.

    In contrast to :func:`ampbench_tasks.importance.adapt` the number of rounds is fixed: the noise of rough estimates
    may prevent the temperature from reaching 1, and a slightly too wide proposal suffices.
    """
    u = target.start(PRIOR_DRAWS)
    likelihood, ratio = target.log_likelihood(u), torch.zeros(PRIOR_DRAWS, dtype=torch.float64)
    for _ in range(ROUNDS):
        proposal = fit(u, torch.softmax(_temperature(likelihood, ratio) * likelihood + ratio, 0), COMPONENTS)
        u = proposal.sample(ROUND_PROPOSALS)
        likelihood, ratio = target.log_likelihood(u), target.log_prior(u) - proposal.log_prob(u)
    return fit(u, torch.softmax(_temperature(likelihood, ratio) * likelihood + ratio, 0), COMPONENTS)


def _temperature(likelihood: Tensor, ratio: Tensor) -> float:
    """Return the highest temperature, at most 1, with enough effective draws."""
    grid = [2.0**-k for k in torch.arange(0, 14, 0.5).tolist()]
    return next((beta for beta in grid if effective_share(beta * likelihood + ratio) >= MIN_EFFECTIVE_SHARE), grid[-1])


def estimate(theta: Tensor, x: Tensor, particles: int) -> Tensor:
    """Return the logarithm of an unbiased estimate of p(x | theta), shape (m,), for theta (m, 3) and one x, (L,).

    Random numbers come from torch's global generator; states are float32, weights are summed in float64.
    """
    log_r, sigma, phi = theta.float().T[:, :, None]  # (m, 1) each
    u = torch.zeros(len(theta), particles)
    total = torch.zeros(len(theta), dtype=torch.float64)
    for count in x.tolist():
        mean = log_r + u - u.exp()
        u, log_weights = _propose(mean, sigma, phi, count)
        top = log_weights.max(1, keepdim=True).values
        weights = (log_weights - top).exp()
        total += top[:, 0].double() + weights.double().mean(1).log() - math.lgamma(count + 1)
        u = u.gather(1, _resampled(weights))
    return total


def _propose(mean: Tensor, sigma: Tensor, phi: Tensor, count: float) -> tuple[Tensor, Tensor]:
    """Draw ln N_t, and return it with its log weight without the factorial of the count: (m, P) each."""
    w = _omega((sigma.square() * phi).log() + mean + sigma.square() * count)
    scale = sigma / (1 + w).sqrt()
    mode = mean + sigma.square() * count - w
    guided = torch.rand_like(mean) < GUIDED_SHARE
    u = torch.where(guided, mode, mean) + torch.where(guided, scale, sigma) * torch.randn_like(mean)
    walk = -((u - mean) / sigma).square() / 2
    near = -((u - mode) / scale).square() / 2
    # the normalisers of both Gaussians share 1 / sqrt(2 π) σ
    proposal = torch.logaddexp(near + (GUIDED_SHARE * (1 + w).sqrt()).log(), walk + math.log(1 - GUIDED_SHARE))
    intensity = u + phi.log()
    return u, count * intensity - intensity.exp() + walk - proposal


def _omega(total: Tensor) -> Tensor:
    """Return an approximate solution w of w + ln w = total; the proposal need not be exactly at the mode."""
    w = torch.where(
        total > 1, total - total.clamp(min=1).log(), total.clamp(max=1).exp() / (1 + total.clamp(max=1).exp())
    )
    for _ in range(2):
        w = (w * (1 + total - w.clamp(min=1e-30).log()) / (1 + w)).clamp(min=1e-30)
    return w


def _resampled(weights: Tensor) -> Tensor:
    """Return the indices of the ancestors by systematic resampling, shape (m, P)."""
    m, particles = weights.shape
    cumulative = weights.cumsum(1)
    cumulative = cumulative / cumulative[:, -1:]
    points = (torch.arange(particles) + torch.rand(m, 1)) / particles
    return torch.searchsorted(cumulative, points).clamp(max=particles - 1)
