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

import torch

from ampbench.interfaces import Progress
from ampbench.simulator import Simulator
from ampbench_sbi.toolbox import SBIPosterior, ToolboxMethod, Training, fit_once, trainer


@final
class FMPE(ToolboxMethod):
    """Flow matching posterior estimation.

    Arguments:
        network: of the vector field, ``mlp`` or ``ada_mlp`` (adaptive layer normalisation), with sbi's settings.
        batch_size: of training.
        learning_rate: of training.
        max_epochs: upper limit; training stops earlier when the held-out loss no longer improves.
    """

    def __init__(
        self,
        network: Literal["mlp", "ada_mlp"] = "mlp",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        self.network = network
        self.training = Training(batch_size, learning_rate, max_epochs)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> SBIPosterior:
        """Spend the whole budget and train; sbi reports no progress of its own."""
        make = trainer("FMPE", vf_estimator=self.network)
        return fit_once("fmpe", simulator, device, make, self.training)
