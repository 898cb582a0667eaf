r"""The members of an ensemble, trained as one stack, or one after the other.

Member m is the fit by `amp` alone whose random numbers have the seed of member m: initialisation, minibatches and noise
are its own, while all members share the simulations. Trained as a stack, its parameters differ from those of the fit
alone by rounding only (:data:`TOLERANCE`).

A component may compute what a stack of members does not compute correctly, such as a statistic over all rows. Therefore
two members are first trained for :data:`TRIAL_STEPS` steps, as a stack and alone. If their losses, norms of gradients
or scores differ, the members are trained one after the other.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import FlatViews, LocalComparison
from ampbench.amp.engine import Learned, Settings, Trained, train
from ampbench.amp.ensembles.training import Fates, StackCheckpoint, StackDescent, StackSource, stacked_views
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPPosterior
from ampbench.amp.prepared import Prepared
from ampbench.amp.refinement import refine, refinement_steps
from ampbench.errors import FitWarning, TrainingError
from ampbench.faults import message, pass_interruption
from ampbench.interfaces import Progress, silent
from ampbench.networks.members import Members
from ampbench.networks.stacked import load_member
from ampbench.seeding import seeded

TRIAL_STEPS = 2
"""Steps of the trial."""
TOLERANCE = 1e-4
"""Relative difference of losses, norms of gradients and scores that is taken for rounding."""
MIN_MAGNITUDE = 1e-2
"""Magnitude below which a difference of :data:`TOLERANCE` times this one is taken for rounding."""


@dataclass(frozen=True)
class Ensemble:
    """The members that were trained.

    Attributes:
        members: the posteriors, by place; a member that broke down is missing.
        apart: why they were trained one after the other; "" if they were trained as one stack.
    """

    members: Mapping[int, AMPPosterior]
    apart: str


def fit_members(amp: AMP, prepared: Prepared, seeds: Sequence[int], progress: Progress) -> Ensemble:
    """Train the members, one for each seed, on the same simulations.

    Warns:
        FitWarning: a member broke down, or an adversary of a member distinguishes the chains; it names the member.

    Raises:
        TrainingError: every member broke down.
        UsageError: a family or a divergence does not fit the model.
    """
    apart = why_apart(amp, prepared, seeds[:2]) if len(seeds) > 1 else "there is a single member"
    if apart:
        return Ensemble(_in_turn(amp, prepared, seeds, progress), apart)
    return Ensemble(_as_stack(amp, prepared, seeds, progress), "")


def why_apart(amp: AMP, prepared: Prepared, seeds: Sequence[int]) -> str:
    """Return why members must be trained one after the other; "" if a stack trains them as they train alone."""
    settings = replace(prepared.settings, steps=TRIAL_STEPS, checks=1, penalty_every=1)
    try:
        alone = [_History.alone(amp, prepared, seed, settings) for seed in seeds]
    except TrainingError as error:
        return f"a member broke down in the trial: {error}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stack = _History.stack(amp, prepared, seeds, settings)
        except BaseException as error:  # components of plugins may raise anything
            pass_interruption(error)
            return f"the stack raised {type(error).__name__}: {message(error)}"
    return next((told for one, both in zip(alone, stack, strict=True) if (told := _difference(one, both))), "")


class _History:
    """The last rows of the histories of short trainings."""

    @staticmethod
    def alone(amp: AMP, prepared: Prepared, seed: int, settings: Settings) -> Mapping[str, float]:
        """Return that of one member."""
        with seeded(seed):
            views = FlatViews(*amp.assembled(prepared))
            return train(views, prepared.source(views.comparisons), settings, silent).history[-1]

    @staticmethod
    def stack(amp: AMP, prepared: Prepared, seeds: Sequence[int], settings: Settings) -> Sequence[Mapping[str, float]]:
        """Return those of the members of a stack."""
        run = Stack.of(amp, prepared, seeds)
        return [each.history[-1] for each in run.train(settings, silent).values()]


def _difference(alone: Mapping[str, float], stack: Mapping[str, float]) -> str:
    """Return what differs between two rows of histories; "" if they agree up to rounding."""
    if alone.keys() != stack.keys():
        return f"the stack records {', '.join(stack)}, a member alone {', '.join(alone)}"
    for name, value in alone.items():
        if not math.isclose(value, stack[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE * MIN_MAGNITUDE):
            return f"after {TRIAL_STEPS} steps, {name} is {stack[name]:.6g} in the stack, and {value:.6g} alone"
    return ""


@dataclass(frozen=True)
class Stack:
    """Members that are trained as one.

    Attributes:
        members: the streams of random numbers.
        prepared: the simulations.
        single: the untrained families of each member, and their comparisons.
        fates: the outcome of the training of each member.
    """

    members: Members
    prepared: Prepared
    single: Sequence[FlatViews]
    fates: Fates

    @staticmethod
    def of(amp: AMP, prepared: Prepared, seeds: Sequence[int]) -> Stack:
        """Build the families of each member from its own stream."""
        members = Members(seeds, prepared.settings.batch_size, prepared.device)
        single = []
        for member in range(members.count):
            with members.alone(member):
                single.append(FlatViews(*amp.assembled(prepared)))
        return Stack(members, prepared, single, Fates(members))

    def train(self, settings: Settings, progress: Progress) -> Mapping[int, Trained[BottomUp]]:
        """Run Algorithm 1; return the members that did not break down, by place."""
        views, members = stacked_views(self.members, self.single), self.members
        shared = self.prepared.source(views.comparisons)
        scored = copy.deepcopy(self.single[0].bottom_up).requires_grad_(False).eval()
        source = StackSource(members, shared, scored)
        keep = partial(StackCheckpoint, self.fates)
        with members:
            stack = train(views, source, settings, progress, partial(StackDescent, self.fates), keep)
        self.fates.rewind()
        whole = [member for member in range(members.count) if member not in self.fates.broken]
        return {member: _member(stack, views.built[member], self.single[member], member) for member in whole}


def _member(
    stack: Trained[BottomUp], built: tuple[list[nn.Module], nn.Module], single: FlatViews, member: int
) -> Trained[BottomUp]:
    """Return the networks and the history of one member."""
    adversaries, reader = built
    load_member(stack.learned.bottom_up, member, single.bottom_up)
    load_member(nn.ModuleList(stack.adversaries), member, nn.ModuleList(adversaries))
    load_member(stack.reader, member, reader)
    learned = Learned(single.bottom_up, nn.Module()).requires_grad_(False).eval()
    rows = [{k: v for k, v in row.items() if k != "member"} for row in stack.history if row["member"] == member]
    return Trained(learned, adversaries, tuple(rows), reader)


def _as_stack(amp: AMP, prepared: Prepared, seeds: Sequence[int], progress: Progress) -> dict[int, AMPPosterior]:
    """Train the members as one; each is then refined by itself."""
    stack, settings = Stack.of(amp, prepared, seeds), prepared.settings
    extra = refinement_steps(stack.single[0].comparisons, settings.steps)
    total = settings.steps + extra * len(seeds)
    trained = stack.train(settings, _after(progress, 0, total))
    found = {}
    for member, each in trained.items():
        with stack.members.alone(member), _named(member, len(seeds)):
            comparisons = stack.single[member].comparisons
            try:
                own = _after(progress, settings.steps + extra * member, total)
                found[member] = _finished(prepared, each, comparisons, extra, own)
            except TrainingError as error:
                stack.fates.breaks(member, str(error))
    _tell(stack.fates.broken, len(seeds))
    return found


def _finished(
    prepared: Prepared,
    trained: Trained[BottomUp],
    comparisons: Sequence[LocalComparison],
    extra: int,
    progress: Progress,
) -> AMPPosterior:
    """Return the posterior of a member, after density-ratio resampling's own training of ``extra`` steps."""
    source, refinement = prepared.source(comparisons), None
    if extra:
        batch, families = prepared.settings.batch_size, trained.learned.bottom_up
        refinement = refine(families, comparisons[0], trained.adversaries[0], source, batch, extra, progress)
    posterior = prepared.posterior(trained, comparisons, source, refinement)
    prepared.warn(posterior)
    return posterior


def _in_turn(amp: AMP, prepared: Prepared, seeds: Sequence[int], progress: Progress) -> dict[int, AMPPosterior]:
    """Train the members one after the other."""
    found, broken, count = {}, dict[int, TrainingError](), len(seeds)
    for member, seed in enumerate(seeds):
        with seeded(seed), _named(member, count):
            try:
                found[member] = amp.fit_prepared(prepared, _part(progress, member, count))
            except TrainingError as error:
                broken[member] = error
    if not found:
        raise TrainingError("; ".join(f"member {member + 1}: {error}" for member, error in broken.items()))
    _tell(broken, count)
    return found


def _after(progress: Progress, before: int, total: int) -> Progress:
    """Return the progress of a training with so many steps before it, and in total."""
    return lambda done, _: progress(before + done, total)


def _part(progress: Progress, part: int, parts: int) -> Progress:
    """Return the progress of one of several equal trainings."""
    return lambda done, total: progress(part * total + done, parts * total)


def _tell(broken: Mapping[int, TrainingError], count: int) -> None:
    """Warn of members that broke down."""
    for member, error in broken.items():
        warnings.warn(
            f"member {member + 1} of {count} broke down, and is left out of the ensemble: {error}",
            FitWarning,
            stacklevel=2,
        )


@contextmanager
def _named(member: int, count: int) -> Iterator[None]:
    """Within the block, warnings of a fit name the member."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        told = f"member {member + 1} of {count}: {each.message}" if each.category is FitWarning else each.message
        warnings.warn(told, each.category, stacklevel=3)
