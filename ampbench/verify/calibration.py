r"""Simulation-based calibration of the reference.

If :math:`\theta^* \sim p(\theta)`, :math:`x \sim p(x \mid \theta^*)` and
:math:`\theta_1, \dots, \theta_L \sim p(\theta \mid x)`, then the rank of :math:`g(\theta^*, x)` among the
:math:`g(\theta_l, x)` is uniform on :math:`0, \dots, L` for every function g; ties are broken at random. The test needs
no likelihood, and it is the only check that detects a mode missing from the reference wherever the mode lies.

The functions g are the components of theta, the products of neighbouring components, the distance to the prior's
median and, if the task has an exact likelihood, the log likelihood: functions of theta alone cannot distinguish a
posterior from the prior. The ranks, made continuous by a uniform fraction, are tested for uniformity by the
Kolmogorov-Smirnov test, once directly and once folded at the middle, which detects reference draws that are too wide
or too narrow (:mod:`ampbench.statistics.calibration`).

References:
    Talts, Betancourt, Simpson, Vehtari, Gelman 2018, *Validating Bayesian inference algorithms with simulation-based
    calibration*, arXiv:1804.06788.
    Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman, Vehtari 2023, *Simulation-based calibration checking for
    Bayesian computation: the choice of test quantities shapes sensitivity*, arXiv:2211.02383.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ampbench.interfaces import HasLikelihood
from ampbench.statistics.calibration import quantities, quantity_names, rank_statistics, uniformity_p_values
from ampbench.verify.finding import Finding, smallest
from ampbench.verify.subject import Subject

DRAWS_PER_OBSERVATION = 99
"""L, the number of reference draws for each observation."""


def calibration(subject: Subject) -> Iterator[Finding]:
    """Check that ranks of true parameters among reference draws are uniform."""
    prior = subject.prior(2000, "calibration")
    centre, spread = prior.median(0).values, (prior - prior.median(0).values).abs().mean(0).clamp(min=1e-12)
    n = subject.effort.observations
    values = torch.stack([_values(subject, i, centre, spread) for i in range(n)], dim=1)
    generator = torch.Generator().manual_seed(subject.derive("ties"))
    columns = rank_statistics(values[0], values[1:], generator).T.numpy()
    tested = [
        (f"rank of {name}", p) for name, u in zip(_names(subject), columns, strict=True) for p in uniformity_p_values(u)
    ]
    yield smallest("calibration", tested, f"{n} observations, {DRAWS_PER_OBSERVATION} draws each")


def _values(subject: Subject, i: int, centre: Tensor, spread: Tensor) -> Tensor:
    """Return the test quantities at one fresh observation, shape (1 + L, K): of the true theta, then of the draws."""
    observation = subject.fresh("calibration", i)
    draws = subject.reference(observation.x, DRAWS_PER_OBSERVATION, "calibration", i)
    theta = torch.cat([observation.theta[None], draws])
    values = quantities(theta, centre, spread)
    if not _likelihood_joins(subject):
        return values
    return torch.cat([values, subject.log_likelihood(theta, observation.x)[:, None]], dim=1)


def _names(subject: Subject) -> list[str]:
    names = quantity_names(subject.names)
    return [*names, "the log likelihood"] if _likelihood_joins(subject) else names


def _likelihood_joins(subject: Subject) -> bool:
    return isinstance(subject.task, HasLikelihood) and not subject.noisy
