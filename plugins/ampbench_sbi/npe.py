r"""Neural posterior estimation with the sbi toolbox, amortised: one round, from prior simulations.

.. math:: \min_\phi\; -\mathbb E_{p(\theta, x)}[\log q_\phi(\theta \mid x)]

References:
    Papamakarios & Murray 2016, *Fast ε-free inference of simulation models*, arXiv:1605.06376.
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
    Boelts et al. 2024, *sbi reloaded*, arXiv:2411.17337.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, final

import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench.errors import UsageError
from ampbench.graph import join
from ampbench.interfaces import Method, Posterior, Progress, check_observation
from ampbench.simulator import Simulator

if TYPE_CHECKING:
    from sbi.inference.posteriors.base_posterior import NeuralPosterior


@final
class NPE(Method):
    """Neural posterior estimation.

    Arguments:
        density_estimator: ``nsf`` (neural spline flow, as in Lueckmann et al. 2021) or ``maf``, with sbi's settings.
        batch_size: of training.
        learning_rate: of training.
        max_epochs: upper limit; training stops earlier when the held-out loss has not improved for 20 epochs.
    """

    packages = ("sbi",)

    imports = ("sbi.inference",)

    def __init__(
        self,
        density_estimator: Literal["nsf", "maf"] = "nsf",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        self.density_estimator = density_estimator
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.max_epochs = max_epochs

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> SBIPosterior:
        """Spend the whole budget and train; sbi reports no progress of its own."""
        inference_class = _sbi_npe()
        values = simulator.sample(simulator.remaining)
        theta, x = join(values, simulator.latents), join(values, simulator.observed)
        with _quiet():
            inference = inference_class(
                prior=_prior(simulator),
                density_estimator=self.density_estimator,
                device=str(device),
                show_progress_bars=False,
            )
            estimator = inference.append_simulations(theta, x).train(
                training_batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                max_num_epochs=self.max_epochs,
            )
            return SBIPosterior(inference.build_posterior(estimator), x.shape[1])


@final
class SBIPosterior(Posterior):
    """An sbi posterior behind our interface.

    Arguments:
        posterior: the sbi posterior, also for its own diagnostics and plots.
        features: L, the number of components of an observation.
    """

    def __init__(self, posterior: NeuralPosterior, features: int) -> None:
        self.posterior = posterior
        self.features = features

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D); draws outside the prior's support are rejected."""
        observation = check_observation(observation, self.features)
        with _quiet():
            drawn: Tensor = self.posterior.sample((n,), x=observation[None].float(), show_progress_bars=False)
        return drawn.detach().cpu()


def _prior(simulator: Simulator) -> Distribution | None:
    """The prior if it is a single density; None lets sbi take the simulations' empirical one."""
    if len(simulator.latents) > 1:
        return None
    conditional = simulator.graph[simulator.latents[0]].conditional
    return conditional if isinstance(conditional, Distribution) else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep sbi's warnings of its own deprecations, and what it prints when it has converged, from our output."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _sbi_npe() -> Any:
    try:
        with _quiet():
            from sbi.inference import NPE as inference_class  # noqa: N811 — the toolbox's class, not ours
    except ImportError as error:
        raise UsageError("method 'npe' needs sbi: pip install 'ampbench[sbi]'") from error
    return inference_class
