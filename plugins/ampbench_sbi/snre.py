r"""Sequential neural ratio estimation with the sbi toolbox.

The classifier of NRE-B learns, from the simulations of all rounds, which one of K parameters generated x. Its logit
estimates the log-likelihood up to a function of x for any distribution of the parameters, so that later rounds may draw
them by MCMC from the latest posterior estimate for the observation.

References:
    Durkan, Murray, Papamakarios 2020, *On contrastive learning for likelihood-free inference*, arXiv:2002.03712.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.sequential import SequentialByMCMC
from ampbench_sbi.toolbox import LIKELIHOOD_BIAS, MCMC, TrainerFactory, Training, trainer


@final
class SNRE(SequentialByMCMC):
    """Sequential neural ratio estimation, fitted to one observation after another.

    Arguments:
        rounds: number of rounds into which the budget of an observation is split.
        classifier: network, ``resnet`` (as in Lueckmann et al. 2021), ``mlp`` or ``linear``.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss has not improved for 20
            epochs.
        chains: number of parallel chains of slice sampling.
        warmup: updates of each chain before the first sample.
        thin: updates between two samples of a chain (10 in Lueckmann et al. 2021, at five times the cost).
    """

    drop_bias = LIKELIHOOD_BIAS
    name = "snre"

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
        super().__init__(rounds)
        self.classifier = classifier
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    @property
    def make(self) -> TrainerFactory:
        """The factory of sbi's trainer."""
        return trainer("NRE", classifier=self.classifier)
