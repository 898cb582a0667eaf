r"""Sequential neural posterior estimation (SNPE-C, automatic posterior transformation) with the sbi toolbox.

Later rounds draw θ from the last posterior estimate p̃; the loss is atomic: which of K parameters made x is told by
the ratio of q to the prior, whatever p̃ is:

.. math::
    \min_\phi\; -\mathbb E_{\tilde p(\theta)\, p(x \mid \theta)}\Big[\log
    \frac{q_\phi(\theta_1 \mid x) / p(\theta_1)}{\sum_k q_\phi(\theta_k \mid x) / p(\theta_k)}\Big]

Nothing in this loss holds q inside a bounded prior: its mass may leak out, and sampling, which rejects what is outside,
becomes slow.

References:
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
"""

from __future__ import annotations

from typing import Any, Literal, final

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.interfaces import Posterior, Progress
from ampbench.options import at_least
from ampbench_sbi.sequential import Learn, fit_in_rounds
from ampbench_sbi.toolbox import ToolboxMethod, Training, trainer


@final
class SNPE(ToolboxMethod):
    """Sequential neural posterior estimation, fitted to one observation after another.

    Arguments:
        rounds: into which the budget of an observation is split.
        density_estimator: ``nsf`` (neural spline flow, as in Lueckmann et al. 2021), ``maf``, ``mdn`` or ``made``.
        atoms: K, parameters that are told apart.
        batch_size: of training.
        learning_rate: of training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss no longer improves.
    """

    def __init__(
        self,
        rounds: int = 10,
        density_estimator: Literal["nsf", "maf", "mdn", "made"] = "nsf",
        atoms: int = 10,
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        at_least(self, rounds=(rounds, 1), atoms=(atoms, 2))
        self.rounds = rounds
        self.density_estimator = density_estimator
        self.atoms = atoms
        self.training = Training(batch_size, learning_rate, max_epochs)

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return a posterior that spends the budget when it is told the observation."""
        make = trainer("NPE", density_estimator=self.density_estimator)
        return fit_in_rounds("snpe", self.rounds, simulator, device, make, self._learn)

    def _learn(self, observation: Tensor) -> Learn:
        def step(inference: Any, theta: Tensor, x: Tensor, proposal: Any) -> tuple[Any, Any]:
            inference.append_simulations(theta, x, proposal=proposal)
            posterior = inference.build_posterior(inference.train(num_atoms=self.atoms, **self.training.options()))
            return posterior, posterior.set_default_x(observation)

        return step
