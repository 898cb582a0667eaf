r"""Truncated sequential neural posterior estimation with the sbi toolbox.

Later rounds draw θ from the prior, truncated to the region that holds all but a fraction ε of the mass of the latest
posterior estimate for the observation. Inside that region the proposal is proportional to the prior, so that maximum
likelihood, the loss of NPE, needs no correction, and no mass leaks out of the prior.

References:
    Deistler, Gonçalves, Macke 2022, *Truncated proposals for scalable and hassle-free simulation-based inference*,
    arXiv:2210.04815.
"""

from __future__ import annotations

from typing import Any, Literal, final

from torch import Tensor

from ampbench.options import at_least, between
from ampbench_sbi.sequential import Learn, SequentialMethod
from ampbench_sbi.toolbox import TrainerFactory, Training, bounded, toolbox, trainer
from ampbench_sbi.tries import truncated


@final
class TSNPE(SequentialMethod):
    """Truncated sequential neural posterior estimation, fitted to one observation after another.

    Arguments:
        rounds: number of rounds into which the budget of an observation is split.
        density_estimator: ``nsf`` (neural spline flow), ``maf``, ``mdn`` or ``made``.
        epsilon: ε, the posterior mass that the truncation cuts off.
        support_samples: posterior samples from which the region is estimated.
        sample_with: ``rejection`` from the prior (slow when the region is a small part of it), or ``sir``, importance
            resampling from the posterior (approximate).
        batch_size: simulations per training step.
        learning_rate: of the training.
        max_epochs: upper limit in each round; training stops earlier when the held-out loss has not improved for 20
            epochs.
    """

    name = "tsnpe"
    drop_bias = ""  # inside the truncated region, the proposal is proportional to the prior

    def __init__(
        self,
        rounds: int = 10,
        density_estimator: Literal["nsf", "maf", "mdn", "made"] = "nsf",
        epsilon: float = 1e-4,
        support_samples: int = 100_000,
        sample_with: Literal["rejection", "sir"] = "rejection",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        super().__init__(rounds)
        at_least(self, support_samples=(support_samples, 1))
        between(self, epsilon=(epsilon, 0, 1))
        self.density_estimator = density_estimator
        self.epsilon = epsilon
        self.support_samples = support_samples
        self.sample_with = sample_with
        self.training = Training(batch_size, learning_rate, max_epochs)

    @property
    def make(self) -> TrainerFactory:
        """The factory of sbi's trainer."""
        return trainer("NPE", density_estimator=self.density_estimator)

    def learn(self, observation: Tensor) -> Learn:
        """Return the training step of a round for an observation of shape (1, L)."""
        utils = toolbox("method 'tsnpe'", "utils")

        def step(inference: Any, theta: Tensor, x: Tensor, proposal: Any) -> tuple[Any, Any]:
            inference.append_simulations(theta, x, proposal=proposal)
            posterior = inference.build_posterior(
                inference.train(force_first_round_loss=True, **self.training.options())
            ).set_default_x(observation)
            with bounded(posterior, self.support_samples):
                inside = utils.get_density_thresholder(posterior, self.epsilon, self.support_samples)
            return posterior, utils.RestrictedPrior(
                inference._prior,  # sbi recognises a truncated prior by the identity of the object
                truncated().counted(inside) if self.sample_with == "rejection" else inside,
                posterior,
                self.sample_with,
                device=observation.device,
            )

        return step
