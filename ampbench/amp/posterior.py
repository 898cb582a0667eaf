r"""What adversarial message passing returns: the bottom-up chain after training, thinned where that helps.

Where every family has a density, and nothing is thinned, so has the posterior,

.. math:: \log q(\theta \mid x) = \sum_i \log q(u_i \mid \tilde{\mathrm{pa}}(u_i))
          + \sum_{i \in L} \log \left| \det \frac{\partial u_i}{\partial \theta_i} \right|

with u the network coordinates of all variables.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from ampbench.amp.comparisons import LocalComparison
from ampbench.amp.diagnostics import ChainPair, diagnose
from ampbench.amp.engine import Trained
from ampbench.amp.refinement import Refinement, Resampled
from ampbench.graph import join, split
from ampbench.graph.coordinates import Coordinates
from ampbench.interfaces import CanDiagnose, HasDensity, HasHistory, HasState, Posterior, check_observation
from ampbench.interfaces import state as states
from ampbench.interfaces.history import history_frame
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame


class AMPPosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """The bottom-up chain after training.

    Attributes:
        trained: families, adversaries and the training history.
        refinement: what came of the adversary's going on alone, if it did.
        sides: the two chains, and the adversaries between them.
        held_out: simulations that trained nothing, at most :data:`ampbench.amp.diagnostics.ROWS`, in network
            coordinates.
    """

    def __init__(
        self,
        trained: Trained,
        refinement: Refinement | None,
        comparisons: Sequence[LocalComparison],
        held_out: Mapping[str, Tensor],
        coordinates: Mapping[str, Coordinates],
        observed: Mapping[str, int],
        latents: tuple[str, ...],
    ) -> None:
        self.trained = trained
        self.refinement = refinement
        self.chain_pair = _chain_pair(trained, refinement, tuple(comparisons))
        self.held_out = held_out
        self._coordinates = coordinates
        self._observed = observed
        self._latents = latents

    def state(self) -> dict[str, Tensor]:
        """Families, adversaries, coordinates, held-out simulations and history."""
        last_word = _last_word(self.refinement)
        return states.joined(
            {
                "families": self.trained.learned.bottom_up.state_dict(),
                "adversaries": nn.ModuleList(self.trained.adversaries).state_dict(),
                "last_word": {} if last_word is None else last_word.state_dict(),
                "thinned": {"draws": torch.tensor(last_word is not None)},
                "location": {name: each.location for name, each in self._coordinates.items()},
                "scale": {name: each.scale for name, each in self._coordinates.items()},
                "whole": {name: torch.tensor(each.whole) for name, each in self._coordinates.items()},
                "observed": {name: torch.tensor(size) for name, size in self._observed.items()},
                "held_out": self.held_out,
                "history": states.columns(self.trained.history),
                "refinement": states.columns(self.refinement.history if self.refinement else ()),
            }
        )

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores: one row per check."""
        rows = list(self.trained.history)
        if self.refinement:
            last = rows[-1]["step"]
            rows += [{**row, "step": last + row["step"]} for row in self.refinement.history]
        return history_frame(rows)

    def diagnose(
        self,
        simulations: Mapping[str, Tensor] | None = None,
        teacher_forcing: bool = False,
        folds: int = 2,
        level: float = 0.01,
        seed: int = 0,
    ) -> DataFrame:
        """Test at every tuple whether the two chains can be told apart.

        Arguments:
            simulations: fresh ones, as :meth:`ampbench.graph.Simulator.sample` returns them; without any, the
                held-out ones.
            teacher_forcing: see :meth:`ampbench.amp.diagnostics.ChainPair.on_simulations`.
            folds, level: see :func:`ampbench.amp.diagnostics.diagnose`, also for the columns returned.
            seed: of the chain and of the classifiers.

        Raises:
            UsageError: too few simulations.
        """
        device = self.trained.learned.bottom_up.device
        if simulations is None:
            rows = self.held_out
        else:
            rows = {name: each.encode(simulations[name]).to(device) for name, each in self._coordinates.items()}
        with seeded(derive(seed, "diagnose")):
            return diagnose(self.chain_pair, *self.chain_pair.on_simulations(rows, teacher_forcing), folds, level)

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        return join(self.sample_variables(observation, n), self._latents)

    @torch.no_grad()
    def sample_variables(self, observation: Tensor, n: int) -> dict[str, Tensor]:
        """Draw from the posterior, one tensor (n, D_i) per latent variable."""
        observation = check_observation(observation, sum(self._observed.values()))
        evidence = {
            name: self._coordinates[name].encode(part).to(self.trained.learned.bottom_up.device)
            for name, part in self._parts(observation[None], self._observed).items()
        }
        drawn = self.chain_pair.bottom_up(evidence, n)
        return {name: self._coordinates[name].decode(drawn[name][:, 0].cpu()) for name in self._latents}

    @staticmethod
    def _parts(joined: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        return split(joined.cpu().to(torch.get_default_dtype()), sizes)


@final
class AMPDensity(AMPPosterior, HasDensity):
    """A posterior whose families all have a density, and whose draws are not thinned."""

    @torch.no_grad()
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape ``(*,)``, for theta ``(*, D)`` and x ``(*, L)``; −∞ outside the support."""
        theta = self._parts(value, {name: self._coordinates[name].features for name in self._latents})
        slope = sum((self._coordinates[name].log_slope(part) for name, part in theta.items()), start=torch.zeros(()))
        inside = slope > -torch.inf
        given = {**theta, **self._parts(context, self._observed)}
        bottom_up = self.trained.learned.bottom_up
        u = {name: self._coordinates[name].encode(part[inside]).to(bottom_up.device) for name, part in given.items()}
        factors = bottom_up.chains[frozenset(self._observed)]
        slope[inside] += bottom_up.log_prob(u, factors).cpu()
        return slope


def posterior_type(trained: Trained, refinement: Refinement | None) -> type[AMPPosterior]:
    """Return the class of the posterior: with a density if it has one."""
    known = all(isinstance(each, HasDensity) for each in trained.learned.bottom_up.conditionals)
    return AMPDensity if known and _last_word(refinement) is None else AMPPosterior


def _last_word(refinement: Refinement | None) -> nn.Module | None:
    """What thins the draws, if anything does."""
    return refinement.adversary if refinement else None


def _chain_pair(trained: Trained, refinement: Refinement | None, comparisons: tuple[LocalComparison, ...]) -> ChainPair:
    """Return the chains, and the adversaries between them, as they are in the end."""
    families, last_word = trained.learned.bottom_up, _last_word(refinement)
    if last_word is None:
        return ChainPair(families, comparisons, trained.adversaries)
    return ChainPair(Resampled(families, comparisons[0], last_word), comparisons, [last_word])
