r"""Posteriors of adversarial message passing: the trained bottom-up chain, whose draws may be resampled.

If every family has a density, and draws are not resampled, the posterior has the density

.. math:: \log q(\theta \mid x) = \sum_i \log q(u_i \mid \tilde{\mathrm{pa}}(u_i))
          + \sum_i \log \left| \det \frac{\partial u_i}{\partial \theta_i} \right|
          + \sum_{b} \log p(\theta_b \mid \mathrm{pa}(\theta_b))

with u the network coordinates of the variables i that have an inverse factor. The other latents, b, are barren: no
descendant of them is observed. They are drawn from the model.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison
from ampbench.amp.diagnostics import ChainPair, diagnose
from ampbench.amp.engine import Trained
from ampbench.amp.refinement import Refinement, Resampled
from ampbench.amp.restriction import draw_inside, restricted
from ampbench.amp.stored_coordinates import parts_of
from ampbench.graph import Graph, join, split
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.gaps import check_evidence, names_with_gaps
from ampbench.graph.precision import warn_if_rounded
from ampbench.interfaces import CanDiagnose, HasDensity, HasHistory, HasState, Posterior, check_observation
from ampbench.interfaces import state as states
from ampbench.interfaces.history import history_frame
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame


class AMPPosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """The trained bottom-up chain.

    Attributes:
        trained: families, adversaries and the training history.
        refinement: the result of training the adversary against the fixed families; None if this was not done.
        chain_pair: the two chains, and the adversaries that compare them.
        held_out: held-out simulations, at most :data:`ampbench.amp.diagnostics.ROWS`, in network
            coordinates.
    """

    def __init__(
        self,
        trained: Trained[BottomUp],
        refinement: Refinement | None,
        comparisons: Sequence[LocalComparison],
        held_out: Mapping[str, Tensor],
        coordinates: Mapping[str, Coordinates],
        observed: Mapping[str, int],
        graph: Graph,
        latents: tuple[str, ...],
    ) -> None:
        self.trained = trained
        self.refinement = refinement
        self.chain_pair = _chain_pair(trained, refinement, tuple(comparisons))
        self.held_out = held_out
        self._coordinates = coordinates
        self._observed = observed
        self._graph = graph
        self._latents = latents
        self._barren = _barren(trained, latents)

    def state(self) -> dict[str, Tensor]:
        """Return families, adversaries, their sampling order, coordinates, held-out simulations and history.

        The names ``last_word`` and ``thinned`` are those of stored states: the refined adversary, and whether draws are
        resampled.
        """
        refined, bottom_up = _refined(self.refinement), self.trained.learned.bottom_up
        return states.joined(
            {
                "families": bottom_up.state_dict(),
                "adversaries": nn.ModuleList(self.trained.adversaries).state_dict(),
                "reader": self.trained.reader.state_dict(),
                "last_word": {} if refined is None else refined.state_dict(),
                "thinned": {"draws": torch.tensor(refined is not None)},
                **parts_of(self._coordinates),
                "order": {factor.variable: torch.tensor(i) for i, factor in enumerate(bottom_up.factors)},
                "observed": {name: torch.tensor(size) for name, size in self._observed.items()},
                "held_out": self.held_out,
                "history": states.columns(self.trained.history),
                "refinement": states.columns(self.refinement.history if self.refinement else ()),
            }
        )

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of components of every variable."""
        return {name: each.features for name, each in self._coordinates.items()}

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
        """Test at every tuple whether the two chains differ.

        Arguments:
            simulations: new simulations, as :meth:`ampbench.graph.Simulator.sample` returns them; by default the
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
        gaps = names_with_gaps(self._coordinates, self._observed)
        observation = check_observation(observation, sum(self._observed.values()), bool(gaps))
        if gaps:
            check_evidence(split(observation, self._observed), self._coordinates)
        observed = self._parts(observation[None], self._observed)
        for name, part in split(observation[None], self._observed).items():
            warn_if_rounded(f"the observation of {name!r}", part, self._coordinates[name].dtype == torch.float64)
        device = self.trained.learned.bottom_up.device
        evidence = {name: self._coordinates[name].encode(part).to(device) for name, part in observed.items()}
        inferred = [name for name in self._latents if name not in self._barren]

        def draw(n: int) -> dict[str, Tensor]:
            drawn = self.chain_pair.bottom_up(evidence, n)
            return {name: self._coordinates[name].decode(drawn[name][:, 0].cpu()) for name in inferred}

        rejecting = restricted(self._graph, inferred)
        values = draw_inside(draw, self._graph, rejecting, n) if rejecting else draw(n)
        if self._barren:
            values = self._graph.complete(n, values | {name: part.expand(n, -1) for name, part in observed.items()})
        return {name: values[name] for name in self._latents}

    def _parts(self, joined: Tensor, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        return {name: part.to(self._coordinates[name].dtype) for name, part in split(joined.cpu(), sizes).items()}


@final
class AMPDensity(AMPPosterior, HasDensity):
    """A posterior with a density: all its families have one, and its draws are not resampled."""

    @torch.no_grad()
    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape ``(*,)``, for theta ``(*, D)`` and x ``(*, L)``; −∞ outside the support."""
        theta = self._parts(value, {name: self._coordinates[name].features for name in self._latents})
        given = {**theta, **self._parts(context, self._observed)}
        inferred = [name for name in self._latents if name not in self._barren]
        slope = sum((self._coordinates[name].log_slope(theta[name]) for name in inferred), start=torch.zeros(()))
        if self._barren:
            rows = {name: part.expand(*slope.shape, -1).flatten(0, -2) for name, part in given.items()}
            slope = slope + self._graph.log_prob(rows, self._barren).reshape(slope.shape)
        inside = slope > -torch.inf
        bottom_up = self.trained.learned.bottom_up
        u = {name: self._coordinates[name].encode(part[inside]).to(bottom_up.device) for name, part in given.items()}
        factors = bottom_up.chains[frozenset(self._observed)]
        slope[inside] += bottom_up.log_prob(u, factors).cpu()
        return slope


def posterior_type(
    trained: Trained[BottomUp], refinement: Refinement | None, graph: Graph, latents: Iterable[str]
) -> type[AMPPosterior]:
    """Return the class of the posterior: :class:`AMPDensity` if it has a density."""
    known = all(isinstance(each, HasDensity) for each in trained.learned.bottom_up.conditionals)
    known = known and all(graph[name].kind == "density" for name in _barren(trained, latents))
    known = known and not restricted(graph, latents)  # the share of the rejected draws is unknown
    return AMPDensity if known and _refined(refinement) is None else AMPPosterior


def _barren(trained: Trained[BottomUp], latents: Iterable[str]) -> tuple[str, ...]:
    """Return the latents that have no inverse factor: no descendant of them is observed."""
    inferred = {factor.variable for factor in trained.learned.bottom_up.factors}
    return tuple(name for name in latents if name not in inferred)


def _refined(refinement: Refinement | None) -> nn.Module | None:
    """Return the adversary by which draws are resampled; None if they are not."""
    return refinement.adversary if refinement else None


def _chain_pair(
    trained: Trained[BottomUp], refinement: Refinement | None, comparisons: tuple[LocalComparison, ...]
) -> ChainPair:
    """Return the two chains, and the adversaries that compare them, after all training."""
    families, refined = trained.learned.bottom_up, _refined(refinement)
    if refined is None:
        return ChainPair(families, comparisons, trained.adversaries)
    return ChainPair(Resampled(families, comparisons[0], refined), comparisons, [refined])
