r"""Sequential inference: rounds of simulations, whose parameters come from the latest posterior estimate.

The budget N counts for one observation: R rounds spend ⌊N / R⌋ simulations each; the first round draws its parameters
from the prior, and also spends the remainder of N. The fit to another observation starts anew, with a new simulator of
the same budget.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.interfaces import Fitted, Posterior, Progress, Sequential, check_observation, silent
from ampbench.interfaces.method import warn_of_codes
from ampbench.options import at_least
from ampbench.seeding import derive, seeded
from ampbench_sbi.toolbox import (
    MCMC,
    Curves,
    HasDirectDensity,
    SBIPosterior,
    ToolboxMethod,
    TrainerFactory,
    Training,
    bounded,
    check_budget,
    common,
    density_prior,
    is_direct,
    quiet,
    simulate,
    toolbox,
)
from ampbench_sbi.units import Units, probed, units_of

FitTo = Callable[[Simulator, Tensor, Progress], Posterior]
"""Fits to one observation with a simulator of its own."""

Learn = Callable[[Any, Tensor, Tensor, Any], tuple[Any, Any]]
"""The training step of a round: from (trainer, theta, x, proposal of this round) to (posterior, proposal of the next
round); the proposal of the first round is None, which stands for the prior."""


@final
class PerObservation(Posterior, Sequential):
    """A posterior that is fitted to each observation separately, when it is sampled.

    Arguments:
        simulator: supplies the graph, the budget of each observation, and the seed; no simulation is drawn from it.
        fit_to: fits to one observation.
    """

    def __init__(self, simulator: Simulator, fit_to: FitTo) -> None:
        self._simulator = simulator
        self._fit_to = fit_to
        self._latest: tuple[Tensor, Fitted] | None = None

    def fit_to(self, observation: Tensor, progress: Progress) -> Fitted:
        """Fit to an observation of shape (L,); the seed and the observation determine the simulations."""
        given = self._simulator
        observation = check_observation(observation, given.graph.size(given.observed))
        seed = derive(given.seed, "observation", observation.float().tolist())
        source = given.renewed(seed)
        posterior = self._fit_to(source, observation, progress)
        return Fitted(posterior, source.spent)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D).

        Seed and observation determine the fit, which is reused while the observation stays the same.
        """
        exact = observation.to(torch.float64, copy=True)
        if self._latest is None or not torch.equal(self._latest[0], exact):
            with seeded(derive(self._simulator.seed, "fit", exact.tolist())):
                self._latest = (exact, self.fit_to(observation, silent))
        return self._latest[1].posterior.sample(observation, n)


class SequentialMethod(ToolboxMethod):
    """A method that alternates simulation and training in rounds, for one observation after another.

    Arguments:
        rounds: R, the number of rounds.

    Attributes:
        name: registry name, for messages.
    """

    name: ClassVar[str]

    def __init__(self, rounds: int) -> None:
        at_least(self, rounds=(rounds, 1))
        self.rounds = rounds

    @property
    @abstractmethod
    def make(self) -> TrainerFactory:
        """The factory of sbi's trainer, see :func:`ampbench_sbi.toolbox.trainer`."""

    @abstractmethod
    def learn(self, observation: Tensor) -> Learn:
        """Return the training step of a round for an observation of shape (1, L)."""

    @final
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Return a posterior that spends the budget when it is fitted to an observation."""
        toolbox(f"method {self.name!r}")
        check_budget(self.name, simulator, self.rounds)
        density_prior(self.name, simulator, device)
        return PerObservation(simulator, partial(self._fit_to, device))

    def _fit_to(
        self, device: torch.device, simulator: Simulator, observation: Tensor, progress: Progress
    ) -> SBIPosterior:
        prior, curves, units = probed(density_prior(self.name, simulator, device)), Curves(), Units()
        with quiet():
            inference = self.make(toolbox(self.name), common(prior, device, curves))
        step: Learn | None = None
        posterior: Any = None
        proposal: Any = None
        for number in range(self.rounds):
            count = simulator.budget // self.rounds + (simulator.budget % self.rounds if number == 0 else 0)
            with quiet(), bounded(proposal, count):
                proposed = (proposal or prior).sample((count,), **({"show_progress_bars": False} if proposal else {}))
            theta, x = simulate(simulator, count, prior.split(proposed.detach().cpu()))
            check_observation(observation, x.shape[1])
            if step is None:
                units = Units.of(x)
                step = self.learn(units.encode(observation)[None].to(device))
            with quiet():
                posterior, proposal = step(inference, units_of(prior).encode(theta), units.encode(x), proposal)
            progress(number + 1, self.rounds)
        warn_of_codes(self, simulator)
        made = HasDirectDensity if is_direct(posterior) else SBIPosterior
        return made(posterior, len(observation), curves.rows(), units_of(prior), units)


class SequentialByMCMC(SequentialMethod):
    """A sequential method whose loss needs no correction for the proposal, and whose posterior is sampled by MCMC.

    Each round trains on the simulations of all rounds; the next round draws theta from the latest posterior estimate.

    Attributes:
        training: settings of the training.
        mcmc: settings of the Markov chains.
    """

    training: Training
    mcmc: MCMC

    @final
    def learn(self, observation: Tensor) -> Learn:
        """Return the training step of a round for an observation of shape (1, L)."""

        def step(inference: Any, theta: Tensor, x: Tensor, proposal: Any) -> tuple[Any, Any]:
            estimator = inference.append_simulations(theta, x).train(**self.training.options())
            posterior = inference.build_posterior(estimator, **self.mcmc.options()).set_default_x(observation)
            return posterior, posterior

        return step
