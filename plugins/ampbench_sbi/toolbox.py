"""Shared parts of the sbi methods: import, suppressed output, simulations, and an sbi posterior as a `Posterior`.

sbi prints when it has converged, warns of its own deprecations and logs to TensorBoard; this package suppresses all
three. Only :class:`~ampbench.graph.Simulator` simulates, so that the budget holds.

sbi's treatment of invalid simulations is kept: NPE, FMPE and NPSE stay right without the rows with NaN or infinite
values among simulations from the prior; the other methods would be biased, and refuse to leave them out
(:attr:`ampbench.interfaces.Method.drop_bias`). sbi itself sees none: :class:`~ampbench.graph.Simulator` drops or codes
them (``failed=``).

References:
    Boelts et al. 2024, *sbi reloaded*, arXiv:2411.17337.
"""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.graph import Simulator, join
from ampbench.graph.coordinates import is_partly_discrete
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasDensity, HasHistory, Method, Posterior, by_observation
from ampbench.interfaces.history import history_frame
from ampbench.options import at_least, between
from ampbench_sbi.tries import bounded_chains, bounded_rejection, leaking
from ampbench_sbi.units import Encoding, PriorInUnits, Units

if TYPE_CHECKING:
    from pandas import DataFrame
    from sbi.inference.posteriors.base_posterior import NeuralPosterior

SILENT_OPTIONS = {"show_progress_bars": False}
MIN_SIMULATIONS = 10
"""Smallest number of simulations in a round on which a network is trained: a tenth of them is held out."""
LIKELIHOOD_BIAS = (
    "it multiplies a likelihood or ratio, learned from the simulations, by the prior, so that the posterior would lack "
    "the factor P(success | theta)"
)
"""The reason why a method needs the simulations that failed."""
MAF_BIAS = (
    "the flow 'maf' of the data has a single mode in each component, given the others, and none for codes beside valid "
    "values; take density_estimator=nsf, or mdn"
)
"""The reason why a likelihood of coded data is wrong."""


@dataclass(frozen=True)
class Training:
    """Settings of the training of a network; sbi stops when the held-out loss has not improved for 20 epochs.

    Raises:
        UsageError: a number is out of its range.
    """

    batch_size: int
    learning_rate: float
    max_epochs: int

    def __post_init__(self) -> None:
        at_least(self, batch_size=(self.batch_size, 1), max_epochs=(self.max_epochs, 1))
        between(self, learning_rate=(self.learning_rate, 0, math.inf))

    def options(self) -> dict[str, Any]:
        """Return the arguments of sbi's ``train``."""
        return {
            "training_batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "max_num_epochs": self.max_epochs,
        }


@dataclass(frozen=True)
class MCMC:
    """Settings of slice sampling with parallel chains, for a posterior that only has an unnormalised density.

    Raises:
        UsageError: a number is out of its range.
    """

    chains: int
    warmup: int
    thin: int

    def __post_init__(self) -> None:
        at_least(self, chains=(self.chains, 1), warmup=(self.warmup, 0), thin=(self.thin, 1))

    def options(self) -> dict[str, Any]:
        """Return the arguments of sbi's ``build_posterior``."""
        return {
            "sample_with": "mcmc",
            "mcmc_method": "slice_np_vectorized",
            "mcmc_parameters": {
                "num_chains": self.chains,
                "warmup_steps": self.warmup,
                "thin": self.thin,
                "init_strategy": "sir",
                "init_strategy_parameters": {"num_candidate_samples": 1000},  # per chain; sbi's 10,000 takes minutes
            },
        }


@dataclass
class Curves:
    """An experiment tracker for sbi that keeps the losses in memory and writes no file."""

    log_dir: str | None = None
    values: dict[str, dict[int, float]] = field(default_factory=dict)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Store one number of a step."""
        self.values.setdefault(name, {})[step or 0] = float(value)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Store several numbers of a step."""
        for name, value in metrics.items():
            self.log_metric(name, value, step)

    def log_params(self, params: dict[str, Any]) -> None:
        """Do nothing: the spec holds the parameters."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Do nothing: figures are not stored."""

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def rows(self) -> list[dict[str, float]]:
        """Return one row per epoch: its number, the held-out score and the training loss."""
        held_out, training = (self.values.get(name, {}) for name in ("validation_loss", "training_loss"))
        return [
            {"step": step, "held_out_score": held_out[step], "family loss": training.get(step, float("nan"))}
            for step in sorted(held_out)
        ]


TrainerFactory = Callable[[Any, dict[str, Any]], Any]
"""From the module ``sbi.inference`` and the arguments that all trainers take to a trainer."""


def trainer(name: str, **arguments: Any) -> TrainerFactory:
    """Return the factory of a trainer of ``sbi.inference``, by its class name, with its specific arguments."""
    return lambda sbi, common: getattr(sbi, name)(**arguments, **common)


@dataclass(frozen=True)
class Reader:
    """A trainer of sbi whose network reads observations as they are given, behind an embedding network.

    Attributes:
        name: class name of the trainer.
        argument: the trainer's argument for the builder of the network.
        builder: function of ``sbi.neural_nets`` that makes the builder.
        embedding: argument of that function for the embedding network.
        options: other arguments of that function.
    """

    name: str
    argument: str
    builder: str
    embedding: str
    options: Mapping[str, Any]

    def behind(self, embedding: nn.Module) -> TrainerFactory:
        """Return the factory of the trainer with an embedding network; nothing is standardised before it."""

        def make(sbi: Any, common: dict[str, Any]) -> Any:
            build = getattr(toolbox(f"an embedding for {self.name}", "neural_nets"), self.builder)
            network = build(z_score_x="none", **{self.embedding: embedding}, **self.options)
            return getattr(sbi, self.name)(**{self.argument: network}, **common)

        return make

    def alone(self) -> TrainerFactory:
        """Return the factory of the trainer without an embedding network; sbi standardises parameters and data."""

        def make(sbi: Any, common: dict[str, Any]) -> Any:
            build = getattr(toolbox(f"a network of {self.name}", "neural_nets"), self.builder)
            return getattr(sbi, self.name)(**{self.argument: build(**self.options)}, **common)

        return make


class ToolboxMethod(Method):
    """A method of the sbi toolbox."""

    packages = ("sbi",)
    imports = ("sbi.inference",)


class SBIPosterior(Posterior, HasHistory):
    """An sbi posterior as a :class:`~ampbench.interfaces.Posterior`.

    Arguments:
        posterior: the sbi posterior; sbi's diagnostics and plots accept it.
        features: L, the number of components of an observation.
        curves: losses of the training, one row per epoch.
        theta_units, x_units: the units in which the sbi posterior sees parameters and observations.
    """

    def __init__(
        self,
        posterior: NeuralPosterior,
        features: int,
        curves: Sequence[Mapping[str, float]],
        theta_units: Units,
        x_units: Encoding,
    ) -> None:
        self.posterior = posterior
        self.features = features
        self.curves = curves
        self.theta_units = theta_units
        self.x_units = x_units

    @property
    def history(self) -> DataFrame:
        """Losses of the training, one row per epoch."""
        return history_frame(self.curves)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D); draws outside the prior's support are rejected.

        Raises:
            SamplingError: too few draws are accepted; see :mod:`ampbench_sbi.tries`.
        """
        observation = self.x_units.checked(observation, self.features)
        x = self.x_units.encode(observation[None])
        with quiet(), bounded(self.posterior, n):
            drawn: Tensor = self.posterior.sample((n,), x=x, show_progress_bars=False)
        return self.theta_units.decode(drawn.detach().cpu())


class HasDirectDensity(SBIPosterior, HasDensity):
    """An sbi posterior with the density of its network, normalised over the support of the prior."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape (n,), for theta (n, D) and x (n, L); minus infinity outside the prior.

        For each distinct x, the share of the network's mass inside the prior's support is estimated from 10,000 draws.

        Raises:
            SamplingError: that share is too small; see :mod:`ampbench_sbi.tries`.
        """
        theta, x = self.theta_units.encode(value), self.x_units.encode(context)
        return by_observation(self._log_prob, theta, x) - self.theta_units.log_scale

    def _log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        with quiet(), bounded(self.posterior, len(theta)):
            found: Tensor = self.posterior.log_prob(theta, x[None], leakage_correction_params=SILENT_OPTIONS)
        return found


def is_direct(posterior: NeuralPosterior) -> bool:
    """Return whether an sbi posterior samples from a network's density, which :class:`HasDirectDensity` evaluates."""
    direct: type = toolbox("a density", "inference.posteriors").DirectPosterior
    return isinstance(posterior, direct)


def bounded(sampler: Any, n: int) -> AbstractContextManager[None]:
    """Bound the tries of an sbi posterior inside the block, for n draws; a prior rejects nothing."""
    posteriors = toolbox("a bound of tries", "inference.posteriors")
    if isinstance(sampler, posteriors.MCMCPosterior):
        return bounded_chains(sampler, n)
    rejects = isinstance(sampler, posteriors.DirectPosterior | posteriors.VectorFieldPosterior)
    return bounded_rejection(sampler, leaking()) if rejects else nullcontext()


def common(prior: LatentPrior | PriorInUnits | None, device: torch.device, curves: Curves) -> dict[str, Any]:
    """Return the arguments that all of sbi's trainers take."""
    return {"prior": prior, "device": str(device), "tracker": curves, "show_progress_bars": False}


def toolbox(method: str, module: str = "inference") -> Any:
    """Import ``sbi.inference``, or another module of sbi.

    Raises:
        UsageError: sbi is not installed; the message tells how to install it.
    """
    try:
        with quiet():
            return importlib.import_module(f"sbi.{module}")
    except ImportError as error:
        raise UsageError(f"{method} needs sbi: pip install 'ampbench[sbi]'") from error


def continuous_prior(method: str, simulator: Simulator, device: torch.device) -> LatentPrior:
    """Return the prior of theta.

    Raises:
        UsageError: a latent is discrete, which sbi cannot infer; the message names it.
    """
    for name in simulator.latents:
        if (support := simulator.graph[name].support).is_discrete:
            if is_partly_discrete(support):
                raise UsageError(
                    f"method {method!r} infers continuous variables, but {name!r} has discrete and continuous "
                    f"components ({support}); split it into nodes, one for each kind, and take 'amp' with a discrete "
                    "family, or take 'rejection-abc'"
                )
            raise UsageError(
                f"method {method!r} infers continuous variables, but {name!r} is discrete ({support}); "
                "take 'amp' with a discrete family, or 'rejection-abc'"
            )
    return LatentPrior(simulator.graph, simulator.latents, device)


def density_prior(method: str, simulator: Simulator, device: torch.device) -> LatentPrior:
    """Return the prior of theta, with its density.

    Raises:
        UsageError: a latent is discrete or has no density; the message names it.
    """
    prior = continuous_prior(method, simulator, device)
    if prior.fault:
        raise UsageError(f"method {method!r} evaluates the prior's density, but {prior.fault}; take 'npe' or 'amp'")
    return prior


def simulate(
    simulator: Simulator, n: int, given: dict[str, Tensor] | None = None, least: int = MIN_SIMULATIONS
) -> tuple[Tensor, Tensor]:
    """Spend n simulations, and return theta (n, D) and x (n, L), of ``least`` rows if failed ones are left out."""
    values = simulator.require(simulator.sample(n, given), least)
    return join(values, simulator.latents), join(values, simulator.observed)


def check_budget(
    method: str, simulator: Simulator, rounds: int = 1, least: int = MIN_SIMULATIONS, advice: str = ""
) -> None:
    """Raise :class:`UsageError` if the budget is too small to train a network in each round."""
    if simulator.budget < least * rounds:
        each, advice = (f" in each of {rounds} rounds", "take fewer rounds") if rounds > 1 else ("", advice)
        raise UsageError(
            f"method {method!r} needs at least {least} simulations{each}, "
            f"but the budget is {simulator.budget}" + (f"; {advice}" if advice else "")
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress sbi's warnings, log messages, prints and progress bars inside the block."""
    root, silencer, disabled = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(silencer)  # without any handler, logging.warning() would install one that writes to stderr
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(silencer)
