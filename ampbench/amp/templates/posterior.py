"""Posteriors of repeated variables, for evidence of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ampbench.amp.comparisons import TuplesBySite
from ampbench.amp.diagnostics import ChainPair, diagnose, warn_if_told_apart
from ampbench.amp.engine import Trained
from ampbench.amp.restriction import restricted
from ampbench.amp.stored_coordinates import parts_of
from ampbench.amp.templates.batches import Batch, encode, one_each
from ampbench.amp.templates.chain import TemplateBottomUp
from ampbench.amp.templates.resampling import Choice, Resampling, resampling_parts
from ampbench.amp.templates.views import TemplateViews, joined, with_messages
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, join
from ampbench.graph.coordinates import Coordinates
from ampbench.graph.template import TemplateFactor, template_inverse
from ampbench.interfaces import CanDiagnose, HasHistory, HasState, Posterior, check_observation
from ampbench.interfaces import state as states
from ampbench.interfaces.history import history_frame
from ampbench.seeding import derive, seeded

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Model:
    """A graph with axes, and its inverse.

    Attributes:
        graph: the graph with axes.
        observed: names of its observed variables.
        factors: the inverse factors, in sampling order; barren ones included.
        flat: the flat graph that is inferred, if there is one.
        given: names of the observed variables of the flat graph.
    """

    graph: Graph
    observed: tuple[str, ...]
    factors: tuple[TemplateFactor, ...]
    flat: Graph | None
    given: tuple[str, ...]

    @classmethod
    def of(cls, simulator: Simulator) -> Model:
        """Return the template of a simulator's graph.

        Raises:
            UsageError: it has none; or evidence informs no latent, or does not have the size of an axis; or a
                latent has no value in some repeats.
            GraphError: some repeats of a variable are observed and others are not, or the structure is not supported.
        """
        graph, repetition = simulator.graph, simulator.graph.repetition
        if repetition is None:
            if not graph.axes:
                raise UsageError(
                    "method 'amp-templates' shares networks between repeated variables, but the graph has none; repeat "
                    "them along a Plate, Chain or Tree, or take method 'amp'"
                )
            observed = graph.check({*simulator.observed, *graph.covariates})
            model = cls(graph, observed, template_inverse(graph, observed), None, ())
        else:
            observed = repetition.observed(simulator.observed)
            factors = template_inverse(repetition.template, observed)
            model = cls(repetition.template, observed, factors, graph, simulator.observed)
        model._check()
        return model

    @property
    def inferred(self) -> tuple[str, ...]:
        """The names of the latents that have a family."""
        return tuple(dict.fromkeys(factor.variable for factor in self.factors if not factor.barren))

    def _check(self) -> None:
        """Raise :class:`UsageError` if there is nothing to train, or something that cannot be trained or drawn."""
        observed, latents = ", ".join(self.observed), self.graph.latents(self.observed)
        if not latents:
            raise UsageError(f"nothing to infer: all variables are observed or covariates, {observed}")
        if not self.inferred:
            raise UsageError(
                f"no latent variable ({', '.join(latents)}) has an observed descendant ({observed}), so that the "
                "posterior is the model's own conditional; draw from it by graph.sample(n, given=evidence)"
            )
        if partial := [name for name in self.inferred if self.graph[name].incomplete]:
            raise UsageError(
                f"latent {partial[0]!r} has no value in some repeats, which amp-templates cannot learn; let it have "
                "one in every repeat, or infer the flat graph of graph.ground(…)"
            )
        if rejecting := restricted(self.graph, self.inferred):
            raise UsageError(
                f"the support of {rejecting[0]!r} is {self.graph[rejecting[0]].support}, in which amp-templates cannot "
                "draw; give a prior that names its support, or take method 'amp'"
            )
        known = {axis for name in self.observed for axis in self.graph[name].along}
        for name in latents:
            for axis in self.graph[name].along:
                if axis not in known and axis.bounds[0] < axis.bounds[1]:
                    raise UsageError(
                        f"{name!r} is repeated along {axis.name!r}, whose sizes are from {axis.bounds[0]} to "
                        f"{axis.bounds[1]}, but no observed variable is ({observed}), so that evidence does not have "
                        f"a size of {axis.name!r}; give the axis a single size, or leave {name!r} out"
                    )


class TemplatePosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """A trained bottom-up chain of a template.

    Attributes:
        model: the graph and its inverse.
        trained: families, adversaries, and the training history.
        views: the tuples of both chains.
        held_out: held-out simulations with chosen repeats; none of a restored posterior.
        resampling: the log-ratios by which draws are chosen; None if they are not resampled.
    """

    def __init__(
        self,
        model: Model,
        trained: Trained[TemplateBottomUp],
        views: TemplateViews,
        coordinates: Mapping[str, Coordinates],
        held_out: Sequence[Batch],
        resampling: Resampling | None = None,
    ) -> None:
        self.model = model
        self.trained = trained
        self.views = type(views).of(trained.learned.bottom_up, views.divergences)
        self._coordinates = coordinates
        self.held_out = held_out
        self.resampling = resampling
        self._choice = Choice(self.views.bottom_up, resampling)

    def state(self) -> dict[str, Tensor]:
        """Return families, adversaries with their reader, coordinates, histories and log-ratios."""
        return states.joined(
            {
                "families": self.trained.learned.bottom_up.state_dict(),
                "adversaries": nn.ModuleList(self.trained.adversaries).state_dict(),
                "reader": self.trained.reader.state_dict(),
                **parts_of(self._coordinates),
                "history": states.columns(self.trained.history),
                **resampling_parts(self.resampling),
            }
        )

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores: one row per check."""
        rows = list(self.trained.history)
        if self.resampling:
            last = rows[-1]["step"]
            rows += [{**row, "step": last + row["step"]} for row in self.resampling.history]
        return history_frame(rows)

    def diagnose(self, folds: int = 2, level: float = 0.01, seed: int = 0) -> DataFrame:
        """Test for every factor whether the two chains differ, at one repeat of every held-out simulation.

        The classifier sees the evidence as features of the adversaries' reader; without a reader, as messages of the
        families and the evidence of the repeat itself, so that it cannot detect that messages ignore other evidence.

        Arguments:
            folds, level: see :func:`ampbench.amp.diagnostics.diagnose`, also for the columns returned.
            seed: of the draws and of the classifiers.

        Raises:
            UsageError: a restored posterior has no held-out simulations, or there are too few.
        """
        with seeded(derive(seed, "diagnose")):
            return diagnose(self._pair(), *self._both(), folds, level)

    def warn(self, advice: str) -> None:
        """Warn with :class:`FitWarning` if an adversary distinguishes the chains after its training."""
        warn_if_told_apart(self._pair(), *self._both(), advice)

    def _pair(self) -> ChainPair:
        return ChainPair(self.trained.learned.bottom_up, self.views.comparisons, self.trained.adversaries)  # type: ignore[arg-type]

    @torch.no_grad()
    def _both(self) -> tuple[TuplesBySite, TuplesBySite]:
        """Return the tuples of p and of q at one repeat of every held-out simulation, with the reader's features."""
        if not self.held_out:
            raise UsageError("a restored posterior has no held-out simulations; diagnose it before saving")
        sides: list[tuple[TuplesBySite, TuplesBySite]] = []
        for batch in self.held_out:
            chosen = one_each(batch, self.trained.learned.bottom_up.factors)
            p = self.views.top_down(chosen)
            q = self._choice.among(p, self.views.forced(chosen, self._choice.candidates))
            sides.append(self.trained.reader(with_messages(p), with_messages(q)))
        return tuple(  # type: ignore[return-value]
            {at: joined([side[at] for side in each]) for at in self.views.comparisons}
            for each in zip(*sides, strict=True)
        )

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior of a flat graph: (L,) -> (n, D).

        Raises:
            UsageError: the posterior is that of a graph with axes, whose evidence has no single size.
        """
        flat, repetition = self.model.flat, self.model.flat.repetition if self.model.flat else None
        if flat is None or repetition is None:
            raise UsageError(
                "evidence of repeated variables has a shape of its own: call sample_variables(evidence, n)"
            )
        observation = check_observation(observation, flat.size(self.model.given))
        parts = flat.split(observation[None].cpu(), self.model.given)
        evidence = {name: value[0] for name, value in repetition.stack(parts).items() if name in self.model.observed}
        drawn = repetition.unstack(self.sample_variables(evidence, n))
        return join(drawn, flat.latents(self.model.given))

    @torch.no_grad()
    def sample_variables(self, evidence: Mapping[str, Tensor], n: int) -> dict[str, Tensor]:
        """Draw all latents from the posterior.

        Arguments:
            evidence: by observed variable, values (R_1, …, D), NaN where a repeat is missing. The sizes of the axes are
                those of the evidence.
            n: number of draws.

        Returns:
            By latent, (n, R_1, …, D), on the CPU.

        Raises:
            UsageError: an observed variable is missing, or the shapes do not fit.
        """
        graph, sizes = self.model.graph, self._sizes(evidence)
        families = self.trained.learned.bottom_up
        given = {name: evidence[name][None].to(self._coordinates[name].dtype) for name in self.model.observed}
        batch = encode(graph, self._coordinates, given, sizes, families.device)
        most = self._choice.at_once(batch)
        counts = [min(most, n - start) for start in range(0, n, most)] or [n]
        parts = [families(batch, count, self._choice) for count in counts]
        drawn = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        values = {name: self._coordinates[name].decode(value[:, 0].cpu()) for name, value in drawn.items()}
        latents = graph.latents(self.model.observed)
        if values.keys() < set(latents):
            known = values | {name: value.expand(n, *value.shape[1:]) for name, value in given.items()}
            values = graph.sample(n, known, sizes)
        return {name: values[name] for name in latents}

    def _sizes(self, evidence: Mapping[str, Tensor]) -> dict[str, int]:
        """Return the sizes of the axes that evidence has."""
        if missing := [name for name in self.model.observed if name not in evidence]:
            raise UsageError(f"the evidence has no {missing[0]!r}; give {', '.join(self.model.observed)}")
        sizes: dict[str, int] = {}
        for name in self.model.observed:
            axes, shape = self.model.graph[name].along, tuple(evidence[name].shape)
            if len(shape) != len(axes) + 1:
                along = ", ".join(axis.name for axis in axes)
                raise UsageError(f"evidence {name!r} has shape {shape}, expected ({along}{', ' * bool(axes)}D)")
            if shape[-1] != (known := self._coordinates[name].features):
                raise UsageError(f"evidence {name!r} has {shape[-1]} components, expected {known}: shape {shape}")
            for axis, count in zip(axes, shape, strict=False):
                size = next((each for each in range(1, count + 1) if axis.repeats(each) >= count), count)
                if axis.repeats(size) != count or sizes.setdefault(axis.name, size) != size:
                    raise UsageError(
                        f"evidence {name!r} has {count} repeats along {axis.name!r}, which fit no size of the axis, or "
                        f"another one than that of the other variables, {sizes.get(axis.name)}"
                    )
        return sizes
