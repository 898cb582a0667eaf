r"""Sequential neural ratio estimation with the sbi toolbox.

The classifier of NRE-B learns, from all rounds, which of K parameters made x. Its logit estimates the likelihood up to
a function of x wherever the parameters come from, so that later rounds may draw them from the last posterior estimate
of the observation, by MCMC.

References:
    Durkan, Murray, Papamakarios 2020, *On contrastive learning for likelihood-free inference*, arXiv:2002.03712.
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
class SNRE(ToolboxMethod):
    """Sequential neural ratio estimation, fitted to one observation after another.

    Arguments:
        rounds: into which the budget of an observation is split.
        classifier: ``resnet`` (as in Lueckmann et al. 2021), ``mlp`` or ``linear``.
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
        classifier: Literal["resnet", "mlp", "linear"] = "resnet",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
        chains: int = 100,
        warmup: int = 25,
        thin: int = 2,
    ) -> None:
        at_least(self, rounds=(rounds, 1))
        self.rounds = rounds
        self.classifier = classifier
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return a posterior that spends the budget when it is told the observation."""
        make = trainer("NRE", classifier=self.classifier)
        return fit_in_rounds("snre", self.rounds, simulator, device, make, by_mcmc(self.training, self.mcmc))
