r"""Neural likelihood estimation with the sbi toolbox: the likelihood is learned once, the posterior is sampled by MCMC.

.. math::
    \min_\phi\; -\mathbb E_{p(\theta, x)}[\log q_\phi(x \mid \theta)], \qquad
    q(\theta \mid x_o) \propto p(\theta)\, q_\phi(x_o \mid \theta)

References:
    Papamakarios, Sterratt, Murray 2019, *Sequential neural likelihood*, arXiv:1805.07226.
    Neal 2003, *Slice sampling*, Annals of Statistics 31.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.toolbox import LIKELIHOOD_BIAS, MAF_BIAS, MCMC, Training, trainer


@final
class NLE(Amortised):
    """Neural likelihood estimation.

    Arguments:
        density_estimator: model of x given theta: ``maf`` (as in Lueckmann et al. 2021), ``nsf``, ``mdn`` or ``made``.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit; training stops earlier when the held-out loss has not improved for 20 epochs.
        chains: number of parallel chains of slice sampling.
        warmup: updates of each chain before the first sample.
        thin: updates between two samples of a chain (10 in Lueckmann et al. 2021, at five times the cost).
    """

    drop_bias = LIKELIHOOD_BIAS

    def __init__(
        self,
        density_estimator: Literal["maf", "nsf", "mdn", "made"] = "maf",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
        chains: int = 100,
        warmup: int = 25,
        thin: int = 2,
    ) -> None:
        self.density_estimator = density_estimator
        self.code_bias = MAF_BIAS if density_estimator == "maf" else ""
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    @property
    def recipe(self) -> Recipe:
        """sbi's trainer and its settings."""
        make = trainer("NLE", density_estimator=self.density_estimator)
        return Recipe("nle", make, self.training, self.mcmc.options(), needs_density=True)
