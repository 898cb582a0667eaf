r"""A bound of the tries of sbi's samplers, which try until they have all draws.

sbi draws from a network and rejects what lies outside the prior's support. At an observation that the prior hardly
predicts, nearly all mass of the network lies outside (leakage; Deistler et al. 2022), and there is no end. Likewise,
candidates of a truncated prior, perturbed particles of SMC-ABC and starting points of Markov chains are drawn until
enough are accepted, and a chain widens its slice until the density falls. Here sampling ends with an error as soon as

.. math:: \text{tries} \ge t \cdot \max(1, \text{accepted draws}),

that is at an acceptance rate below 1 / t. The bound depends on the seed only, not on the time that passes; sbi's own
limit, ``max_sampling_time``, is one of time. The random numbers of a call that succeeds are those without a bound. ::

    with limited_tries(1_000_000):
        samples = posterior.sample(x, 1000)

References:
    Deistler, Gonçalves, Macke 2022, *Truncated proposals for scalable and hassle-free simulation-based inference*,
    arXiv:2210.04815: leakage.
    Neal 2003, *Slice sampling*, Annals of Statistics 31: the width of a slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, final

from torch import Tensor

from ampbench.counts import count
from ampbench.errors import SamplingError

MAX_TRIES = 10_000
"""t, the number of tries for each accepted draw, unless :func:`limited_tries` sets another one."""

_limit = ContextVar("t", default=MAX_TRIES)


@contextmanager
def limited_tries(limit: int) -> Iterator[None]:
    """Let the methods of sbi make so many tries for each accepted draw inside the block; the default is 10,000.

    Arguments:
        limit: t, at least 1. Fitting a sequential method samples too, so that its fit belongs inside the block.

    Raises:
        UsageError: no whole number, or less than one try.

    Example:
        >>> with limited_tries(1_000_000):
        ...     Tries("candidates are accepted", "try others").limit
        1000000
    """
    token = _limit.set(count("limit", limit))
    try:
        yield
    finally:
        _limit.reset(token)


@final
class Tries:
    """The numbers of tried and of accepted candidates of one call of a sampler.

    Arguments:
        what: the meaning of acceptance, as in "draws lie inside the prior's support".
        advice: the next step, for the message.
    """

    def __init__(self, what: str, advice: str) -> None:
        self.what = what
        self.advice = advice
        self.limit = _limit.get()
        self.tried = self.accepted = 0

    def restart(self) -> None:
        """Begin to count anew: the sampler got what it asked for."""
        self.tried = self.accepted = 0

    def add(self, tried: int, accepted: int) -> None:
        """Count candidates.

        Raises:
            SamplingError: the acceptance rate is too low; the message names it, the limit and the next step.
        """
        self.tried += tried
        self.accepted += accepted
        if self.tried >= self.limit * max(1, self.accepted):
            raise SamplingError(
                f"{self.accepted} of {self.tried} {self.what}: the acceptance rate is "
                f"{self.accepted / self.tried:.2g}, and sampling stops below 1 / {self.limit}; {self.advice}, "
                "or allow more tries with ampbench_sbi.tries.limited_tries"
            )

    def counted(self, accept: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Return a function that decides on candidates (n, *) as ``accept`` does, and counts them."""

        def decide(candidates: Tensor) -> Tensor:
            accepted = accept(candidates)
            self.add(len(candidates), int(accepted.reshape(len(candidates), -1).all(1).sum()))
            return accepted

        return decide


def leaking() -> Tries:
    """Return the count for draws of a network, which are rejected outside the prior's support."""
    return Tries(
        "draws of the network lie inside the prior's support",
        "the observation is probably far from what the prior predicts: compare it with simulations from the prior, and "
        "correct the observation, the simulator or the prior",
    )


def truncated() -> Tries:
    """Return the count for draws of the prior, which are rejected outside the region of a truncated proposal."""
    return Tries(
        "draws of the prior lie inside the region of the truncated proposal",
        "take sample_with=sir, or fewer rounds",
    )


def perturbed() -> Tries:
    """Return the count for perturbed particles of SMC-ABC, which are rejected outside the prior's support."""
    return Tries("perturbed parameters lie inside the prior's support", "lower kernel_scale")


def starting() -> Tries:
    """Return the count for parameters at which a Markov chain evaluates the density."""
    return Tries(
        "parameters have a density above 0",
        "the observation is probably far from what the prior predicts: compare it with simulations from the prior, and "
        "correct the observation, the simulator or the prior",
    )


@contextmanager
def bounded_rejection(sampler: Any, tries: Tries) -> Iterator[None]:
    """Bound inside the block the tries of an sbi object that rejects draws outside the support of its ``prior``."""
    unbounded = sampler.prior
    sampler.prior = _CountedPrior(unbounded, tries)
    try:
        yield
    finally:
        sampler.prior = unbounded


@contextmanager
def bounded_chains(posterior: Any, n: int) -> Iterator[None]:
    """Bound inside the block the evaluations of the density by the Markov chains of an sbi posterior.

    Arguments:
        posterior: an ``MCMCPosterior`` of sbi.
        n: number of draws that are asked for.
    """
    unbounded = posterior.potential_fn
    posterior.potential_fn = _CountedPotential(unbounded, starting(), -(-n // posterior.num_chains))
    try:
        yield
    finally:
        posterior.potential_fn = unbounded


class _Proxy:
    """An object of sbi with another behaviour of one part."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        if name == "_wrapped":  # a copy that is being made has none yet
            raise AttributeError(name)
        return getattr(self._wrapped, name)


@final
class _CountedSupport(_Proxy):
    """A support whose checks are counted."""

    def __init__(self, support: Any, tries: Tries) -> None:
        super().__init__(support)
        self.check = tries.counted(support.check)


@final
class _CountedPrior(_Proxy):
    """A prior whose support counts what it checks."""

    def __init__(self, prior: Any, tries: Tries) -> None:
        super().__init__(prior)
        self._tries = tries

    @property
    def support(self) -> _CountedSupport:
        return _CountedSupport(self._wrapped.support, self._tries)


@final
class _CountedPotential(_Proxy):
    """An unnormalised log density whose evaluations are counted.

    A starting point is selected among candidates, none of which may have the density NaN, and some of which must have
    one above 0. After that, chains that widen their slice for ever have a density that is flat to rounding: D t (1 + k
    / 10) evaluations are allowed for k draws of each chain, with about ten needed for each draw and component, and some
    thousands for the adaptation of the steps.
    """

    def __init__(self, potential: Any, tries: Tries, draws: int) -> None:
        super().__init__(potential)
        self._tries = tries
        self._draws = draws
        self._evaluations = 0

    def __call__(self, theta: Tensor, *arguments: Any, **options: Any) -> Tensor:
        value: Tensor = self._wrapped(theta, *arguments, **options)
        usable = not bool(value.isnan().any()) and bool(value.isfinite().any())
        self._tries.add(len(theta), len(theta) if usable else 0)
        self._evaluations += 1
        if self._evaluations > theta.shape[-1] * self._tries.limit * (1 + self._draws / 10):
            raise SamplingError(
                f"the Markov chains evaluated the density {self._evaluations} times without {self._draws} draws each: "
                f"an acceptance rate below {self._draws / self._evaluations:.2g}; {self._tries.advice}, or allow more "
                "tries with ampbench_sbi.tries.limited_tries"
            )
        return value
