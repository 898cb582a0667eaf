r"""Unbiased squared kernel Stein discrepancy of samples from a density that is known up to a factor.

.. math:: \mathrm{KSD}^2 = \mathbb E_{u, u'}\bigl[ s^\top s' k + s^\top \nabla_{u'} k + s'^\top \nabla_u k
          + \nabla_u \!\cdot\! \nabla_{u'} k \bigr], \qquad s = \nabla_u \log p(u \mid x_o)

with u, u′ from q and a Gaussian kernel k whose bandwidth is the samples' median distance. u are unconstrained
coordinates; in theta itself the posterior would not vanish at the boundary of a bounded prior, as Stein's identity
demands. The expectation is 0 if q is the posterior. The discrepancy needs no reference samples, but a likelihood with a
gradient, and it is hardly sensitive to a mode that the samples miss.

References:
    Liu, Lee & Jordan 2016, *A kernelized Stein discrepancy for goodness-of-fit tests*, theorem 3.6.
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, appendix, which reports log(n KSD²).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from ampbench.errors import GraphError, MetricError
from ampbench.graph import Graph, split
from ampbench.graph.unconstrained import Unconstrained
from ampbench.interfaces import HasLikelihood, Measurement, NeedsSetting, Setting
from ampbench.metrics.checks import check_set, latent_parts
from ampbench.metrics.uncertainty import block_error
from ampbench.options import at_least
from ampbench.statistics.kernels import MIN_DISTANCE, median_distance


@final
class KSD(NeedsSetting):
    """Unbiased KSD² with a Gaussian kernel and the median heuristic.

    Arguments:
        samples: number of samples used, the first ones; the cost is quadratic in this number.
    """

    def __init__(self, samples: int = 2000) -> None:
        at_least(self, samples=(samples, 4))
        self.samples = samples

    def measure_in(self, setting: Setting, samples: Tensor) -> Measurement:
        """Return the estimate of KSD², with its standard error."""
        check_set("ksd", "samples", samples, min_size=4)
        u, score = _scores(setting, samples[: self.samples].cpu())
        width = float(median_distance(u[::2], u[1::2], most=1000))
        if width <= MIN_DISTANCE:
            raise MetricError(
                f"ksd: half of the pairs of {len(u)} samples coincide, so that the kernel has no bandwidth"
            )

        def unbiased(u: Tensor, score: Tensor) -> Tensor:
            return _stein_sum(u, score, width) / (len(u) * (len(u) - 1))

        return Measurement(
            float(unbiased(u, score)),
            {
                "version": "1",
                "kernel": "gaussian",
                "bandwidth": width,
                "coordinates": "unconstrained",
                "estimator": "unbiased squared",
                "n_samples": len(u),
                "standard_error": block_error(unbiased, u, score),
            },
        )


def _scores(setting: Setting, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Return unconstrained coordinates u, (n, D′), and the gradient of log p(u | x) there, in float64."""
    task, graph, x = setting.task, setting.task.graph, setting.observation.x.double()
    if not isinstance(task, HasLikelihood) or task.noisy_likelihood:
        raise MetricError(f"ksd: task {type(task).__name__} has no exact likelihood, and so no gradient")
    values = latent_parts("ksd", task, samples.double())
    _check_support(graph, values)
    try:
        sizes = {name: value.shape[1] for name, value in values.items()}
        coordinates = Unconstrained([(name, graph[name].support, size) for name, size in sizes.items()])
        u = coordinates.encode(samples.double()).requires_grad_()
        with torch.enable_grad():
            theta, jacobian = coordinates.decode(u)
            log_prior = graph.log_prob(split(theta.float(), sizes), task.latents)
            (score,) = torch.autograd.grad((task.log_likelihood(theta, x) + jacobian + log_prior).sum(), u)
    except (GraphError, NotImplementedError, RuntimeError) as error:
        raise MetricError(f"ksd: task {type(task).__name__} has no gradient: {error}") from error
    u = u.detach()
    if bad := int((~(u.isfinite() & score.isfinite())).any(1).sum()):
        raise MetricError(f"ksd: the gradient is NaN or infinite at {bad} of {len(u)} samples")
    return u, score


def _check_support(graph: Graph, values: Mapping[str, Tensor]) -> None:
    """Raise :class:`MetricError` if samples of a latent variable lie outside its support."""
    for name, value in values.items():
        if bad := int((~graph[name].support.check(value)).reshape(len(value), -1).any(1).sum()):
            raise MetricError(f"ksd: {bad} of {len(value)} samples of {name} lie outside the prior's support")


def _stein_sum(u: Tensor, score: Tensor, width: float) -> Tensor:
    """Return the sum of the Stein kernel over all pairs of different points, in blocks of rows."""
    features, along = u.shape[1], (score * u).sum(1)  # sᵀu
    total = u.new_zeros(())
    for rows in torch.arange(len(u)).split(512):
        squared = torch.cdist(u[rows], u).square()
        own = along[rows, None] - score[rows] @ u.T  # sᵀ(u − u′)
        other = u[rows] @ score.T - along  # s′ᵀ(u − u′)
        slopes = (own - other + features) / width**2 - squared / width**4
        total += (torch.exp(-squared / (2 * width**2)) * (score[rows] @ score.T + slopes)).sum()
    return total - score.square().sum() - len(u) * features / width**2  # minus the diagonal
