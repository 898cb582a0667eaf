r"""Neural posterior estimation with the sbi toolbox, amortised: one round, from prior simulations.

.. math:: \min_\phi\; -\mathbb E_{p(\theta, x)}[\log q_\phi(\theta \mid x)]

References:
    Papamakarios & Murray 2016, *Fast ε-free inference of simulation models*, arXiv:1605.06376.
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.toolbox import Reader, Training, trainer


@final
class NPE(Amortised):
    """Neural posterior estimation.

    Arguments:
        density_estimator: ``nsf`` (neural spline flow, as in Lueckmann et al. 2021), ``maf`` (masked autoregressive
            flow), ``mdn`` (mixture density network) or ``made``, with sbi's settings.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit; training stops earlier when the held-out loss has not improved for 20 epochs.
    """

    drop_bias = ""

    def __init__(
        self,
        density_estimator: Literal["nsf", "maf", "mdn", "made"] = "nsf",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        self.density_estimator = density_estimator
        self.training = Training(batch_size, learning_rate, max_epochs)

    @property
    def recipe(self) -> Recipe:
        """sbi's trainer and its settings."""
        make = trainer("NPE", density_estimator=self.density_estimator)
        reader = Reader("NPE", "density_estimator", "posterior_nn", "embedding_net", {"model": self.density_estimator})
        return Recipe("npe", make, self.training, reader=reader)
