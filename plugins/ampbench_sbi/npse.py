r"""Neural posterior score estimation with the sbi toolbox, amortised.

A network learns the score of the posterior diffused by a stochastic differential equation, by denoising score
matching, and the posterior is sampled by reversing the equation:

.. math::
    \min_\phi\; \mathbb E_{t,\, p(\theta, x),\, \theta_t}\; \lambda(t)\,
    \lVert s_\phi(t, \theta_t, x) - \nabla_{\theta_t} \log p(\theta_t \mid \theta) \rVert^2

References:
    Geffner, Papamakarios, Mnih 2023, *Compositional score modeling for simulation-based inference*, arXiv:2209.14249.
    Sharrock et al. 2024, *Sequential neural score estimation*, arXiv:2210.04872.
"""

from __future__ import annotations

from typing import Literal, final

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.toolbox import Reader, Training, trainer


@final
class NPSE(Amortised):
    """Neural posterior score estimation.

    Arguments:
        sde: stochastic differential equation of the diffusion: ``ve`` (variance exploding), ``vp`` (variance
            preserving) or ``subvp``.
        network: model of the score, ``mlp`` or ``ada_mlp`` (adaptive layer normalisation), with sbi's settings.
        sample_with: ``sde`` (the reversed stochastic equation) or ``ode`` (the probability flow).
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit; training stops earlier when the held-out loss has not improved for 20 epochs.
    """

    drop_bias = ""

    def __init__(
        self,
        sde: Literal["ve", "vp", "subvp"] = "ve",
        network: Literal["mlp", "ada_mlp"] = "mlp",
        sample_with: Literal["sde", "ode"] = "sde",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        self.sde = sde
        self.network = network
        self.sample_with = sample_with
        self.training = Training(batch_size, learning_rate, max_epochs)

    @property
    def recipe(self) -> Recipe:
        """sbi's trainer and its settings."""
        make = trainer("NPSE", vf_estimator=self.network, sde_type=self.sde)
        options = {"model": self.network, "sde_type": self.sde}
        reader = Reader("NPSE", "vf_estimator", "posterior_score_nn", "embedding_net", options)
        return Recipe("npse", make, self.training, {"sample_with": self.sample_with}, reader=reader)
