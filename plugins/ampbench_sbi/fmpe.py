r"""Flow matching posterior estimation with the sbi toolbox, amortised.

A vector field v_t is regressed on the straight paths from noise to parameters, θ_t = t θ + (1 − t) ε up to sbi's
parametrisation, and the posterior is sampled by solving its differential equation:

.. math::
    \min_\phi\; \mathbb E_{t,\, p(\theta, x),\, \epsilon}\; \lVert v_\phi(t, \theta_t, x) - (\theta - \epsilon) \rVert^2

References:
    Lipman et al. 2023, *Flow matching for generative modeling*, arXiv:2210.02747.
    Dax et al. 2023, *Flow matching for scalable simulation-based inference*, arXiv:2305.17161.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.toolbox import Reader, Training, trainer


@final
class FMPE(Amortised):
    """Flow matching posterior estimation.

    Arguments:
        network: model of the vector field, ``mlp`` or ``ada_mlp`` (adaptive layer normalisation), with sbi's settings.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit; training stops earlier when the held-out loss has not improved for 20 epochs.
    """

    drop_bias = ""

    def __init__(
        self,
        network: Literal["mlp", "ada_mlp"] = "mlp",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        self.network = network
        self.training = Training(batch_size, learning_rate, max_epochs)

    @property
    def recipe(self) -> Recipe:
        """sbi's trainer and its settings."""
        make = trainer("FMPE", vf_estimator=self.network)
        reader = Reader("FMPE", "vf_estimator", "posterior_flow_nn", "embedding_net", {"model": self.network})
        return Recipe("fmpe", make, self.training, reader=reader)
