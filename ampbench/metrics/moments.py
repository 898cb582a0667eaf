r"""Errors of the first two moments, in units of the posterior's standard deviation.

.. math:: \text{bias} = \sqrt{\operatorname{mean}_d \frac{(\bar s_d - \bar t_d)^2}{\sigma_d^2}}, \qquad
          \text{spread} = \sqrt{\operatorname{mean}_d \log^2 \frac{\hat\sigma_d}{\sigma_d}}

with :math:`\bar t_d, \sigma_d` the mean and standard deviation of the reference in component d, and
:math:`\bar s_d, \hat\sigma_d` those of the samples. They see no correlation and no shape, but they say what is wrong:
a bias of 1 means intervals in the wrong place, a spread of 0.7 means twice (or half) the width. Both are positive even
where the distributions agree, of the order of n^(−1/2).

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*; ``sbibm.metrics.moments``, which averages signed
    errors over the components, so that opposite ones cancel. Root mean squares do not.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from ampbench.errors import MetricError
from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check, z_score
from ampbench.metrics.uncertainty import RESAMPLES, bootstrap_error


class _Moment(Metric):
    """A root mean square over components.

    Arguments:
        seed: of the bootstrap.
    """

    name: str

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed

    @staticmethod
    @abstractmethod
    def errors(samples: Tensor, reference: Tensor) -> Tensor:
        """Return the error in each component, shape (D,)."""

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        """Return the error, with its bootstrap standard error."""
        check(self.name, samples, reference, least=2)
        q, p = z_score(self.name, samples.cpu(), reference.cpu())
        if constant := (q.std(0) == 0).nonzero().flatten().tolist():
            raise MetricError(f"{self.name}: component {constant[0]} of the samples is constant, and has no scale")
        return Measurement(
            float(self._size(q, p)),
            {
                "version": "1",
                "scale": "reference",
                "seed": self.seed,
                "resamples": RESAMPLES,
                "n_samples": len(samples),
                "n_reference": len(reference),
                "standard_error": bootstrap_error(self._size, q, p, seed=self.seed),
            },
        )

    def _size(self, samples: Tensor, reference: Tensor) -> Tensor:
        return self.errors(samples.double(), reference.double()).square().mean().sqrt()


@final
class Bias(_Moment):
    """How far the means are off, in posterior standard deviations."""

    name = "bias"

    @staticmethod
    def errors(samples: Tensor, reference: Tensor) -> Tensor:
        """Return the standardised difference of the means, shape (D,)."""
        return (samples.mean(0) - reference.mean(0)) / reference.std(0)


@final
class Spread(_Moment):
    """By what factor the standard deviations are off, as a logarithm."""

    name = "spread"

    @staticmethod
    def errors(samples: Tensor, reference: Tensor) -> Tensor:
        """Return the logarithm of the ratio of the standard deviations, shape (D,)."""
        return torch.log(samples.std(0) / reference.std(0))
