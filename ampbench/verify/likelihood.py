r"""The likelihood against the simulator: an identity between two thetas.

For :math:`\ell(x) = \log p(x \mid \theta') - \log p(x \mid \theta)` and any bounded function :math:`h`,

.. math::
    \mathbb E_{x \sim p(\cdot \mid \theta)} \Bigl[ \frac{h(x)}{1 + e^{-\ell(x)}} \Bigr] =
    \mathbb E_{x \sim p(\cdot \mid \theta')} \Bigl[ \frac{h(x)}{1 + e^{\ell(x)}} \Bigr]

because both sides are :math:`\int h\, p\, p' / (p + p')`. The better known
:math:`\mathbb E_{x \sim p(\cdot \mid \theta)}[e^{\ell(x)}] = 1` fails where the support of x moves with theta, and its
left side may have an infinite variance; here all terms lie within :math:`\pm 1`. A constant that depends on theta (a
forgotten normaliser or Jacobian) breaks it, and so does a wrong noise scale in the simulator.

A rare event may be seen on one side only, so that the variance of the difference is not left to the samples: under the
identity :math:`s = 1 / (1 + e^{-\ell})` has :math:`\mathbb E_\theta[s h^2]` as the sum of both sides' second moments.

theta comes from the prior; theta′ lies so far along a random direction that the two laws overlap by about 60 %.

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

OVERLAP = 0.6
PILOT = 500
HALVINGS = 14
FARTHEST = 2.0
"""Longest step, in standard deviations of the prior in unconstrained coordinates."""
EVENTS = 20
"""A difference that rests on fewer events is judged by Hoeffding's inequality."""
WIDEST = 12
"""Of larger vectors, so many components serve as functions h."""


def likelihood(subject: Subject) -> Iterator[Finding]:
    """Check the identity at several pairs of thetas."""
    _ = subject.likelihood
    if subject.noisy:
        raise SkipCheck("the likelihood is an estimate; the reference checks judge it")
    tested = []
    for i, (theta, step) in enumerate(_pairs(subject)):
        other = _neighbour(subject, theta, step, i)
        tested += _identity(subject, theta, other, i)
    yield smallest("likelihood", tested, f"{subject.effort.steps} pairs of thetas")


def _pairs(subject: Subject) -> Iterator[tuple[Tensor, Tensor]]:
    """Thetas from the prior, and the longest steps from them: along one coordinate, and in all, by turns."""
    theta = subject.prior(1000, "likelihood")
    u = subject.unconstrained.encode(theta.double())
    generator = torch.Generator().manual_seed(subject.derive("likelihood steps"))
    for i in range(subject.effort.steps):
        direction = torch.randn(u.shape[1], generator=generator, dtype=u.dtype)
        if i % 2 == 0:
            direction = torch.zeros_like(direction).index_fill(0, torch.tensor((i // 2) % u.shape[1]), 1.0)
        yield u[i], FARTHEST * u.std(0) * direction


def _neighbour(subject: Subject, u: Tensor, step: Tensor, i: int) -> Tensor:
    """Shorten the step until the laws at its ends overlap: bisection on the logarithm of its length."""
    theta = _theta(subject, u)
    _, x = subject.simulate(PILOT, theta, "likelihood pilot", i)
    low, high = -6.0, 0.0  # decades
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ratio = _log_ratio(subject, theta, _theta(subject, u + 10**middle * step), x)
        low, high = (middle, high) if float(ratio.exp().clamp(max=1).mean()) > OVERLAP else (low, middle)
    return _theta(subject, u + 10**low * step)


def _identity(subject: Subject, u: Tensor, other: Tensor, i: int) -> list[tuple[str, float]]:
    """Test both sides of the identity for h = 1, and for h = every component of x on a bounded scale."""
    theta = _theta(subject, u)
    n = subject.effort.simulations // 2
    _, x = subject.simulate(n, theta, "likelihood here", i)
    _, y = subject.simulate(n, other, "likelihood there", i)
    left = torch.sigmoid(_log_ratio(subject, theta, other, x))
    right = torch.sigmoid(_log_ratio(subject, other, theta, y))
    columns = torch.linspace(0, x.shape[1] - 1, min(x.shape[1], WIDEST)).round().long().tolist()
    names = subject.observed_names
    place = f" at pair {i + 1}"
    one = np.ones(n)
    tested = [(f"the identity{place}", difference(left.numpy(), right.numpy(), one, one))]
    for column in columns:
        here, there = _bounded(x[:, column], y[:, column])
        h, g = here.numpy(), there.numpy()
        for name, f, k in ((names[column], h, g), (f"{names[column]}²", 2 * h**2 - 1, 2 * g**2 - 1)):
            tested.append((f"the identity × {name}{place}", difference(left.numpy(), right.numpy(), f, k)))
    return tested


def difference(left: Array, right: Array, h: Array, g: Array) -> float:
    """Test whether the means of left × h and of right × g, (n,) each, agree as the identity says."""
    here, there = left * h, right * g
    gap, centre = float(here.mean() - there.mean()), float(here.mean() + there.mean()) / 2
    under_identity = float((left * h**2).mean() + (right * g**2).mean()) / 2 - 2 * centre**2
    variance = max(under_identity, float(here.var() + there.var()))
    # an event that is rare on one side weighs 1 - s on the other
    largest = max(float((np.maximum(s, 1 - s) * np.abs(f)).max()) for s, f in ((left, h), (right, g)))
    if len(left) * variance <= EVENTS * largest**2:
        return hoeffding(gap, len(left))
    return normal(gap / np.sqrt(variance / len(left)))


def _bounded(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both samples on one scale between -1 and 1."""
    together = torch.cat([x, y]).double()
    centre = together.median()
    spread = (together - centre).abs().mean()
    scale = spread if spread > 0 else torch.ones_like(spread)
    return torch.tanh((x.double() - centre) / scale), torch.tanh((y.double() - centre) / scale)


def _log_ratio(subject: Subject, theta: Tensor, other: Tensor, x: Tensor) -> Tensor:
    """log p(x | theta′) - log p(x | theta), shape (n,), for x (n, L) simulated at theta.

    Raises:
        ArithmeticError: x is impossible at its own theta.
    """
    here, there = (subject.log_likelihood(each[None], x) for each in (theta, other))
    if bad := int(torch.isinf(here).sum()):
        raise ArithmeticError(f"log_likelihood is infinite for {bad} of {len(x)} simulations at their own theta")
    return there - here


def _theta(subject: Subject, u: Tensor) -> Tensor:
    """The parameters (D,) at unconstrained coordinates (D′,), rounded as the simulator rounds them."""
    return subject.unconstrained.decode(u[None])[0][0].float()
