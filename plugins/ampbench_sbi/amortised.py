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

from ampbench.errors import UsageError
from ampbench.graph import Simulator, join
from ampbench.graph.coded import CodedEvidence
from ampbench.graph.gaps import names_with_gaps
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import CanRestore, HasState, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.family import Part
from ampbench.interfaces.method import ReadsGaps
from ampbench.networks import Arrangement
from ampbench_sbi.toolbox import (
    MIN_SIMULATIONS,
    Curves,
    HasDirectDensity,
    Reader,
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
    toolbox,
)
from ampbench_sbi.units import Coded, Encoding, PriorInUnits, Units, in_units, simplexes_of, units_of

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
    x_units: Encoding


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
class Pairs:
    """Simulations on which networks are trained, in the units in which sbi sees them.

    Attributes:
        theta, x: parameters (n, D') and observations (n, L').
        sizes: D and L, before the change of units.
        prior: the prior of theta in these units.
        theta_units, x_units: the units.
    """

    theta: Tensor
    x: Tensor
    sizes: tuple[int, int]
    prior: LatentPrior | PriorInUnits
    theta_units: Units
    x_units: Encoding


@dataclass(frozen=True)
class Recipe:
    """Specification of an amortised method.

    Attributes:
        method: registry name, for messages.
        make: factory of sbi's trainer, see :func:`ampbench_sbi.toolbox.trainer`.
        training: settings of the training.
        build: arguments of sbi's ``build_posterior``.
        needs_density: whether the posterior evaluates the prior's density; otherwise prior simulations suffice.
        reader: the trainer for observations with gaps, or with an embedding network; None if there is none.
        arrangement: of the observations, for an embedding network; None: the networks of sbi read them directly.
        loss: arguments of sbi's ``train`` that define the loss.
        least: the fewest simulations on which the network can be trained.
        advice: the next step if the budget is smaller.
    """

    method: str
    make: TrainerFactory
    training: Training
    build: Mapping[str, Any] = field(default_factory=dict)
    needs_density: bool = False
    reader: Reader | None = None
    arrangement: Arrangement | None = None
    loss: Mapping[str, Any] = field(default_factory=dict)
    least: int = MIN_SIMULATIONS
    advice: str = ""

    def prior(self, simulator: Simulator, device: torch.device) -> LatentPrior:
        """Return the prior; raise :class:`UsageError` if this method does not support it."""
        return (density_prior if self.needs_density else continuous_prior)(self.method, simulator, device)

    def trainer(
        self, prior: LatentPrior | PriorInUnits, device: torch.device, curves: Curves, x_units: Encoding
    ) -> Any:
        """Return sbi's trainer."""
        make = self.make
        if isinstance(x_units, Coded):
            assert self.reader is not None
            coordinates = x_units.evidence.coordinates
            gaps = names_with_gaps(coordinates, coordinates)
            parts = [Part(each.size, name in gaps) for name, each in coordinates.items()]
            make = self.reader.behind(self.arrangement.embedding(parts) if self.arrangement else nn.Identity())
        return make(toolbox(f"method {self.method!r}"), common(None if prior.fault else prior, device, curves))

    def check(self, simulator: Simulator) -> None:
        """Raise :class:`UsageError` if the observations have gaps, or get an embedding network, and cannot be read."""
        if self.reader is None and (simulator.gaps or self.arrangement):
            what = f"the gaps of {simulator.gaps[0]!r}" if simulator.gaps else "an embedding network"
            raise UsageError(
                f"method {self.method!r} learns the density of observations, whose parts {what} would change; "
                "take 'npe', 'fmpe', 'npse', 'nre', 'nre-c' or 'amp'"
            )

    def encoding(self, simulator: Simulator, values: Mapping[str, Tensor]) -> Encoding:
        """Return how sbi sees the observed variables of simulations, (n, D_i) each."""
        if not simulator.gaps and self.arrangement is None:
            return Units.of(join(values, simulator.observed))
        observed = {name: values[name] for name in simulator.observed}
        if self.arrangement is None:
            return Coded(CodedEvidence.of(simulator.graph, observed))
        return Coded(CodedEvidence.of(simulator.graph, observed, self.arrangement.alike))

    def restored_encoding(self, simulator: Simulator, state: Mapping[str, Tensor]) -> Encoding:
        """Return the encoding that had this state."""
        if not simulator.gaps and self.arrangement is None:
            return Units.from_state(state)
        return Coded.from_state(state, simulator.graph, simulator.observed)

    def posterior(self, trainer: Any, learned: Learned) -> AmortisedPosterior:
        """Return the posterior."""
        with quiet(), torch.random.fork_rng():
            torch.set_rng_state(learned.generator)
            built = trainer.build_posterior(learned.network, **self.build)
        return (AmortisedDensity if is_direct(built) else AmortisedPosterior)(built, learned)

    def simulated(self, simulator: Simulator, device: torch.device) -> Pairs:
        """Spend the whole budget.

        Raises:
            UsageError: sbi is not installed, this method does not support the model, or the budget is too small.
        """
        toolbox(f"method {self.method!r}")
        self.check(simulator)
        check_budget(self.method, simulator, least=self.least, advice=self.advice)
        prior = self.prior(simulator, device)
        values = simulator.require(simulator.sample(simulator.remaining), self.least)
        theta, x = join(values, simulator.latents), join(values, simulator.observed)
        seen, x_units = in_units(prior, theta), self.encoding(simulator, values)
        units, sizes = units_of(seen), (theta.shape[1], x.shape[1])
        return Pairs(units.encode(theta), x_units.encode(x), sizes, seen, units, x_units)

    def trained(self, pairs: Pairs, device: torch.device) -> AmortisedPosterior:
        """Train a network, from the state of torch's generator, and return its posterior."""
        curves = Curves()
        with quiet():
            trainer = self.trainer(pairs.prior, device, curves, pairs.x_units)
            trainer.append_simulations(pairs.theta, pairs.x)
            network = trainer.train(**self.training.options(), **self.loss)
        units = pairs.theta_units, pairs.x_units
        learned = Learned(network, *pairs.sizes, torch.get_rng_state(), curves.rows(), *units)
        return self.posterior(trainer, learned)

    def restored(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> AmortisedPosterior:
        """Build the network, load its stored state, and build the posterior."""
        of = states.parts(state)
        sizes = {name: int(size) for name, size in of["sizes"].items()}
        states.check_names("", sizes, ("theta", "x"))
        prior = self.prior(simulator, device)
        states.check_size("theta", sizes["theta"], prior.event_shape[0])
        states.check_size("x", sizes["x"], simulator.graph.size(simulator.observed))
        theta_units = Units.from_state(of.get("theta_units", {}), simplexes_of(prior))
        x_units = self.restored_encoding(simulator, of.get("x_units", {}))
        seen = PriorInUnits(prior, theta_units) if theta_units.differ else prior
        theta, x = torch.randn(NOISE_ROWS, theta_units.seen(sizes["theta"])), torch.randn(NOISE_ROWS, sizes["x"])
        x = x_units.encode(x) if isinstance(x_units, Coded) else x
        with quiet():
            trainer = self.trainer(seen, device, Curves(), x_units).append_simulations(theta, x)
            network = trainer._build_neural_net(theta, x)  # as in its ``train``
        states.load(network, of["network"], f"the network of method {self.method!r}")
        learned = Learned(
            network.to(device).eval(),
            **sizes,
            generator=of["generator"]["torch"],
            curves=states.rows(of["curves"]),
            theta_units=theta_units,
            x_units=x_units,
        )
        return self.posterior(trainer, learned)


class Amortised(ToolboxMethod, CanRestore, ReadsGaps):
    """A method that trains one network for all observations; a subclass specifies it by its recipe."""

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """The specification of this method."""

    @final
    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> AmortisedPosterior:
        """Spend the whole budget and train; sbi reports no progress."""
        return self.recipe.trained(self.recipe.simulated(simulator, device), device)

    @final
    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> AmortisedPosterior:
        """Build the network, load its stored state, and build the posterior."""
        return self.recipe.restored(simulator, state, device)
