r"""Sequential neural likelihood estimation with the sbi toolbox.

The likelihood is learned from all rounds by maximum likelihood, which needs no correction: where θ comes from does not
matter for q(x | θ). Later rounds draw θ from the last posterior estimate of the observation, by MCMC.

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
"""

from __future__ import annotations

from typing import Literal, final

import torch

from ampbench.graph import Simulator
from ampbench.interfaces import Posterior, Progress
from ampbench.options import at_least
from ampbench_sbi.sequential import by_mcmc, fit_in_rounds
from ampbench_sbi.toolbox import MCMC, ToolboxMethod, Training, trainer


@final
class SNLE(ToolboxMethod):
    """Sequential neural likelihood estimation, fitted to one observation after another.

    Arguments:
        rounds: into which the budget of an observation is split.
        density_estimator: of x given theta: ``maf`` (as in Lueckmann et al. 2021), ``nsf``, ``mdn`` or ``made``.
        batch_size: of training.
        learning_rate: of training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss no longer improves.
        chains: of slice sampling, run at once.
        warmup: updates of each chain before the first sample.
        thin: updates between two samples of a chain (10 in Lueckmann et al. 2021, at five times the cost).
    """

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
        at_least(self, rounds=(rounds, 1))
        self.rounds = rounds
        self.density_estimator = density_estimator
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return a posterior that spends the budget when it is told the observation."""
        make = trainer("NLE", density_estimator=self.density_estimator)
        return fit_in_rounds("snle", self.rounds, simulator, device, make, by_mcmc(self.training, self.mcmc))
