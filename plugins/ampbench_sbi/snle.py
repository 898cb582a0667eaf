r"""Sequential neural likelihood estimation with the sbi toolbox.

The likelihood is learned from the simulations of all rounds by maximum likelihood, which needs no correction: the
estimate q(x | θ) does not depend on the distribution of θ. Later rounds draw θ by MCMC from the latest posterior
estimate for the observation.

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.sequential import SequentialByMCMC
from ampbench_sbi.toolbox import LIKELIHOOD_BIAS, MAF_BIAS, MCMC, TrainerFactory, Training, trainer


@final
class SNLE(SequentialByMCMC):
    """Sequential neural likelihood estimation, fitted to one observation after another.

    Arguments:
        rounds: number of rounds into which the budget of an observation is split.
        density_estimator: model of x given theta: ``maf`` (as in Lueckmann et al. 2021), ``nsf``, ``mdn`` or ``made``.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss has not improved for 20
            epochs.
        chains: number of parallel chains of slice sampling.
        warmup: updates of each chain before the first sample.
        thin: updates between two samples of a chain (10 in Lueckmann et al. 2021, at five times the cost).
    """

    drop_bias = LIKELIHOOD_BIAS
    name = "snle"

    def __init__(
        self,
        rounds: int = 10,
        density_estimator: Literal["maf", "nsf", "mdn", "made"] = "maf",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
        chains: int = 100,
        warmup: int = 25,
        thin: int = 2,
    ) -> None:
        super().__init__(rounds)
        self.density_estimator = density_estimator
        self.code_bias = MAF_BIAS if density_estimator == "maf" else ""
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    @property
    def make(self) -> TrainerFactory:
        """The factory of sbi's trainer."""
        return trainer("NLE", density_estimator=self.density_estimator)
