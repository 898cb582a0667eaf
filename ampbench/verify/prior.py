r"""The prior: tests of its draws against golden statistics, against known moments, and against its own density.

The draws of a root with a density must have the mean and the variance of that distribution, and the joint draws of all
latent variables must satisfy detailed balance (:mod:`ampbench.verify.balance`) with the joint log density.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.graph import component_names, split
from ampbench.verify.balance import balance
from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.golden import golden_statistics, share_tests
from ampbench.verify.statistics import zero_mean
from ampbench.verify.subject import Subject


def prior_golden(subject: Subject) -> Iterator[Finding]:
    """Compare prior draws with golden statistics."""
    golden = golden_statistics(subject)
    theta = subject.prior(subject.effort.simulations)
    tested = share_tests(golden.prior, theta, subject.names, "")
    yield smallest("prior golden", tested, f"{len(theta)} draws against {golden.source}")


def prior_moments(subject: Subject) -> Iterator[Finding]:
    """Compare the draws of roots with the means and variances of their densities."""
    theta = subject.prior(subject.effort.simulations)
    tested = []
    for name, part in split(theta.double(), subject.latent_sizes).items():
        distribution = subject.task.graph[name].conditional
        if isinstance(distribution, Distribution):
            tested += _moments(name, distribution, part)
    if not tested:
        raise SkipCheck("no latent variable is a root with a density and finite moments")
    yield smallest("prior moments", tested, f"{len(theta)} draws")


def _moments(name: str, distribution: Distribution, draws: Tensor) -> list[tuple[str, float]]:
    """Test the finite moments of draws (n, D); return the name and the p-value of each."""
    try:
        mean, variance = distribution.mean.double(), distribution.variance.double()
    except NotImplementedError:
        return []
    tested = []
    names = component_names({name: len(mean)})
    for i in torch.isfinite(mean + variance).nonzero().flatten().tolist():
        deviation = draws[:, i] - mean[i]
        tested.append((f"mean of {names[i]}", zero_mean(deviation.numpy())))
        tested.append((f"variance of {names[i]}", zero_mean((deviation**2 - variance[i]).numpy())))
    return tested


def prior_density(subject: Subject) -> Iterator[Finding]:
    """Test detailed balance of prior draws with the prior's density."""
    theta = subject.prior(2 * subject.effort.draws, "density")

    def log_density(u: Tensor) -> Tensor:
        drawn, jacobian = subject.unconstrained.decode(u)
        return subject.log_prior(drawn) + jacobian

    yield balance(
        "prior density", log_density, subject.unconstrained.encode(theta.double()), subject.derive("prior balance")
    )
