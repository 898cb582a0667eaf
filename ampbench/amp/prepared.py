"""The simulations of a fit in network coordinates, and the posterior of a training on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison, by_likelihood
from ampbench.amp.diagnostics import ROWS, warn_if_told_apart
from ampbench.amp.engine import Settings, Trained
from ampbench.amp.posterior import AMPPosterior, posterior_type
from ampbench.amp.refinement import Refinement
from ampbench.amp.sources import Simulations
from ampbench.graph import Simulator
from ampbench.graph.coordinates import Coordinates

REMEDY = "raise steps or the budget, or take a richer family; posterior.diagnose() says more"
"""Advice for fits whose adversaries still distinguish the chains."""


@dataclass(frozen=True)
class Prepared:
    """The simulations of a fit.

    Attributes:
        simulator: the model; its budget is spent.
        settings: of the training on these simulations.
        coordinates: network coordinates of every variable.
        encoded: the simulations in network coordinates, on the device of the fit, (n, D_i) per variable.
        observed: by name of an observed variable, its number of components.
        device: of the fit.
    """

    simulator: Simulator
    settings: Settings
    coordinates: Mapping[str, Coordinates]
    encoded: Mapping[str, Tensor]
    observed: Mapping[str, int]
    device: torch.device

    def source(self, comparisons: Sequence[LocalComparison]) -> Simulations:
        """Return the simulations as a source of a training with these comparisons."""
        likelihood = by_likelihood(comparisons)
        return Simulations(self.encoded, self.simulator.observed, self.settings.held_out, likelihood)

    def posterior(
        self,
        trained: Trained[BottomUp],
        comparisons: Sequence[LocalComparison],
        source: Simulations,
        refinement: Refinement | None = None,
    ) -> AMPPosterior:
        """Return the posterior of a training."""
        graph, latents = self.simulator.graph, self.simulator.latents
        held_out = {name: value[:ROWS].clone() for name, value in source.held_out.items()}
        made = posterior_type(trained, refinement, graph, latents)
        return made(trained, refinement, comparisons, held_out, self.coordinates, self.observed, graph, latents)

    def warn(self, posterior: AMPPosterior) -> None:
        """Warn if an adversary of a posterior distinguishes the chains after its training.

        Warns:
            FitWarning: see :func:`ampbench.amp.diagnostics.warn_if_told_apart`.
        """
        p, q = posterior.chain_pair.on_simulations(posterior.held_out, self.settings.teacher_forcing)
        warn_if_told_apart(posterior.chain_pair, p, q, REMEDY)
