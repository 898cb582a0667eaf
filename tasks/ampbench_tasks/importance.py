r"""Exact posterior draws by adaptive importance sampling and weighted acceptance.

In unconstrained coordinates :math:`u`, :math:`\theta = T(u)`, the target is

.. math:: \pi(u) \propto p(x \mid T(u))\, p(T(u))\, |\det T'(u)|

and the proposal a mixture of Student t distributions. It is adapted on the tempered path
:math:`\pi_\beta(u) \propto p(x \mid T(u))^\beta\, p(T(u))\, |\det T'(u)|`: prior draws begin, :math:`\beta` rises as
far as the effective sample size allows, and each round refits the mixture to the weighted draws by an EM step for
importance samples. Once :math:`\beta = 1` a few more rounds sharpen it.

Fresh proposals with weights :math:`w = \pi / q` are then kept :math:`\lfloor w / c + U \rfloor` times,
:math:`U \sim \mathcal U(0, 1)`: rejection sampling with ceiling :math:`c`, except that the rare proposal above the
ceiling is repeated rather than cut, so that nothing is biased by a ceiling that is too low. :math:`c` is chosen such
that at most a share of ``REPEATED`` of the draws are repetitions.

The likelihood may also be an unbiased estimate: its noise then lives in an extended space whose marginal is exact
(importance sampling squared).

References:
    Cappé, Douc, Guillin, Marin, Robert 2008, *Adaptive importance sampling in general mixture classes*,
    arXiv:0710.4242.
    Del Moral, Doucet, Jasra 2006, *Sequential Monte Carlo samplers*, doi:10.1111/j.1467-9868.2006.00553.x (tempering).
    Tran, Scharth, Pitt, Kohn 2013, *Importance sampling squared*, arXiv:1309.3339.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from ampbench.errors import SimulationError
from ampbench.seeding import seeded
from ampbench_tasks.student import Mixture, fit

LogDensity = Callable[[Tensor], Tensor]

FIRST = 4000
"""Prior draws to begin with."""
ROUND = 2000
"""Proposals of each round of adaptation."""
PILOT = 2000
"""Least number of proposals from which the ceiling is chosen."""
LARGEST = 20_000
"""Proposals of one batch, to bound memory."""
ROUNDS = 60
"""After so many rounds without reaching the posterior, it is out of reach."""
SHARPEN = 3
"""Rounds after the posterior is reached."""
EFFECTIVE = 0.1
"""Share of effective draws that the next temperature must leave."""
COMPONENTS = 8
REPEATED = 0.002
LEAST = 0.02
"""Smallest share of effective proposals of a reference that can be trusted."""


@dataclass(frozen=True)
class Draws:
    """Exact draws, and how well the proposal fitted.

    Attributes:
        samples: shape (n, D).
        proposals: how many were made, after adaptation.
        effective: effective sample size of the proposals, as a share of their number.
        repeated: share of the samples that repeat another one.
    """

    samples: Tensor
    proposals: int
    effective: float
    repeated: float


def posterior_draws(
    prior: Distribution,
    log_likelihood: LogDensity,
    n: int,
    seed: int,
    rough: LogDensity | None = None,
    components: int = COMPONENTS,
) -> Tensor:
    """Return n exact posterior draws, shape (n, D), float32; see :func:`sample`."""
    return sample(prior, log_likelihood, n, seed, rough, components).samples.float()


def sample(
    prior: Distribution,
    log_likelihood: LogDensity,
    n: int,
    seed: int,
    rough: LogDensity | None = None,
    components: int = COMPONENTS,
) -> Draws:
    """Draw exactly from the posterior.

    Arguments:
        prior: over theta, event shape (D,); its support says which coordinates are unconstrained.
        log_likelihood: from theta (m, D), float64, to (m,); minus infinity is allowed, and so is the logarithm of an
            unbiased estimate.
        n: number of draws.
        seed: same seed, same draws.
        rough: a cheaper approximation of the likelihood, good enough to adapt the proposal to.
        components: of the proposal, at most; curved posteriors need more of them.

    Raises:
        SimulationError: the proposal does not come near the posterior; the observation is practically impossible.
    """
    with seeded(seed):
        proposal = adapt(Target(prior, rough or log_likelihood), components)
        return accept(Target(prior, log_likelihood), proposal, n)


class Target:
    """The posterior in unconstrained coordinates, split in prior and likelihood."""

    def __init__(self, prior: Distribution, log_likelihood: LogDensity) -> None:
        self._prior = prior
        self._log_likelihood = log_likelihood
        self._bijection = biject_to(prior.support)

    def start(self, n: int) -> Tensor:
        """Prior draws, shape (n, D), float64."""
        u: Tensor = self._bijection.inv(self._prior.sample(torch.Size([n])).double())
        return u

    def theta(self, u: Tensor) -> Tensor:
        """Back to parameters."""
        theta: Tensor = self._bijection(u)
        return theta

    def log_prior(self, u: Tensor) -> Tensor:
        """log p(T(u)) + log |det T'(u)|, shape (n,)."""
        theta = self._bijection(u)
        jacobian = self._bijection.log_abs_det_jacobian(u, theta)
        log_prob: Tensor = self._prior.log_prob(theta) + (jacobian if jacobian.ndim == 1 else jacobian.sum(-1))
        return log_prob

    def log_likelihood(self, u: Tensor) -> Tensor:
        """log p(x | T(u)), shape (n,)."""
        return self._log_likelihood(self._bijection(u)).nan_to_num(nan=-torch.inf, neginf=-torch.inf)


def adapt(target: Target, components: int = COMPONENTS) -> Mixture:
    """Return a proposal near the posterior; raises :class:`SimulationError` if none is found."""
    u = target.start(FIRST)
    likelihood = target.log_likelihood(u)
    if not bool(torch.isfinite(likelihood).any()):
        raise SimulationError(
            f"the posterior cannot be sampled: not one of {FIRST} prior draws can have produced the observation"
        )
    ratio = torch.zeros_like(likelihood)  # log of prior / proposal
    beta, sharpened = 0.0, 0
    for _ in range(ROUNDS):
        beta = _temperature(likelihood, ratio, beta)
        proposal = fit(u, torch.softmax(beta * likelihood + ratio, 0), components)
        if beta == 1.0:
            sharpened += 1
            if sharpened > SHARPEN:
                return proposal
        u = proposal.sample(ROUND)
        likelihood = target.log_likelihood(u)
        ratio = target.log_prior(u) - proposal.log_prob(u)
    raise SimulationError(
        f"the posterior cannot be sampled: adaptation ended at temperature {beta:.3g} of 1 after {ROUNDS} rounds; "
        "the observation is practically impossible under the prior"
    )


def _temperature(likelihood: Tensor, ratio: Tensor, last: float) -> float:
    """The highest temperature, at least the last one, that leaves enough effective draws."""

    def enough(beta: float) -> bool:
        return effective_share(beta * likelihood + ratio) >= EFFECTIVE

    if enough(1.0):
        return 1.0
    low, high = last, 1.0
    for _ in range(40):
        middle = (low + high) / 2 if low > 0 else high / 4
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low or high


def accept(target: Target, proposal: Mixture, n: int) -> Draws:
    """Keep each fresh proposal floor(w / c + U) times, with enough of them for n draws."""
    wanted = n + 5 * n**0.5  # the number kept is random
    u, logs = _weighted(target, proposal, max(n, PILOT))
    ceiling = _ceiling(logs)
    while (expected := float((logs - ceiling).exp().sum())) < wanted:
        more = _weighted(target, proposal, min(int(1.2 * len(logs) * (wanted / expected - 1)) + 100, LARGEST))
        u, logs = torch.cat([u, more[0]]), torch.cat([logs, more[1]])
        _check(logs)
        ceiling = _ceiling(logs)
    effective = _check(logs)
    scaled = (logs - ceiling).exp()
    copies = (scaled + torch.rand_like(scaled)).floor().long()
    kept = u.repeat_interleave(copies, dim=0)[:n]
    return Draws(target.theta(kept), len(logs), effective, _excess(logs, ceiling))


def _check(logs: Tensor) -> float:
    """Return the effective share of proposals, or say that it is too small."""
    effective = effective_share(logs)
    if effective < LEAST:
        raise SimulationError(
            f"the posterior cannot be sampled reliably: {effective:.2%} of the proposals are effective, "
            f"{LEAST:.0%} are needed"
        )
    return effective


def effective_share(log_weights: Tensor) -> float:
    """Kish's effective sample size, as a share of the number of draws."""
    weights = torch.softmax(log_weights, 0)
    return float(1 / weights.square().sum() / len(weights))


def _weighted(target: Target, proposal: Mixture, m: int) -> tuple[Tensor, Tensor]:
    u = proposal.sample(m)
    return u, target.log_likelihood(u) + target.log_prior(u) - proposal.log_prob(u)


def _ceiling(logs: Tensor) -> Tensor:
    """The lowest log c for which no more than a share of REPEATED of the draws are repetitions."""
    candidates = logs.sort(descending=True).values[: len(logs) // 10]
    low, high = 0, len(candidates) - 1
    while low < high:  # the excess grows as the ceiling falls
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _excess(logs, candidates[middle]) <= REPEATED else (low, middle - 1)
    return candidates[low]


def _excess(logs: Tensor, ceiling: Tensor) -> float:
    weights = (logs - ceiling).exp()
    return float((weights - 1).clamp(min=0).sum() / weights.sum())
