r"""Sequential neural posterior estimation (SNPE-C, automatic posterior transformation) with the sbi toolbox.

Later rounds draw θ from the latest posterior estimate p̃. The loss is atomic: the ratio of q to the prior classifies
which one of K parameters generated x, for any p̃:

.. math::
    \min_\phi\; -\mathbb E_{\tilde p(\theta)\, p(x \mid \theta)}\Big[\log
    \frac{q_\phi(\theta_1 \mid x) / p(\theta_1)}{\sum_k q_\phi(\theta_k \mid x) / p(\theta_k)}\Big]

This loss does not keep q inside a bounded prior: its mass may leak out, and sampling, which rejects the draws outside,
becomes slow.

References:
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
"""

from __future__ import annotations

from typing import Any, Literal, final

from torch import Tensor

from ampbench.options import at_least
from ampbench_sbi.sequential import Learn, SequentialMethod
from ampbench_sbi.toolbox import TrainerFactory, Training, trainer

ATOMIC_BIAS = (
    "its atomic loss, from the second round on, compares parameters of different simulations, so that mass leaks to "
    "parameters whose simulations fail"
)
"""The reason why several rounds need the simulations that failed."""


@final
class SNPE(SequentialMethod):
    """Sequential neural posterior estimation, fitted to one observation after another.

    Arguments:
        rounds: number of rounds into which the budget of an observation is split.
        density_estimator: ``nsf`` (neural spline flow, as in Lueckmann et al. 2021), ``maf``, ``mdn`` or ``made``.
        atoms: K, the number of parameters that the atomic loss compares.
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss has not improved for 20
            epochs.
    """

    name = "snpe"

    def __init__(
        self,
        rounds: int = 10,
        density_estimator: Literal["nsf", "maf", "mdn", "made"] = "nsf",
        atoms: int = 10,
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        super().__init__(rounds)
        self.drop_bias = ATOMIC_BIAS if rounds > 1 else ""
        at_least(self, atoms=(atoms, 2))
        self.density_estimator = density_estimator
        self.atoms = atoms
        self.training = Training(batch_size, learning_rate, max_epochs)

    @property
    def make(self) -> TrainerFactory:
        """The factory of sbi's trainer."""
        return trainer("NPE", density_estimator=self.density_estimator)

    def learn(self, observation: Tensor) -> Learn:
        """Return the training step of a round for an observation of shape (1, L)."""

        def step(inference: Any, theta: Tensor, x: Tensor, proposal: Any) -> tuple[Any, Any]:
            inference.append_simulations(theta, x, proposal=proposal)
            posterior = inference.build_posterior(inference.train(num_atoms=self.atoms, **self.training.options()))
            return posterior, posterior.set_default_x(observation)

        return step
