r"""Errors of the first two moments, in units of the posterior's standard deviation.

.. math:: \text{bias} = \sqrt{\operatorname{mean}_d \frac{(\bar s_d - \bar t_d)^2}{\sigma_d^2}}, \qquad
          \text{spread} = \sqrt{\operatorname{mean}_d \log^2 \frac{\hat\sigma_d}{\sigma_d}}

with :math:`\bar t_d, \sigma_d` the mean and standard deviation of the reference in component d, and
:math:`\bar s_d, \hat\sigma_d` those of the samples. Both ignore correlations and shapes, but they are easy to
interpret: with a bias of 1, means are wrong by one posterior standard deviation; with a spread of 0.7, standard
deviations are wrong by a factor of two. Both are positive even if the distributions agree, of the order of n^(−1/2).

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*; ``sbibm.metrics.moments``, which averages signed
    errors over the components, so that opposite ones cancel. Root mean squares do not.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from ampbench.interfaces import Measurement, Metric
from ampbench.metrics.checks import check_varies, standardised
from ampbench.metrics.uncertainty import RESAMPLES, bootstrap_error


class _Moment(Metric):
    """A root mean square of errors over components.

    Arguments:
        seed: seed of the bootstrap.
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
        q, p = standardised(self.name, samples.cpu(), reference.cpu(), min_size=2)
        check_varies(self.name, "samples", q)
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
    """Root mean square error of the means, in posterior standard deviations.

    Arguments:
        seed: seed of the bootstrap.
    """

    name = "bias"

    @staticmethod
    def errors(samples: Tensor, reference: Tensor) -> Tensor:
        """Return the standardised difference of the means, shape (D,)."""
        return (samples.mean(0) - reference.mean(0)) / reference.std(0)


@final
class Spread(_Moment):
    """Root mean square logarithm of the ratio of standard deviations, samples to reference.

    Arguments:
        seed: seed of the bootstrap.
    """

    name = "spread"

    @staticmethod
    def errors(samples: Tensor, reference: Tensor) -> Tensor:
        """Return the logarithm of the ratio of the standard deviations, shape (D,)."""
        return torch.log(samples.std(0) / reference.std(0))
