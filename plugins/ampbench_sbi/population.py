"""The posterior of approximate Bayesian computation: weighted accepted parameters."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph.prior import LatentPrior
from ampbench.graph.supports import reaches_outside
from ampbench.interfaces import Posterior
from ampbench_sbi.toolbox import quiet, toolbox
from ampbench_sbi.units import PriorInUnits, units_of


@final
class Population(Posterior):
    """A posterior that resamples accepted parameters, or their kernel density estimate.

    Arguments:
        theta: accepted parameters in the units of the prior, shape (m, D).
        weights: of the parameters, shape (m,), positive.
        kde: whether to smooth the parameters by a kernel density estimate, in unconstrained coordinates, so that
            samples stay inside the prior's support; sbi chooses the bandwidth by cross-validation.
            Not done where no bijection describes the support.
        prior: of theta; its support defines the unconstrained coordinates.
        observation: for which the parameters were accepted, shape (L,).
    """

    def __init__(
        self, theta: Tensor, weights: Tensor, kde: bool, prior: LatentPrior | PriorInUnits, observation: Tensor
    ) -> None:
        self._observation = observation
        self._units = units_of(prior)
        self.theta = theta
        self.weights = weights
        kde = kde and not reaches_outside(prior.support)
        self._kde: Any = _smoothed(theta, weights, prior) if kde else None

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw (n, D) parameters.

        Raises:
            UsageError: the parameters were accepted for another observation.
        """
        if not torch.equal(observation.to(self._observation), self._observation):
            raise UsageError("these parameters were accepted for another observation; fit to this one")
        if self._kde is None:
            return self._units.decode(self.theta[torch.multinomial(self.weights, n, replacement=True)])
        drawn: Tensor = self._kde.sample(n, random_state=int(torch.randint(2**31, ())))
        return self._units.decode(drawn)


def _smoothed(theta: Tensor, weights: Tensor, prior: LatentPrior | PriorInUnits) -> Any:
    if len(theta) < 20:
        raise UsageError(
            f"{len(theta)} accepted parameters are too few for the cross-validation of kde=true, which needs 20; "
            "accept more, or write kde=false"
        )
    utils, kde = toolbox("kernel density estimation", "utils"), toolbox("kernel density estimation", "utils.kde")
    with quiet():
        transform = utils.mcmc_transform(prior)
        return kde.get_kde(theta, transform=transform, sample_weights=weights.numpy())
