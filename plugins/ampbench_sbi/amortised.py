"""Methods that train one network for all observations, from prior simulations.

sbi builds its networks from a batch of simulations, for their sizes, and for their standardisation, which is a part of
the network. So a network is built again from a batch of noise of the same sizes, and then given what it had.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor

from ampbench import states
from ampbench.interfaces import CanRestore, Progress
from ampbench.prior import LatentPrior
from ampbench.simulator import Simulator
from ampbench_sbi.toolbox import (
    Curves,
    Make,
    SBIPosterior,
    ToolboxMethod,
    Training,
    check_budget,
    common,
    continuous_prior,
    density_prior,
    quiet,
    simulate,
    toolbox,
)

ROWS = 20
"""Of the batch of noise."""


@dataclass(frozen=True)
class Recipe:
    """What tells one method from another.

    Attributes:
        method: its name, for messages.
        make: see :func:`ampbench_sbi.toolbox.trainer`.
        training: how to train.
        build: arguments of sbi's ``build_posterior``.
        needs_density: whether the posterior evaluates the prior; otherwise sbi can do with its simulations alone.
    """

    method: str
    make: Make
    training: Training
    build: Mapping[str, Any] = field(default_factory=dict)
    needs_density: bool = False

    def prior(self, simulator: Simulator, device: torch.device) -> LatentPrior:
        """Return the prior; raises :class:`UsageError` if it is none for this method."""
        return (density_prior if self.needs_density else continuous_prior)(self.method, simulator, device)

    def trainer(self, prior: LatentPrior, device: torch.device, curves: Curves) -> Any:
        """Return sbi's trainer."""
        return self.make(toolbox(f"method {self.method!r}"), common(None if prior.fault else prior, device, curves))


class Amortised(ToolboxMethod, CanRestore):
    """One network for all observations; a subclass says which."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """What tells this method from another."""

    @final
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> SBIPosterior:
        """Spend the whole budget and train; sbi reports no progress of its own."""
        recipe = self.recipe
        toolbox(f"method {recipe.method!r}")
        check_budget(recipe.method, simulator)
        prior = recipe.prior(simulator, device)
        theta, x = simulate(simulator, simulator.remaining)
        curves = Curves()
        with quiet():
            inference = recipe.trainer(prior, device, curves)
            network = inference.append_simulations(theta, x).train(**recipe.training.options())
            posterior = inference.build_posterior(network, **recipe.build)
        return SBIPosterior(posterior, network, theta.shape[1], x.shape[1], curves.rows())

    @final
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> SBIPosterior:
        """Build the network again, give it what it had, and build the posterior."""
        recipe, of = self.recipe, states.parts(state)
        sizes = {name: int(size) for name, size in of["sizes"].items()}
        states.check_names("", sizes, ("theta", "x"))
        prior = recipe.prior(simulator, device)
        states.check_size("theta", sizes["theta"], prior.event_shape[0])
        states.check_size("x", sizes["x"], simulator.graph.size(simulator.observed))
        theta, x = torch.randn(ROWS, sizes["theta"]), torch.randn(ROWS, sizes["x"])
        with quiet():
            inference = recipe.trainer(prior, device, Curves()).append_simulations(theta, x)
            network = inference._build_neural_net(theta, x)  # as its ``train`` does
            states.load(network, of["network"], f"the network of method {recipe.method!r}")
            posterior = inference.build_posterior(network.to(device).eval(), **recipe.build)
        return SBIPosterior(posterior, network, sizes["theta"], sizes["x"], states.rows(of["curves"]))
