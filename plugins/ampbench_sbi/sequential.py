r"""Sequential inference: rounds of simulations, each drawn where the posterior of the observation seems to be.

The budget N counts for one observation: R rounds spend ⌊N / R⌋ simulations each, the first from the prior and with the
remainder of N. Another observation starts anew, with a fresh simulator of the same budget.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.interfaces import Fitted, Posterior, Progress, Sequential, check_observation, silent
from ampbench.seeding import derive
from ampbench_sbi.toolbox import (
    MCMC,
    Curves,
    HasDirectDensity,
    Make,
    SBIPosterior,
    Training,
    check_budget,
    common,
    density_prior,
    is_direct,
    quiet,
    simulate,
    toolbox,
)

FitTo = Callable[[Simulator, Tensor, Progress], Posterior]
"""Fits to one observation with a simulator of its own."""

Learn = Callable[[Any, Tensor, Tensor, Any], tuple[Any, Any]]
"""From (trainer, theta, x, proposal of this round, None for the prior) to (posterior, proposal of the next round)."""


@final
class PerObservation(Posterior, Sequential):
    """A posterior that is fitted when it is told the observation.

    Arguments:
        simulator: gives the graph, the budget of each observation, and the seed; nothing is drawn from it.
        fit_to: fits to one observation.
    """

    def __init__(self, simulator: Simulator, fit_to: FitTo) -> None:
        self._simulator = simulator
        self._fit_to = fit_to
        self._latest: tuple[Tensor, Fitted] | None = None

    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        """Run the rounds for an observation of shape (L,); simulations follow from the seed and the observation."""
        given = self._simulator
        observation = check_observation(observation, given.graph.size(given.observed)).float()
        seed = derive(given.seed, "observation", observation.tolist())
        source = Simulator(given.graph, given.observed, given.budget, seed)
        posterior = self._fit_to(source, observation, progress)
        return Fitted(posterior, source.spent)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D); the same observation again is not fitted again."""
        observation = observation.float()
        if self._latest is None or not torch.equal(self._latest[0], observation):
            self._latest = (observation, self.fit_to(observation, silent))
        return self._latest[1].posterior.sample(observation, n)


def fit_in_rounds(
    method: str,
    rounds: int,
    simulator: Simulator,
    device: torch.device,
    make: Make,
    learn: Callable[[Tensor], Learn],
) -> PerObservation:
    """Return the posterior of a sequential method, after all checks that need no simulation.

    Arguments:
        method: its name, for messages.
        rounds: R.
        simulator: gives graph, budget and seed.
        device: to train on.
        make: see :func:`ampbench_sbi.toolbox.trainer`.
        learn: from an observation, shape (1, L), to what is done in a round.
    """
    toolbox(f"method {method!r}")
    check_budget(method, simulator, rounds)
    density_prior(method, simulator, device)
    return PerObservation(simulator, partial(_rounds, method, rounds, device, make, learn))


def by_mcmc(training: Training, mcmc: MCMC) -> Callable[[Tensor], Learn]:
    """Return what is done in a round where simulations need no correction: train on all, draw from the last posterior.

    Arguments:
        training: how to train.
        mcmc: how a posterior is sampled.
    """

    def learn(observation: Tensor) -> Learn:
        def step(inference: Any, theta: Tensor, x: Tensor, proposal: Any) -> tuple[Any, Any]:
            estimator = inference.append_simulations(theta, x).train(**training.options())
            posterior = inference.build_posterior(estimator, **mcmc.options()).set_default_x(observation)
            return posterior, posterior

        return step

    return learn


def _rounds(
    method: str,
    rounds: int,
    device: torch.device,
    make: Make,
    learn: Callable[[Tensor], Learn],
    simulator: Simulator,
    observation: Tensor,
    progress: Progress,
) -> SBIPosterior:
    prior, curves = density_prior(method, simulator, device), Curves()
    with quiet():
        inference = make(toolbox(method), common(prior, device, curves))
    step = learn(observation[None].to(device))
    posterior: Any = None
    proposal: Any = None
    for number in range(rounds):
        count = simulator.budget // rounds + (simulator.budget % rounds if number == 0 else 0)
        with quiet():
            proposed = (proposal or prior).sample((count,), **({"show_progress_bars": False} if proposal else {}))
        theta, x = simulate(simulator, count, prior.split(proposed.detach().cpu()))
        check_observation(observation, x.shape[1])
        with quiet():
            posterior, proposal = step(inference, theta, x, proposal)
        progress(number + 1, rounds)
    made = HasDirectDensity if is_direct(posterior) else SBIPosterior
    return made(posterior, len(observation), curves.rows())
