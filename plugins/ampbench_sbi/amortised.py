"""Methods that train one network for all observations, from prior simulations.

sbi builds a network from a batch of simulations, which determines its sizes and its standardisation; the latter is a
part of the network. To restore a network, it is therefore built from a batch of noise of the same sizes, and its
stored state is loaded. sbi draws from the prior when it builds a posterior, to standardise the steps of its Markov
chains; the state of torch's generator is stored to repeat these draws.
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
    SBIPosterior,
    ToolboxMethod,
    TrainerFactory,
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
from ampbench_sbi.units import PriorInUnits, Units, in_units, simplexes_of, units_of

if TYPE_CHECKING:
    from sbi.inference.posteriors.base_posterior import NeuralPosterior

NOISE_ROWS = 20
"""Size of the batch of noise from which a restored network is built."""


@dataclass(frozen=True)
class Learned:
    """The result of a training, from which a posterior is built.

    Attributes:
        network: the trained network.
        theta, x: D and L, the numbers of components of the parameters and of an observation.
        generator: the state of torch's generator before the posterior is built.
        curves: losses of the training, one row per epoch.
        theta_units, x_units: the units in which sbi sees parameters and observations.
    """

    network: nn.Module
    theta: int
    x: int
    generator: Tensor
    curves: Sequence[Mapping[str, float]]
    theta_units: Units
    x_units: Units


class AmortisedPosterior(SBIPosterior, HasState):
    """An sbi posterior that can be rebuilt from the result of its training."""

    def __init__(self, posterior: NeuralPosterior, learned: Learned) -> None:
        super().__init__(posterior, learned.x, learned.curves, learned.theta_units, learned.x_units)
        self._learned = learned

    def state(self) -> dict[str, Tensor]:
        """Return the network with its standardisation, the sizes, the state of the generator, the losses, and units."""
        learned = self._learned
        units = {"theta_units": learned.theta_units.state(), "x_units": learned.x_units.state()}
        return states.joined(
            {
                "network": learned.network.state_dict(),
                "sizes": {"theta": torch.tensor(learned.theta), "x": torch.tensor(learned.x)},
                "generator": {"torch": learned.generator},
                "curves": states.columns(learned.curves),
                **units,
            }
        )


@final
class AmortisedDensity(AmortisedPosterior, HasDirectDensity):
    """An amortised sbi posterior with a density."""


@dataclass(frozen=True)
class Recipe:
    """Specification of an amortised method.

    Attributes:
        method: registry name, for messages.
        make: factory of sbi's trainer, see :func:`ampbench_sbi.toolbox.trainer`.
        training: settings of the training.
        build: arguments of sbi's ``build_posterior``.
        needs_density: whether the posterior evaluates the prior's density; otherwise prior simulations suffice.
    """

    method: str
    make: TrainerFactory
    training: Training
    build: Mapping[str, Any] = field(default_factory=dict)
    needs_density: bool = False

    def prior(self, simulator: Simulator, device: torch.device) -> LatentPrior:
        """Return the prior; raise :class:`UsageError` if this method does not support it."""
        return (density_prior if self.needs_density else continuous_prior)(self.method, simulator, device)

    def trainer(self, prior: LatentPrior | PriorInUnits, device: torch.device, curves: Curves) -> Any:
        """Return sbi's trainer."""
        return self.make(toolbox(f"method {self.method!r}"), common(None if prior.fault else prior, device, curves))

    def posterior(self, trainer: Any, learned: Learned) -> AmortisedPosterior:
        """Return the posterior."""
        with quiet(), torch.random.fork_rng():
            torch.set_rng_state(learned.generator)
            built = trainer.build_posterior(learned.network, **self.build)
        return (AmortisedDensity if is_direct(built) else AmortisedPosterior)(built, learned)


class Amortised(ToolboxMethod, CanRestore):
    """A method that trains one network for all observations; a subclass specifies it by its recipe."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """The specification of this method."""

    @final
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> AmortisedPosterior:
        """Spend the whole budget and train; sbi reports no progress."""
        recipe = self.recipe
        toolbox(f"method {recipe.method!r}")
        check_budget(recipe.method, simulator)
        prior = recipe.prior(simulator, device)
        theta, x = simulate(simulator, simulator.remaining)
        seen, x_units, curves = in_units(prior, theta), Units.of(x), Curves()
        theta_units = units_of(seen)
        with quiet():
            trainer = recipe.trainer(seen, device, curves)
            trainer.append_simulations(theta_units.encode(theta), x_units.encode(x))
            network = trainer.train(**recipe.training.options())
        sizes = theta.shape[1], x.shape[1]
        learned = Learned(network, *sizes, torch.get_rng_state(), curves.rows(), theta_units, x_units)
        return recipe.posterior(trainer, learned)

    @final
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> AmortisedPosterior:
        """Build the network, load its stored state, and build the posterior."""
        recipe, of = self.recipe, states.parts(state)
        sizes = {name: int(size) for name, size in of["sizes"].items()}
        states.check_names("", sizes, ("theta", "x"))
        prior = recipe.prior(simulator, device)
        states.check_size("theta", sizes["theta"], prior.event_shape[0])
        states.check_size("x", sizes["x"], simulator.graph.size(simulator.observed))
        theta_units, x_units = (
            Units.from_state(of.get("theta_units", {}), simplexes_of(prior)),
            Units.from_state(of.get("x_units", {})),
        )
        seen = PriorInUnits(prior, theta_units) if theta_units.differ else prior
        theta, x = torch.randn(NOISE_ROWS, theta_units.seen(sizes["theta"])), torch.randn(NOISE_ROWS, sizes["x"])
        with quiet():
            trainer = recipe.trainer(seen, device, Curves()).append_simulations(theta, x)
            network = trainer._build_neural_net(theta, x)  # as in its ``train``
        states.load(network, of["network"], f"the network of method {recipe.method!r}")
        learned = Learned(
            network.to(device).eval(),
            **sizes,
            generator=of["generator"]["torch"],
            curves=states.rows(of["curves"]),
            theta_units=theta_units,
            x_units=x_units,
        )
        return recipe.posterior(trainer, learned)
