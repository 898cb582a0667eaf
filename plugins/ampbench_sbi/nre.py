r"""Neural ratio estimation with the sbi toolbox: a classifier learns the likelihood-to-evidence ratio, MCMC samples.

The classifier decides which one of K parameters generated x (NRE-B); its logit f estimates the logarithm of the ratio
up to a function of x:

.. math::
    \min_\phi\; -\mathbb E\Big[\log \frac{\exp f_\phi(\theta_1, x)}{\sum_k \exp f_\phi(\theta_k, x)}\Big], \qquad
    q(\theta \mid x_o) \propto p(\theta)\, \exp f_\phi(\theta, x_o)

References:
    Hermans, Begy, Louppe 2020, *Likelihood-free MCMC with amortized approximate ratio estimators*, arXiv:1903.04057.
    Durkan, Murray, Papamakarios 2020, *On contrastive learning for likelihood-free inference*, arXiv:2002.03712.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.toolbox import LIKELIHOOD_BIAS, MCMC, Reader, Training, trainer


@final
class NRE(Amortised):
    """Neural ratio estimation.

    Arguments:
        classifier: network, ``resnet`` (as in Lueckmann et al. 2021), ``mlp`` or ``linear``.
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
        classifier: Literal["resnet", "mlp", "linear"] = "resnet",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
        chains: int = 100,
        warmup: int = 25,
        thin: int = 2,
    ) -> None:
        self.classifier = classifier
        self.training = Training(batch_size, learning_rate, max_epochs)
        self.mcmc = MCMC(chains, warmup, thin)

    @property
    def recipe(self) -> Recipe:
        """sbi's trainer and its settings."""
        make = trainer("NRE", classifier=self.classifier)
        reader = Reader("NRE", "classifier", "classifier_nn", "embedding_net_x", {"model": self.classifier})
        return Recipe("nre", make, self.training, self.mcmc.options(), needs_density=True, reader=reader)
