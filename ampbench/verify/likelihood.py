r"""The likelihood against the simulator: a test of an identity between the simulations at two thetas.

For :math:`\ell(x) = \log p(x \mid \theta') - \log p(x \mid \theta)` and any bounded function :math:`h`,

.. math::
    \mathbb E_{x \sim p(\cdot \mid \theta)} \Bigl[ \frac{h(x)}{1 + e^{-\ell(x)}} \Bigr] =
    \mathbb E_{x \sim p(\cdot \mid \theta')} \Bigl[ \frac{h(x)}{1 + e^{\ell(x)}} \Bigr]

because both sides are :math:`\int h\, p\, p' / (p + p')`. The better known identity
:math:`\mathbb E_{x \sim p(\cdot \mid \theta)}[e^{\ell(x)}] = 1` fails where the support of x depends on theta, and
:math:`e^{\ell(x)}` may have an infinite variance; in the identity above all terms lie within :math:`\pm 1`. A missing
factor that depends on theta (a normalising constant, a Jacobian) violates the identity, and so does a wrong noise scale
in the simulator.

A rare event may occur on one side only, so that the sample variance of the difference can be far too small. It is
therefore bounded from below by the variance under the identity, where, with :math:`s = 1 / (1 + e^{-\ell})`, the second
moments of both sides sum to :math:`\mathbb E_\theta[s h^2]`.

The detail of the finding says how many simulations there were. A likelihood that is costly for several observations is
tested with fewer ones (``max_likelihood_rows`` of the task), which detect larger faults only.

theta is drawn from the prior; theta′ lies along a random direction, at a distance at which the two distributions
overlap by about 60 %.

References:
    Bennett 1976, *Efficient estimation of free energy differences from Monte Carlo data*,
    doi:10.1016/0021-9991(76)90078-4 (the identity and its best weight function).
    Geweke 2004, *Getting it right: joint distribution tests of posterior simulators*, doi:10.1198/016214504000001132.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.statistics import Array, hoeffding, normal
from ampbench.verify.subject import Subject

MIN_OVERLAP = 0.6
"""Overlap of the distributions of x at the two thetas: the mean of min(1, likelihood ratio)."""
PILOT_SIMULATIONS = 500
"""Simulations that estimate the overlap."""
BISECTION_STEPS = 14
"""Bisections of the logarithm of the distance between the two thetas."""
MAX_STEP_SDS = 2.0
"""Largest distance of the two thetas, in standard deviations of the prior in unconstrained coordinates."""
MIN_EVENTS = 20
"""A difference that rests on fewer events is tested by Hoeffding's inequality instead of a normal score."""
MAX_COMPONENTS = 12
"""Largest number of components of x that serve as functions h."""


def likelihood(subject: Subject) -> Iterator[Finding]:
    """Test the identity at several pairs of thetas."""
    _ = subject.likelihood
    if subject.noisy:
        raise SkipCheck("the likelihood is an estimate; the reference checks judge it")
    tested = []
    for i, (theta, step) in enumerate(_pairs(subject)):
        other = _neighbour(subject, theta, step, i)
        tested += _identity(subject, theta, other, i)
    count = f"{_affordable(subject, subject.effort.simulations // 2)} simulations at each theta"
    yield smallest("likelihood", tested, f"{subject.effort.steps} pairs of thetas, {count}")


def _affordable(subject: Subject, n: int) -> int:
    """Return the number of simulations, which a costly likelihood limits."""
    return min(n, subject.likelihood.max_likelihood_rows or n)


def _pairs(subject: Subject) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield prior draws u with the longest steps from them, alternately along one coordinate and along all."""
    theta = subject.prior(1000, "likelihood")
    u = subject.unconstrained.encode(theta.double())
    generator = torch.Generator().manual_seed(subject.derive("likelihood steps"))
    for i in range(subject.effort.steps):
        direction = torch.randn(u.shape[1], generator=generator, dtype=u.dtype)
        if i % 2 == 0:
            direction = torch.zeros_like(direction).index_fill(0, torch.tensor((i // 2) % u.shape[1]), 1.0)
        yield u[i], MAX_STEP_SDS * u.std(0) * direction


def _neighbour(subject: Subject, u: Tensor, step: Tensor, i: int) -> Tensor:
    """Return theta′: shorten the step, by bisection on the logarithm of its length, to the required overlap."""
    theta = _theta(subject, u)
    _, x = subject.simulate(_affordable(subject, PILOT_SIMULATIONS), theta, "likelihood pilot", i)
    low, high = -6.0, 0.0  # decades
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        ratio = _log_ratio(subject, theta, _theta(subject, u + 10**middle * step), x)
        low, high = (middle, high) if float(ratio.exp().clamp(max=1).mean()) > MIN_OVERLAP else (low, middle)
    return _theta(subject, u + 10**low * step)


def _identity(subject: Subject, u: Tensor, other: Tensor, i: int) -> list[tuple[str, float]]:
    """Test the identity for h = 1 and, for each of some components of x on a bounded scale, h = x and h = 2 x² − 1."""
    theta = _theta(subject, u)
    n = _affordable(subject, subject.effort.simulations // 2)
    _, x = subject.simulate(n, theta, "likelihood here", i)
    _, y = subject.simulate(n, other, "likelihood there", i)
    left = torch.sigmoid(_log_ratio(subject, theta, other, x))
    right = torch.sigmoid(_log_ratio(subject, other, theta, y))
    columns = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], MAX_COMPONENTS)).round().long().tolist()
    names = subject.observed_names
    where = f" at pair {i + 1}"
    one = np.ones(n)
    tested = [(f"the identity{where}", difference(left.numpy(), right.numpy(), one, one))]
    for column in columns:
        h, g = (part.numpy() for part in _bounded(x[:, column], y[:, column]))
        for name, f, k in ((names[column], h, g), (f"{names[column]}²", 2 * h**2 - 1, 2 * g**2 - 1)):
            tested.append((f"the identity × {name}{where}", difference(left.numpy(), right.numpy(), f, k)))
    return tested


def difference(left: Array, right: Array, h: Array, g: Array) -> float:
    """Return the p-value of the identity: equal means of left × h and of right × g, (n,) each."""
    one, other = left * h, right * g
    gap, centre = float(one.mean() - other.mean()), float(one.mean() + other.mean()) / 2
    under_identity = float((left * h**2).mean() + (right * g**2).mean()) / 2 - 2 * centre**2
    variance = max(under_identity, float(one.var() + other.var()))
    # an event of weight s on one side, where it is rare, has the weight 1 - s on the other
    largest = max(float((np.maximum(s, 1 - s) * np.abs(f)).max()) for s, f in ((left, h), (right, g)))
    if len(left) * variance <= MIN_EVENTS * largest**2:
        return hoeffding(gap, len(left))
    return normal(gap / np.sqrt(variance / len(left)))


def _bounded(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Map both samples to (-1, 1) by one common transformation."""
    together = torch.cat([x, y]).double()
    centre = together.median()
    spread = (together - centre).abs().mean()
    scale = spread if spread > 0 else torch.ones_like(spread)
    return torch.tanh((x.double() - centre) / scale), torch.tanh((y.double() - centre) / scale)


def _log_ratio(subject: Subject, theta: Tensor, other: Tensor, x: Tensor) -> Tensor:
    """Return log p(x | theta′) - log p(x | theta), shape (n,), for x (n, L) simulated at theta.

    Raises:
        ArithmeticError: the likelihood of a simulation at its own theta is zero or infinite.
    """
    own, others = (subject.log_likelihood(each[None], x) for each in (theta, other))
    if bad := int(torch.isinf(own).sum()):
        raise ArithmeticError(f"log_likelihood is infinite for {bad} of {len(x)} simulations at their own theta")
    return others - own


def _theta(subject: Subject, u: Tensor) -> Tensor:
    """Return the parameters (D,) at unconstrained coordinates (D′,), in float32 as the simulator takes them."""
    return subject.unconstrained.decode(u[None])[0][0].float()
