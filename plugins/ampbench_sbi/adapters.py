"""Adapters in both directions: from an sbi prior and simulator to a graph, and from a posterior to an sbi posterior.

The latter makes sbi's diagnostics and plots work on every method::

    from sbi.analysis import pairplot
    from sbi.diagnostics import run_sbc

    view = as_sbi(posterior)
    ranks, dap_samples = run_sbc(theta, x, view)
    pairplot(view.set_default_x(x_o).sample((1000,)))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasDensity, Posterior
from ampbench_sbi.toolbox import SBIPosterior, quiet, toolbox


def graph_of(prior: Any, simulate: Callable[..., Any], failed: float | None = None) -> Graph:
    """Return the graph theta -> x of an sbi prior and simulator.

    Arguments:
        prior: any prior of sbi, or another one of :mod:`ampbench.graph.priors`: a torch distribution, a list of
            distributions, a frozen one of scipy, or an object with ``sample`` and ``log_prob``.
        simulate: any simulator of sbi, of one parameter vector or of a batch. sbi simulates a few times to distinguish
            these cases; the budget does not count these simulations.
        failed: the code that replaces NaN and infinite components of a simulation, so that a method also learns from
            failures; choose a value that valid data do not take. None: such a simulation is an error.

    Raises:
        UsageError: sbi is not installed, or ``failed`` is not finite.
        GraphError: the prior cannot be used; see :func:`ampbench.graph.priors.as_distribution`.
    """
    if failed is not None and not torch.isfinite(torch.tensor(failed)):
        raise UsageError(f"the code of failed simulations must be finite, got {failed}")
    checks = toolbox("an sbi prior or simulator", "utils.user_input_checks")
    theta = density("theta", prior)
    with quiet():
        batched = checks.process_simulator(simulate, theta.conditional, False)

    def run(theta: Tensor) -> Tensor:
        x = torch.as_tensor(batched(theta)).reshape(len(theta), -1)
        return x if failed is None else torch.where(torch.isfinite(x), x, torch.full_like(x, failed))

    return Graph(theta, simulator("x", run, ["theta"]))


def as_sbi(posterior: Posterior) -> Any:
    """Return a posterior that sbi's diagnostics and plots accept: the sbi posterior if there is one, else a view."""
    return posterior.posterior if isinstance(posterior, SBIPosterior) else SBIView(posterior)


@final
class SBIView:
    """A view of a posterior with the methods of sbi's ``NeuralPosterior`` that its diagnostics and plots call."""

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior
        self.default_x: Tensor | None = None

    def set_default_x(self, x: Tensor) -> SBIView:
        """Set the default observation, shape (L,) or (1, L), of calls without an observation."""
        self.default_x = x.clone()
        return self

    def sample(self, sample_shape: Sequence[int] = (), x: Tensor | None = None, **options: Any) -> Tensor:
        """Draw samples, shape (*sample_shape, D), for one observation, shape (L,) or (1, L); options are ignored."""
        shape = torch.Size(sample_shape)
        drawn = self._posterior.sample(self._observation(x), shape.numel())
        return drawn.reshape(*shape, drawn.shape[1])

    def sample_batched(self, sample_shape: Sequence[int], x: Tensor, **options: Any) -> Tensor:
        """Draw samples, shape (*sample_shape, B, D), for B observations, shape (B, L)."""
        return torch.stack([self.sample(sample_shape, each) for each in x], dim=-2)

    def log_prob(self, theta: Tensor, x: Tensor | None = None, **options: Any) -> Tensor:
        """Return the log density, shape (n,), at theta (n, D).

        Raises:
            UsageError: the posterior has no density; use diagnostics that need only samples, such as TARP.
        """
        if not isinstance(self._posterior, HasDensity):
            raise UsageError(
                f"{type(self._posterior).__name__} has no density; use diagnostics that need samples alone: "
                "run_sbc with marginals, run_tarp, LC2ST"
            )
        return self._posterior.log_prob(theta, self._observation(x).expand(len(theta), -1))

    def _observation(self, x: Tensor | None) -> Tensor:
        given = self.default_x if x is None else x
        if given is None:
            raise UsageError("no observation: give x, or call set_default_x first")
        return given[0] if given.ndim == 2 and len(given) == 1 else given
