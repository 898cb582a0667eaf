r"""Exact posterior draws by adaptive importance sampling and weighted acceptance.

In unconstrained coordinates :math:`u`, :math:`\theta = T(u)`, the target is

.. math:: \pi(u) \propto p(x \mid T(u))\, p(T(u))\, |\det T'(u)|

and the proposal is a mixture of Student t distributions. It is adapted on the tempered path
:math:`\pi_\beta(u) \propto p(x \mid T(u))^\beta\, p(T(u))\, |\det T'(u)|`: the first draws come from the prior,
:math:`\beta` rises as far as the effective sample size allows, and each round refits the mixture to the weighted draws
by EM steps for importance samples. A few more rounds at :math:`\beta = 1` refine the mixture.

New proposals with weights :math:`w = \pi / q` are then kept :math:`\lfloor w / c + U \rfloor` times,
:math:`U \sim \mathcal U(0, 1)`: rejection sampling with the bound :math:`c`, except that the few proposals with a
weight above the bound are repeated rather than truncated, so that a low bound causes no bias. :math:`c` is chosen such
that at most a share of ``MAX_REPEATED_SHARE`` of the draws are repetitions.

The likelihood may also be an unbiased estimate: its noise is then a variable of an extended space whose marginal is
exact (importance sampling squared).

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

PRIOR_DRAWS = 4000
"""Number of prior draws at the start of the adaptation."""
ROUND_PROPOSALS = 2000
"""Number of proposals in each round of the adaptation."""
MIN_PILOT_PROPOSALS = 2000
"""Smallest number of proposals from which the bound of the weights is chosen."""
MAX_BATCH_PROPOSALS = 20_000
"""Largest number of proposals in an additional batch; it bounds the memory."""
MAX_ROUNDS = 60
"""Largest number of rounds of the adaptation."""
FINAL_ROUNDS = 3
"""Number of rounds at temperature 1 before the last fit."""
MIN_TEMPERED_SHARE = 0.1
"""Smallest share of effective draws at the next temperature."""
MAX_COMPONENTS = 8
"""Largest number of mixture components of the proposal."""
MAX_REPEATED_SHARE = 0.002
"""Largest share of repeated draws in a reference."""
MIN_EFFECTIVE_SHARE = 0.02
"""Smallest share of effective proposals for which a reference is accepted."""


@dataclass(frozen=True)
class Draws:
    """Exact draws, with diagnostics of the proposal.

    Attributes:
        samples: shape (n, D).
        proposals: number of proposals after the adaptation.
        effective: effective sample size of the proposals, as a share of their number.
        repeated: share of the samples that repeat another sample.
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
    components: int = MAX_COMPONENTS,
) -> Tensor:
    """Return n exact posterior draws, shape (n, D), float32; see :func:`sample`."""
    return sample(prior, log_likelihood, n, seed, rough, components).samples.float()


def sample(
    prior: Distribution,
    log_likelihood: LogDensity,
    n: int,
    seed: int,
    rough: LogDensity | None = None,
    components: int = MAX_COMPONENTS,
) -> Draws:
    """Draw exactly from the posterior.

    Arguments:
        prior: distribution of theta, event shape (D,); its support defines the unconstrained coordinates.
        log_likelihood: from theta (m, D), float64, to (m,); it may be minus infinity, or the logarithm of an unbiased
            estimate.
        n: number of draws.
        seed: of the random numbers; it determines the draws.
        rough: a cheaper approximation of the log-likelihood, to which the proposal is adapted.
        components: largest number of mixture components of the proposal; curved posteriors need more components.

    Raises:
        SimulationError: the proposal does not come near the posterior; the observation is practically impossible.
    """
    with seeded(seed):
        proposal = adapt(Target(prior, rough or log_likelihood), components)
        return accept(Target(prior, log_likelihood), proposal, n)


class Target:
    """The posterior in unconstrained coordinates, as prior and likelihood."""

    def __init__(self, prior: Distribution, log_likelihood: LogDensity) -> None:
        self._prior = prior
        self._log_likelihood = log_likelihood
        self._bijection = biject_to(prior.support)

    def start(self, n: int) -> Tensor:
        """Draw from the prior, in unconstrained coordinates, shape (n, D), float64."""
        u: Tensor = self._bijection.inv(self._prior.sample(torch.Size([n])).double())
        return u

    def theta(self, u: Tensor) -> Tensor:
        """Return the parameters T(u)."""
        theta: Tensor = self._bijection(u)
        return theta

    def log_prior(self, u: Tensor) -> Tensor:
        """Return log p(T(u)) + log |det T'(u)|, shape (n,)."""
        theta = self._bijection(u)
        jacobian = self._bijection.log_abs_det_jacobian(u, theta)
        log_prob: Tensor = self._prior.log_prob(theta) + (jacobian if jacobian.ndim == 1 else jacobian.sum(-1))
        return log_prob

    def log_likelihood(self, u: Tensor) -> Tensor:
        """Return log p(x | T(u)), shape (n,), with minus infinity for NaN."""
        return self._log_likelihood(self._bijection(u)).nan_to_num(nan=-torch.inf, neginf=-torch.inf)


def adapt(target: Target, components: int = MAX_COMPONENTS) -> Mixture:
    """Return a proposal that approximates the posterior; raise :class:`SimulationError` if the adaptation fails."""
    u = target.start(PRIOR_DRAWS)
    likelihood = target.log_likelihood(u)
    if not bool(torch.isfinite(likelihood).any()):
        raise SimulationError(
            f"the posterior cannot be sampled: not one of {PRIOR_DRAWS} prior draws can have produced the observation"
        )
    ratio = torch.zeros_like(likelihood)  # log of prior / proposal
    beta, sharpened = 0.0, 0
    for _ in range(MAX_ROUNDS):
        beta = _temperature(likelihood, ratio, beta)
        proposal = fit(u, torch.softmax(beta * likelihood + ratio, 0), components)
        if beta == 1.0:
            sharpened += 1
            if sharpened > FINAL_ROUNDS:
                return proposal
        u = proposal.sample(ROUND_PROPOSALS)
        likelihood = target.log_likelihood(u)
        ratio = target.log_prior(u) - proposal.log_prob(u)
    raise SimulationError(
        f"the posterior cannot be sampled: adaptation ended at temperature {beta:.3g} of 1 after {MAX_ROUNDS} rounds; "
        "the observation is practically impossible under the prior"
    )


def _temperature(likelihood: Tensor, ratio: Tensor, last: float) -> float:
    """Return the highest temperature, at least ``last``, with enough effective draws."""

    def enough(beta: float) -> bool:
        return effective_share(beta * likelihood + ratio) >= MIN_TEMPERED_SHARE

    if enough(1.0):
        return 1.0
    low, high = last, 1.0
    for _ in range(40):
        middle = (low + high) / 2 if low > 0 else high / 4
        low, high = (middle, high) if enough(middle) else (low, middle)
    return low or high


def accept(target: Target, proposal: Mixture, n: int) -> Draws:
    """Draw n times: repeat each new proposal floor(w / c + U) times, with enough proposals for n draws."""
    wanted = n + 5 * n**0.5  # the number kept is random
    u, logs = _weighted(target, proposal, max(n, MIN_PILOT_PROPOSALS))
    log_bound = _log_bound(logs)
    while (expected := float((logs - log_bound).exp().sum())) < wanted:
        more = _weighted(
            target, proposal, min(int(1.2 * len(logs) * (wanted / expected - 1)) + 100, MAX_BATCH_PROPOSALS)
        )
        u, logs = torch.cat([u, more[0]]), torch.cat([logs, more[1]])
        _check(logs)
        log_bound = _log_bound(logs)
    effective = _check(logs)
    scaled = (logs - log_bound).exp()
    copies = (scaled + torch.rand_like(scaled)).floor().long()
    kept = u.repeat_interleave(copies, dim=0)[:n]
    return Draws(target.theta(kept), len(logs), effective, _excess(logs, log_bound))


def _check(logs: Tensor) -> float:
    """Return the share of effective proposals; raise :class:`SimulationError` if it is too small."""
    effective = effective_share(logs)
    if effective < MIN_EFFECTIVE_SHARE:
        raise SimulationError(
            f"the posterior cannot be sampled reliably: {effective:.2%} of the proposals are effective, "
            f"{MIN_EFFECTIVE_SHARE:.0%} are needed"
        )
    return effective


def effective_share(log_weights: Tensor) -> float:
    """Return Kish's effective sample size, as a share of the number of draws."""
    weights = torch.softmax(log_weights, 0)
    return float(1 / weights.square().sum() / len(weights))


def _weighted(target: Target, proposal: Mixture, m: int) -> tuple[Tensor, Tensor]:
    """Draw m proposals (m, D), and return them with their log weights (m,)."""
    u = proposal.sample(m)
    return u, target.log_likelihood(u) + target.log_prior(u) - proposal.log_prob(u)


def _log_bound(logs: Tensor) -> Tensor:
    """Return the smallest log c for which at most a share of MAX_REPEATED_SHARE of the draws are repetitions."""
    candidates = logs.sort(descending=True).values[: len(logs) // 10]
    low, high = 0, len(candidates) - 1
    while low < high:  # a smaller bound gives more repetitions
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _excess(logs, candidates[middle]) <= MAX_REPEATED_SHARE else (low, middle - 1)
    return candidates[low]


def _excess(logs: Tensor, log_bound: Tensor) -> float:
    """Return the expected share of draws that are repetitions, for this log c."""
    weights = (logs - log_bound).exp()
    return float((weights - 1).clamp(min=0).sum() / weights.sum())
