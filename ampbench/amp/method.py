r"""Adversarial message passing as an inference method: divergence × family × scope.

All simulations of the budget are drawn at once and mapped to network coordinates. The graph is inverted for the
observed variables, and :func:`ampbench.amp.engine.train` fits one conditional per inverse factor.

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, final

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import FlatViews, LocalComparison, Reading
from ampbench.amp.densities import KnownLikelihood, LearnedPrior, SiteDensities, unknown_likelihood
from ampbench.amp.engine import TRAINING, Learned, Settings, Trained, UnfinishedTrainingError, train
from ampbench.amp.posterior import AMPPosterior, posterior_type
from ampbench.amp.prepared import Prepared
from ampbench.amp.refinement import Refinement, build_refiner, refine, refinement_steps
from ampbench.amp.sites import Scope, Site, sites
from ampbench.amp.sources import Simulations
from ampbench.amp.stored_coordinates import from_parts
from ampbench.errors import TrainingError, UsageError, unknown
from ampbench.graph import Factor, Graph, Simulator
from ampbench.graph.coordinates import Coordinates, is_code, is_partly_discrete
from ampbench.graph.gaps import coordinates_of, names_with_gaps
from ampbench.interfaces import (
    CanRestore,
    Default,
    Divergence,
    Family,
    HasRevision,
    Method,
    Progress,
    UnfinishedFitError,
)
from ampbench.interfaces import state as states
from ampbench.interfaces.family import KnowsArrangement
from ampbench.interfaces.method import ReadsGaps
from ampbench.interfaces.state import State

MIN_BUDGET = 10
"""Smallest number of simulations: some are held out, and a divergence between two samples needs several."""

INVERSE = "amp-inverse==2"
"""Revision of the inverse of graphs with several latent variables; see ``docs/decisions/0024-roots-first.md``."""


@final
class AMP(Method, CanRestore, HasRevision, ReadsGaps):
    """Adversarial message passing.

    Arguments:
        divergence: the local divergence of every tuple that ``divergences`` does not name.
        family: the variational family of every inverse factor that ``families`` does not name.
        divergences: by the name of an inferred variable, the divergence of the tuple that compares it.
        families: by the name of an inferred variable, its family.
        scope: ``local``: one adversary per tuple; ``global``: a single adversary on all variables; ``evidence``: an
            adversary on the observed variables only, for learning a model without its inverse.
        steps: updates of both players; 0 means 6,000, and for more than 10,000 simulations 6,000 times the square root
            of their number over 10,000.
        batch_size: K, top-down samples per step.
        particles: L, bottom-up samples per item of evidence.
        teacher_forcing: whether inferred contexts are taken from the top-down chain in training, instead of from the
            preceding inverse factors.
        learning_rate: peak learning rate of the families.
        adversary_learning_rate: peak learning rate of the adversaries.
        weight_decay: weight decay of the families, against overfitting; for more than 10,000 simulations it is
            inversely proportional to their number.
        penalty: γ of the gradient penalties.
        ema: decay of the moving average of the families' parameters.
        held_out: fraction of the budget that is held out to choose the checkpoint.
        checks: number of times that the held-out score is computed.
        patience: the training stops after this number of checks without a better score.
    """

    def __init__(
        self,
        divergence: Annotated[Divergence, Default("jsd")],
        family: Annotated[Family, Default("implicit")],
        divergences: Mapping[str, Divergence] = MappingProxyType({}),
        families: Mapping[str, Family] = MappingProxyType({}),
        scope: Scope = "local",
        steps: int = 0,
        batch_size: int = 256,
        particles: int = 1,
        teacher_forcing: bool = False,
        learning_rate: float = 1e-3,
        adversary_learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        penalty: float = 1e-2,
        ema: float = 0.999,
        held_out: float = 0.1,
        checks: int = 20,
        patience: int = 20,
    ) -> None:
        self.divergence = divergence
        self.family = family
        self.divergences = divergences
        self.families = families
        self.scope: Scope = scope
        self.drop_bias = next((each.drop_bias for each in (divergence, *divergences.values()) if each.drop_bias), "")
        self.settings = Settings(
            steps=steps,
            batch_size=batch_size,
            particles=particles,
            teacher_forcing=teacher_forcing,
            learning_rate=learning_rate,
            adversary_learning_rate=adversary_learning_rate,
            weight_decay=weight_decay,
            penalty=penalty,
            ema=ema,
            held_out=held_out,
            checks=checks,
            patience=patience,
        )

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> AMPPosterior:
        """Spend the whole budget, then run Algorithm 1 on ``device``.

        Warns:
            FitWarning: an adversary still distinguishes the chains; see
                :func:`ampbench.amp.diagnostics.warn_if_told_apart`.
        """
        return self.fit_prepared(self.prepare(simulator, device), progress)

    def fit_prepared(self, prepared: Prepared, progress: Progress) -> AMPPosterior:
        """Run Algorithm 1 on prepared simulations; see :meth:`fit`."""
        bottom_up, comparisons = self.assembled(prepared)
        source = prepared.source(comparisons)
        try:
            trained, refinement = _trained(bottom_up, comparisons, source, prepared.settings, progress)
        except UnfinishedTrainingError as error:
            raise UnfinishedFitError(str(error), prepared.posterior(error.trained, comparisons, source)) from error
        found = prepared.posterior(trained, comparisons, source, refinement)
        prepared.warn(found)
        return found

    def prepare(self, simulator: Simulator, device: torch.device) -> Prepared:
        """Spend the whole budget, and return the simulations in network coordinates, for any number of trainings.

        Raises:
            UsageError: the budget is too small, an option names a variable that is not inferred, or nothing is.
        """
        graph = simulator.graph
        if simulator.remaining < MIN_BUDGET:
            raise UsageError(
                f"method 'amp' needs a budget of at least {MIN_BUDGET} simulations, got {simulator.remaining}"
            )
        self.check_named([factor.variable for factor in _inferred(simulator)])
        if self.scope == "evidence":
            raise UsageError("scope=evidence teaches a model, but infers nothing; take local or global")
        values = simulator.require(simulator.sample(simulator.remaining), MIN_BUDGET)
        settings = self.settings.on(len(next(iter(values.values()))))
        coordinates = {
            name: coordinates_of(value, graph[name].support, graph[name].gaps, self._alike(simulator, name, value))
            for name, value in values.items()
        }
        encoded = {name: coordinates[name].encode(value).to(device) for name, value in values.items()}
        observed = {name: values[name].shape[1] for name in simulator.observed}
        return Prepared(simulator, settings, coordinates, encoded, observed, device)

    def assembled(self, prepared: Prepared) -> tuple[BottomUp, list[LocalComparison]]:
        """Return untrained families for prepared simulations, and their local comparisons; see :meth:`assemble`."""
        return self._assembled(prepared.simulator, prepared.coordinates, prepared.device)

    def lacks_likelihood(self, simulator: Simulator) -> bool:
        """Return whether a divergence sees the model through a likelihood that the model does not have."""
        graph = simulator.graph
        found = sites(_inferred(simulator), graph.check(simulator.observed), self.scope, graph.learned())
        return any(self._divergence(site).drop_bias and unknown_likelihood(graph, site) for site in found)

    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return the revisions of the training, and of the inverse if there are several latents, which it orders."""
        return f"{TRAINING} {INVERSE}" if len(graph.latents(observed)) > 1 else TRAINING

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> AMPPosterior:
        """Build the networks of a state, and load their parameters; see :class:`ampbench.interfaces.CanRestore`."""
        parts = states.parts(state)
        coordinates = from_parts(parts, simulator.graph)
        states.check_names("observed ", parts["observed"], simulator.observed)
        _check_order(parts["order"], _inferred(simulator))
        bottom_up, comparisons = self._assembled(simulator, coordinates, device)
        states.load(bottom_up, parts["families"], "these families")
        learned = Learned(bottom_up, nn.Module()).requires_grad_(False).eval()
        adversaries, reader = FlatViews(bottom_up, comparisons).build_adversaries()
        states.load(nn.ModuleList(adversaries), parts["adversaries"], "these adversaries")
        states.load(reader, parts["reader"], "these adversaries")
        refinement = None
        if refined := states.rows(parts["refinement"]):
            refiner = None
            if parts["thinned"]["draws"]:  # whether draws are resampled; the names are those of stored states
                refiner = build_refiner(bottom_up, comparisons[0]).requires_grad_(False)
                states.load(refiner, parts["last_word"], "these adversaries")
            refinement = Refinement(refiner, refined)
        held_out = {name: value.to(device) for name, value in parts["held_out"].items()}
        observed = {name: int(parts["observed"][name]) for name in simulator.observed}
        trained = Trained(learned, adversaries, states.rows(parts["history"]), reader)
        graph, latents = simulator.graph, simulator.latents
        made = posterior_type(trained, refinement, graph, latents)
        return made(trained, refinement, comparisons, held_out, coordinates, observed, graph, latents)

    def _alike(self, simulator: Simulator, name: str, values: Tensor) -> Tensor | None:
        """Return which components of an observed variable are distributed alike, if a family of a factor knows it."""
        for factor in _inferred(simulator) if name in simulator.observed else ():
            family = self.families.get(factor.variable, self.family)
            if name in factor.context and isinstance(family, KnowsArrangement):
                return family.alike(values.shape[1])
        return None

    def _assembled(
        self, simulator: Simulator, coordinates: Mapping[str, Coordinates], device: torch.device
    ) -> tuple[BottomUp, list[LocalComparison]]:
        chains = {frozenset(simulator.observed): _inferred(simulator)}
        return self.assemble(simulator.graph, coordinates, chains, device)

    def check_named(self, inferred: Iterable[str]) -> None:
        """Raise :class:`UsageError` if an option names a variable that is not inferred."""
        for name in sorted({*self.divergences, *self.families} - set(inferred)):
            raise unknown("inferred variable", name, inferred)

    def assemble(
        self,
        graph: Graph,
        coordinates: Mapping[str, Coordinates],
        chains: Mapping[frozenset[str], tuple[Factor, ...]],
        device: torch.device,
    ) -> tuple[BottomUp, list[LocalComparison]]:
        """Return the families of all bottom-up chains, and their local comparisons with the model.

        Raises:
            UsageError: a family cannot draw values of its variable, or one tuple has two divergences.
        """
        names = {factor.variable for factors in chains.values() for factor in factors}
        sizes = {name: each.size for name, each in coordinates.items()}
        with device:
            families = {name: self.families.get(name, self.family) for name in names}
            bottom_up = BottomUp(chains, sizes, families, names_with_gaps(coordinates, coordinates))
        contexts = bottom_up.contexts.items()
        check_discrete(graph, ((factor.variable, bottom_up.conditional(factor), size) for factor, size in contexts))
        by_variable = {held: {factor.variable: factor for factor in factors} for held, factors in chains.items()}
        return bottom_up, [
            self._comparison(graph, coordinates, bottom_up, evidence, by_variable[evidence], site)
            for evidence, factors in chains.items()
            for site in sites(factors, graph.check(evidence), self.scope, graph.learned())
        ]

    def _comparison(
        self,
        graph: Graph,
        coordinates: Mapping[str, Coordinates],
        bottom_up: BottomUp,
        evidence: frozenset[str],
        by_variable: Mapping[str, Factor],
        site: Site,
    ) -> LocalComparison:
        factors = tuple(by_variable[name] for name in site.variables)
        known = KnownLikelihood(graph, coordinates, site), LearnedPrior(graph, coordinates, site)
        densities = SiteDensities(bottom_up, factors, site, *known)
        name = str(site) if len(bottom_up.chains) == 1 else f"{site} from {', '.join(graph.check(evidence))}"
        divergence, reading = self._divergence(site), self._reading(bottom_up, factors, site)
        trained = reading is not None and any(True for _ in divergence.adversary(1).parameters())
        networks = (reading, None) if trained else (None, reading)
        return LocalComparison(name, site, evidence, factors, divergence, densities, *networks)

    def _reading(self, bottom_up: BottomUp, factors: Sequence[Factor], site: Site) -> Reading | None:
        """Build the network through which adversaries read the context of a site, if one of its families knows it."""
        for factor in factors:
            family = self.families.get(factor.variable, self.family)
            if isinstance(family, KnowsArrangement) and tuple(factor.context) == tuple(site.context):
                with bottom_up.device:
                    found = family.reading(bottom_up.parts(site.context))
                return None if found is None else Reading(*found)
        return None

    def _divergence(self, site: Site) -> Divergence:
        """Return the divergence at a site: the one that an option names for a variable of the site, or the default."""
        named = [name for name in site.variables if name in self.divergences]
        if len({id(self.divergences[name]) for name in named}) > 1:
            raise UsageError(
                f"{' and '.join(named)} are judged at one tuple, {site}, but have divergences of their own; "
                f"name one for {named[0]} only"
            )
        return self.divergences[named[0]] if named else self.divergence


def _inferred(simulator: Simulator) -> tuple[Factor, ...]:
    """Return the factors of the inverse that need a family.

    Raises:
        UsageError: there is none, since no latent variable has an observed descendant.
    """
    factors = simulator.graph.inverse(simulator.observed)
    if all(factor.barren for factor in factors):
        raise UsageError(
            f"no latent variable ({', '.join(simulator.latents)}) has an observed descendant ("
            f"{', '.join(simulator.observed)}), so that the posterior is the prior; take method 'prior'"
        )
    return tuple(factor for factor in factors if not factor.barren)


def _trained(
    bottom_up: BottomUp,
    comparisons: Sequence[LocalComparison],
    source: Simulations,
    settings: Settings,
    progress: Progress,
) -> tuple[Trained[BottomUp], Refinement | None]:
    """Train both players; then train the adversary against the fixed families, if draws are to be resampled."""
    steps, extra = settings.steps, refinement_steps(comparisons, settings.steps)
    trained = train(FlatViews(bottom_up, comparisons), source, settings, lambda done, _: progress(done, steps + extra))
    if not extra:
        return trained, None
    try:
        return trained, refine(
            trained.learned.bottom_up,
            comparisons[0],
            trained.adversaries[0],
            source,
            settings.batch_size,
            extra,
            lambda done, _: progress(steps + done, steps + extra),
        )
    except TrainingError as error:
        raise UnfinishedTrainingError(str(error), trained) from error


def check_discrete(graph: Graph, conditionals: Iterable[tuple[str, nn.Module, int]]) -> None:
    """Raise :class:`UsageError` if the family of a discrete variable draws other values than those of its support.

    Arguments:
        graph: the model.
        conditionals: names of variables, their conditionals, and the numbers of components of their contexts.
    """
    for name, conditional, size in conditionals:
        support = graph[name].support
        if not support.is_discrete:
            continue
        if is_partly_discrete(support):
            raise UsageError(
                f"variable {name!r} has discrete and continuous components ({support}), and no family draws both; "
                f"split it into nodes, one for each kind: density('{name}_a', …), density('{name}_b', …), and a "
                f"simulator with parents ['{name}_a', '{name}_b']"
            )
        if not is_code(support):
            raise UsageError(
                f"variable {name!r} is discrete ({support}), and no family draws such values; "
                "0/1 values and one-hot vectors can be inferred: sum over the variable, or write it as one of these"
            )
        device = next((each.device for each in conditional.parameters()), torch.device("cpu"))
        if not bool(torch.all(support.check(conditional(torch.zeros(20, size, device=device)).detach()))):
            raise UsageError(
                f"variable {name!r} is discrete ({support}), but its family draws other values; "
                f"write families.{name}=bernoulli for 0/1 values, or =categorical for one-hot vectors"
            )


def _check_order(kept: State, factors: Sequence[Factor]) -> None:
    """Raise :class:`UsageError` if a state's families have another sampling order; a single variable has only one."""
    here = [factor.variable for factor in factors]
    order = sorted(kept, key=lambda name: int(kept[name]))
    if order != here and (order or len(here) > 1):
        raise UsageError(
            f"the state samples {', '.join(order) or 'its variables in an order that it does not name'}, "
            f"but this version samples {', '.join(here)}; fit the model anew"
        )
