"""Methods that train one network for all observations, from prior simulations.

sbi builds its networks from a batch of simulations, for their sizes, and for their standardisation, which is a part of
the network. So a network is built again from a batch of noise of the same sizes, and then given what it had. sbi draws
from the prior when it builds a posterior, to standardise the steps of its Markov chains; the state of torch's generator
is kept for that.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from ampbench.graph import Simulator
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import CanRestore, HasState, Progress
from ampbench.interfaces import state as states
from ampbench_sbi.toolbox import (
    Curves,
    HasDirectDensity,
    Make,
    SBIPosterior,
    ToolboxMethod,
    Training,
    check_budget,
    common,
    continuous_prior,
    density_prior,
    is_direct,
    quiet,
    simulate,
    toolbox,
)

if TYPE_CHECKING:
    from sbi.inference.posteriors.base_posterior import NeuralPosterior

ROWS = 20
"""Of the batch of noise."""


@dataclass(frozen=True)
class Learned:
    """What a posterior is built from.

    Attributes:
        network: what was trained.
        theta, x: D and L, the numbers of components of the parameters and of an observation.
        generator: the state of torch's generator before the posterior is built.
        curves: what was seen in training, one row per epoch.
    """

    network: nn.Module
    theta: int
    x: int
    generator: Tensor
    curves: Sequence[Mapping[str, float]]


class AmortisedPosterior(SBIPosterior, HasState):
    """An sbi posterior that is made again from what was learned."""

    def __init__(self, posterior: NeuralPosterior, learned: Learned) -> None:
        super().__init__(posterior, learned.x, learned.curves)
        self._learned = learned

    def state(self) -> dict[str, Tensor]:
        """The network with its standardisation, its sizes, the generator, and the losses."""
        learned = self._learned
        return states.joined(
            {
                "network": learned.network.state_dict(),
                "sizes": {"theta": torch.tensor(learned.theta), "x": torch.tensor(learned.x)},
                "generator": {"torch": learned.generator},
                "curves": states.columns(learned.curves),
            }
        )


@final
class AmortisedDensity(AmortisedPosterior, HasDirectDensity):
    """One that has a density."""


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

    def posterior(self, trainer: Any, learned: Learned) -> AmortisedPosterior:
        """Return the posterior."""
        with quiet(), torch.random.fork_rng():
            torch.set_rng_state(learned.generator)
            built = trainer.build_posterior(learned.network, **self.build)
        return (AmortisedDensity if is_direct(built) else AmortisedPosterior)(built, learned)


class Amortised(ToolboxMethod, CanRestore):
    """One network for all observations; a subclass says which."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """What tells this method from another."""

    @final
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> AmortisedPosterior:
        """Spend the whole budget and train; sbi reports no progress of its own."""
        recipe = self.recipe
        toolbox(f"method {recipe.method!r}")
        check_budget(recipe.method, simulator)
        prior = recipe.prior(simulator, device)
        theta, x = simulate(simulator, simulator.remaining)
        curves = Curves()
        with quiet():
            trainer = recipe.trainer(prior, device, curves)
            network = trainer.append_simulations(theta, x).train(**recipe.training.options())
        learned = Learned(network, theta.shape[1], x.shape[1], torch.get_rng_state(), curves.rows())
        return recipe.posterior(trainer, learned)

    @final
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> AmortisedPosterior:
        """Build the network again, give it what it had, and build the posterior."""
        recipe, of = self.recipe, states.parts(state)
        sizes = {name: int(size) for name, size in of["sizes"].items()}
        states.check_names("", sizes, ("theta", "x"))
        prior = recipe.prior(simulator, device)
        states.check_size("theta", sizes["theta"], prior.event_shape[0])
        states.check_size("x", sizes["x"], simulator.graph.size(simulator.observed))
        theta, x = torch.randn(ROWS, sizes["theta"]), torch.randn(ROWS, sizes["x"])
        with quiet():
            trainer = recipe.trainer(prior, device, Curves()).append_simulations(theta, x)
            network = trainer._build_neural_net(theta, x)  # as its ``train`` does
        states.load(network, of["network"], f"the network of method {recipe.method!r}")
        learned = Learned(
            network.to(device).eval(), **sizes, generator=of["generator"]["torch"], curves=states.rows(of["curves"])
        )
        return recipe.posterior(trainer, learned)
