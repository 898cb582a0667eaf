"""What the methods of the sbi toolbox share: import, silence, simulations, and the posterior behind our interface.

sbi prints when it has converged, warns of its own deprecations and logs to TensorBoard; here it does none of this.
Simulations come from our :class:`~ampbench.graph.Simulator` alone, so that the budget holds.

sbi's treatment of invalid simulations is kept: NPE, FMPE and NPSE discard rows with NaN or infinite values from prior
simulations, which leaves them correct; the others would be biased by that, and raise. (A graph refuses such rows
already, unless they are turned into a code: see :func:`ampbench_sbi.adapters.graph_of`.)

References:
    Boelts et al. 2024, *sbi reloaded*, arXiv:2411.17337.
"""

from __future__ import annotations

import importlib
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Simulator, join
from ampbench.graph.prior import LatentPrior
from ampbench.interfaces import HasDensity, HasHistory, Method, Posterior, by_observation, check_observation
from ampbench.interfaces.history import history_frame
from ampbench.options import at_least, between

if TYPE_CHECKING:
    from pandas import DataFrame
    from sbi.inference.posteriors.base_posterior import NeuralPosterior

SILENT = {"show_progress_bars": False}
LEAST = 10
"""Fewest simulations that a network is trained on in a round: a tenth is held out."""


@dataclass(frozen=True)
class Training:
    """How a network is trained; sbi stops when the held-out loss has not improved for 20 epochs.

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
        """The arguments of sbi's ``train``."""
        return {
            "training_batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "max_num_epochs": self.max_epochs,
        }


@dataclass(frozen=True)
class MCMC:
    """How a posterior without a sampler of its own is sampled: by slice sampling of several chains at once.

    Raises:
        UsageError: a number is out of its range.
    """

    chains: int
    warmup: int
    thin: int

    def __post_init__(self) -> None:
        at_least(self, chains=(self.chains, 1), warmup=(self.warmup, 0), thin=(self.thin, 1))

    def options(self) -> dict[str, Any]:
        """The arguments of sbi's ``build_posterior``."""
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
    """An experiment tracker for sbi that keeps the losses and writes no file."""

    log_dir: str | None = None
    values: dict[str, dict[int, float]] = field(default_factory=dict)

    def log_metric(self, name: str, value: float, step: int | None = None) -> None:
        """Keep one number."""
        self.values.setdefault(name, {})[step or 0] = float(value)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Keep several numbers."""
        for name, value in metrics.items():
            self.log_metric(name, value, step)

    def log_params(self, params: dict[str, Any]) -> None:
        """Keep nothing: parameters are in the spec."""

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None:
        """Keep nothing."""

    def flush(self) -> None:
        """Nothing is buffered."""

    def rows(self) -> list[dict[str, float]]:
        """One row per epoch: its number, the held-out score and the training loss."""
        held_out, training = (self.values.get(name, {}) for name in ("validation_loss", "training_loss"))
        return [
            {"step": step, "held_out_score": held_out[step], "family loss": training.get(step, float("nan"))}
            for step in sorted(held_out)
        ]


Make = Callable[[Any, dict[str, Any]], Any]
"""From ``sbi.inference`` and the arguments that all trainers take to a trainer."""


def trainer(name: str, **arguments: Any) -> Make:
    """Return what makes one of sbi's trainers, by its name there, with arguments of its own."""
    return lambda sbi, common: getattr(sbi, name)(**arguments, **common)


class ToolboxMethod(Method):
    """A method whose numbers come from sbi."""

    packages = ("sbi",)
    imports = ("sbi.inference",)


class SBIPosterior(Posterior, HasHistory):
    """An sbi posterior behind our interface.

    Arguments:
        posterior: the sbi posterior, also for its own diagnostics and plots.
        features: L, the number of components of an observation.
        curves: what was seen in training, one row per epoch.
    """

    def __init__(self, posterior: NeuralPosterior, features: int, curves: Sequence[Mapping[str, float]]) -> None:
        self.posterior = posterior
        self.features = features
        self.curves = curves

    @property
    def history(self) -> DataFrame:
        """Losses, one row per epoch."""
        return history_frame(self.curves)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D); draws outside the prior's support are rejected."""
        observation = check_observation(observation, self.features)
        with quiet():
            drawn: Tensor = self.posterior.sample((n,), x=observation[None].float(), show_progress_bars=False)
        return drawn.detach().cpu()


class HasDirectDensity(SBIPosterior, HasDensity):
    """The density of an sbi posterior that is a network's, without what leaks out of the prior."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape (n,), for theta (n, D) and x (n, L); minus infinity outside the prior.

        For each different x the share of the network's mass inside the prior is estimated from 10,000 draws.
        """
        return by_observation(self._log_prob, value.float(), context.float())

    def _log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        with quiet():
            found: Tensor = self.posterior.log_prob(theta, x[None], leakage_correction_params=SILENT)
        return found


def is_direct(posterior: NeuralPosterior) -> bool:
    """Whether an sbi posterior is drawn from a network's density, which :class:`HasDirectDensity` evaluates."""
    direct: type = toolbox("a density", "inference.posteriors").DirectPosterior
    return isinstance(posterior, direct)


def common(prior: LatentPrior | None, device: torch.device, curves: Curves) -> dict[str, Any]:
    """The arguments that all of sbi's trainers take."""
    return {"prior": prior, "device": str(device), "tracker": curves, "show_progress_bars": False}


def toolbox(method: str, module: str = "inference") -> Any:
    """Import ``sbi.inference``, or another module of it; raises :class:`UsageError` that says how to get it."""
    try:
        with quiet():
            return importlib.import_module(f"sbi.{module}")
    except ImportError as error:
        raise UsageError(f"{method} needs sbi: pip install 'ampbench[sbi]'") from error


def continuous_prior(method: str, simulator: Simulator, device: torch.device) -> LatentPrior:
    """Return the prior of theta; raises :class:`UsageError` that names a discrete latent, which sbi cannot infer."""
    for name in simulator.latents:
        if (support := simulator.graph[name].support).is_discrete:
            raise UsageError(
                f"method {method!r} infers continuous variables, but {name!r} is discrete ({support}); "
                "take 'amp' with a discrete family, or 'rejection-abc'"
            )
    return LatentPrior(simulator.graph, simulator.latents, device)


def density_prior(method: str, simulator: Simulator, device: torch.device) -> LatentPrior:
    """Return the prior of theta, with its density; raises :class:`UsageError` that names what has none."""
    prior = continuous_prior(method, simulator, device)
    if prior.fault:
        raise UsageError(f"method {method!r} evaluates the prior's density, but {prior.fault}; take 'npe' or 'amp'")
    return prior


def simulate(simulator: Simulator, n: int, given: dict[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """Spend n simulations: theta (n, D) and x (n, L)."""
    values = simulator.sample(n, given)
    return join(values, simulator.latents), join(values, simulator.observed)


def check_budget(method: str, simulator: Simulator, rounds: int = 1) -> None:
    """Refuse a budget with which a network cannot be trained; raises :class:`UsageError`."""
    if simulator.budget < LEAST * rounds:
        each = f" in each of {rounds} rounds" if rounds > 1 else ""
        raise UsageError(
            f"method {method!r} needs at least {LEAST} simulations{each}, but the budget is {simulator.budget}"
            + ("; take fewer rounds" if rounds > 1 else "")
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep sbi's warnings, log messages, prints and progress bars from our output."""
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
