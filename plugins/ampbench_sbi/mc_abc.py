r"""Rejection ABC with the sbi toolbox: keep the parameters whose simulations are nearest to the observation.

.. math:: q(\theta \mid x_o) \propto p(\theta)\, P(\lVert x - x_o \rVert < \epsilon \mid \theta)

with ε chosen such that a given number of parameters is kept. The simulations are drawn once, from the prior, and serve
all observations.

References:
    Pritchard et al. 1999, *Population growth of human Y chromosomes*, Molecular Biology and Evolution 16.
    Beaumont, Zhang, Balding 2002, *Approximate Bayesian computation in population genetics*, Genetics 162.
    Fearnhead & Prangle 2012, *Constructing summary statistics for approximate Bayesian computation*, arXiv:1004.1112.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Literal, final

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Simulator
from ampbench.graph.precision import warn_if_rounded
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import CanRestore, HasState, Posterior, Progress, check_observation
from ampbench.interfaces import state as states
from ampbench.options import at_least
from ampbench_sbi.population import Population
from ampbench_sbi.toolbox import ToolboxMethod, continuous_prior, quiet, simulate, toolbox
from ampbench_sbi.units import in_units, units_of


@final
class MCABC(ToolboxMethod, CanRestore):
    """Rejection ABC.

    Arguments:
        accept: number of parameters that are kept (100 in Lueckmann et al. 2021).
        distance: ``l2``, ``l1`` or ``mse``, between data that are not standardised.
        adjust: whether to adjust the kept parameters by linear regression (Beaumont et al. 2002).
        summaries: whether to learn summary statistics by regression first, from a quarter of the simulations (Fearnhead
            & Prangle 2012).
        kde: whether to smooth the kept parameters by a kernel density estimate.
    """

    drop_bias = ""  # a failed simulation is never kept

    def __init__(
        self,
        accept: int = 100,
        distance: Literal["l2", "l1", "mse"] = "l2",
        adjust: bool = False,
        summaries: bool = False,
        kde: bool = True,
    ) -> None:
        at_least(self, accept=(accept, 1))
        self.accept = accept
        self.distance = distance
        self.adjust = adjust
        self.summaries = summaries
        self.kde = kde

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        """Spend the whole budget on prior simulations; the posterior accepts from them for each observation."""
        toolbox("method 'mc-abc'")
        prior = continuous_prior("mc-abc", simulator, torch.device("cpu"))
        usable = self._usable(simulator.budget)
        if self.accept > usable:
            raise UsageError(f"method 'mc-abc' cannot accept {self.accept} of {usable} simulations; change 'accept'")
        least = next(n for n in count(self.accept) if self._usable(n) >= self.accept)
        theta, x = simulate(simulator, simulator.remaining, least=least)
        return _Simulated(self, theta, x, prior)

    def _usable(self, simulations: int) -> int:
        """Return how many simulations are left to accept from."""
        return simulations - (int(SUMMARY_SHARE * simulations) if self.summaries else 0)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        """Return the posterior of the stored simulations."""
        toolbox("method 'mc-abc'")
        prior = continuous_prior("mc-abc", simulator, torch.device("cpu"))
        states.check_names("", state, ("theta", "x"))
        states.check_size("theta", state["theta"].shape[1], prior.event_shape[0])
        states.check_size("x", state["x"].shape[1], simulator.graph.size(simulator.observed))
        return _Simulated(self, state["theta"], state["x"], prior)


SUMMARY_SHARE = 0.25
"""Share of the simulations from which summary statistics are learned."""


@final
class _Simulated(Posterior, HasState):
    """The posterior of rejection ABC: prior simulations, from which the nearest ones to an observation are kept."""

    def __init__(self, method: MCABC, theta: Tensor, x: Tensor, prior: LatentPrior) -> None:
        self._method = method
        self._theta, self._x = theta, x
        self._prior = prior

    def state(self) -> dict[str, Tensor]:
        """Return the simulations."""
        return {"theta": self._theta, "x": self._x}

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        observation = check_observation(observation, self._x.shape[1])
        warn_if_rounded("the observation", observation, self._x.dtype == torch.float64)
        seen, x = in_units(self._prior, self._theta), self._x.to(torch.get_default_dtype())
        if self._x.dtype != x.dtype:  # a distance does not depend on the origin
            x = (self._x - observation).to(x)
            observation = torch.zeros_like(observation)
        observation = observation.to(x)
        method, simulations = self._method, len(self._theta)
        replay = _Replay(units_of(seen).encode(self._theta), x)
        with quiet():
            infer = toolbox("method 'mc-abc'").MCABC(
                replay.simulate, replay, method.distance, simulation_batch_size=simulations, show_progress_bars=False
            )
            theta = infer(
                observation[None],
                simulations,
                quantile=(method.accept + 0.5) / method._usable(simulations),  # sbi rounds the product down
                lra=method.adjust,
                sass=method.summaries,
                sass_fraction=SUMMARY_SHARE,
            )
        return Population(theta, torch.ones(len(theta)), method.kde, seen, observation).sample(observation, n)


class _Replay:
    """A prior and a simulator for sbi that return stored parameters and their data, in order."""

    def __init__(self, theta: Tensor, x: Tensor) -> None:
        self._theta, self._x = theta, x
        self._taken = 0

    def sample(self, shape: tuple[int]) -> Tensor:
        self._taken += shape[0]
        return self._theta[self._taken - shape[0] : self._taken]

    def simulate(self, theta: Tensor) -> Tensor:
        return self._x[self._taken - len(theta) : self._taken]
