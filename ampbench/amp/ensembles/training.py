r"""Algorithm 1 for several members at once: what the loop of :mod:`ampbench.amp.engine` takes instead of its parts.

The members' networks are stacked (:mod:`ampbench.networks.stacked`), and all tensors have an axis of M members. Every
loss is one number for each member, (M,). Since a member's loss depends on no other member's parameters, the gradient
of the sum over members is that of each. Members have their own minibatches, noise, norms of gradients, histories and
checkpoints. A member whose training has ended, because it broke down or its score no longer improves, gets no further
gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import AsTheyAre, FlatViews, LocalComparison
from ampbench.amp.densities import SiteDensities
from ampbench.amp.engine import Learned
from ampbench.amp.optimisation import REMEDY, Checkpoint, Descent
from ampbench.amp.sources import Simulations, Source
from ampbench.errors import TrainingError
from ampbench.interfaces.tuples import Densities
from ampbench.networks.members import Members
from ampbench.networks.stacked import copy_member, load_member, stack_modules


@dataclass
class Fates:
    """The outcome of the training of each member.

    Attributes:
        members: the members.
        broken: by place of a member, the error of its training.
        ended: by place of a member that stopped early, the state of its stream then.
    """

    members: Members
    broken: dict[int, TrainingError] = field(default_factory=dict)
    ended: dict[int, list[Tensor]] = field(default_factory=dict)

    @property
    def learning(self) -> list[int]:
        """The members whose training goes on."""
        return [m for m in range(self.members.count) if m not in self.broken and m not in self.ended]

    def breaks(self, member: int, message: str) -> None:
        """Record that the training of a member broke down.

        Raises:
            TrainingError: no other member is left.
        """
        self.broken.setdefault(member, TrainingError(message))
        if len(self.broken) == self.members.count:
            raise TrainingError("; ".join(f"member {m + 1}: {error}" for m, error in sorted(self.broken.items())))

    def ends(self, member: int) -> None:
        """Record that the training of a member has stopped early."""
        self.ended[member] = self.members.stream(member)

    def rewind(self) -> None:
        """Set the streams of members that stopped early to their states then."""
        for member, state in self.ended.items():
            self.members.rewind(member, state)


class StackDescent(Descent):
    """Adam on the stacked parameters of one player of all members; the other arguments are those of :class:`Descent`.

    Arguments:
        fates: the outcome of the training of each member.
    """

    def __init__(self, fates: Fates, *options: Any) -> None:
        super().__init__(*options)
        self._fates = fates

    def descend(self, losses: Mapping[Any, Tensor], step: int) -> None:
        """Take one step down the sum of the local losses, (M,) each.

        A member with a loss or gradient that is NaN or infinite breaks down, and keeps its parameters.

        Raises:
            TrainingError: no member is left.
        """
        count = self._fates.members.count
        self._seen = {f"{self.player} loss {comparison}": loss.detach() for comparison, loss in losses.items()}
        if not self.parameters:
            return
        if wrong := next((loss for loss in losses.values() if loss.shape != (count,)), None):
            raise ValueError(f"a loss of {count} members has the shape {tuple(wrong.shape)}")
        total = torch.stack(list(losses.values())).sum(0)
        gradients = torch.autograd.grad(total.sum(), self.parameters, allow_unused=True)
        norms = [torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients if each is not None]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        if not torch.isfinite(total.detach() + norm).all():  # one synchronisation with the device
            self._find_broken(losses, norm, step)
        self._seen |= {f"{self.player} gradient norm": norm}
        self._seen |= {f"{self.player} learning rate": self._schedule.get_last_lr()[0]}
        self._move(gradients)

    def _find_broken(self, losses: Mapping[Any, Tensor], norm: Tensor, step: int) -> None:
        for member in self._fates.learning:
            own = {comparison: loss[member] for comparison, loss in losses.items()}
            if not torch.isfinite(sum(own.values(), start=norm[member])):
                self._fates.breaks(member, str(self._broken(own, norm[member], step)))

    def _move(self, gradients: Iterable[Tensor | None]) -> None:
        """Take a step of Adam; the gradients of members whose training has ended are 0."""
        learning = self._fates.learning
        ended = [member for member in range(self._fates.members.count) if member not in learning]
        super()._move(_without(gradient, ended) for gradient in gradients)

    def row(self) -> dict[str, Any]:
        """Return the losses, the norm of the gradient and the learning rate of the last step, a list or one number."""
        return {name: value.tolist() if isinstance(value, Tensor) else value for name, value in self._seen.items()}


def _without(gradient: Tensor | None, members: Sequence[int]) -> Tensor | None:
    """Return a gradient that is 0 for some members."""
    if gradient is None or not members:
        return gradient
    kept = gradient.clone()
    kept[members] = 0
    return kept


class StackCheckpoint(Checkpoint[Learned[BottomUp]]):
    """The parameters with the lowest score of each member, and the histories, whose rows have a column ``member``.

    Arguments:
        fates: the outcome of the training of each member.
        learned: the stacked networks at the start of the training.
        patience: number of checks without a lower score after which the training of a member ends.
    """

    def __init__(self, fates: Fates, learned: Learned[BottomUp], patience: int) -> None:
        super().__init__(learned, patience)
        self._fates = fates
        self._scores = [math.inf] * fates.members.count
        self._waited = [0] * fates.members.count

    def offer(self, learned: Learned[BottomUp], score: Any, step: int, seen: Mapping[str, Any]) -> None:
        """Add a row for each member to the history, and copy the parameters of members whose score is their lowest."""
        for member in self._fates.learning:
            own = score[member]
            if not math.isfinite(own):
                self._fates.breaks(member, f"the held-out score became {own} in step {step}; {REMEDY}")
                continue
            row = {name: value[member] if isinstance(value, list) else value for name, value in seen.items()}
            self.history += ({"member": member, "step": step, "held_out_score": own, **row},)
            self._waited[member] += 1
            if own < self._scores[member]:
                copy_member(learned, member, self.best)
                self._scores[member], self._waited[member] = own, 0
            if self._waited[member] >= self._patience:
                self._fates.ends(member)

    @property
    def stale(self) -> bool:
        """Whether the training of every member has ended."""
        return not self._fates.learning


class StackSource(Source):
    """The simulations that all members share: minibatches with an axis of members, and a score for each member.

    Arguments:
        members: the members.
        simulations: the simulations.
        single: the families of one member, into which those of any member are copied to be scored.
    """

    def __init__(self, members: Members, simulations: Simulations, single: BottomUp) -> None:
        self.model = nn.Module()
        self._members = members
        self._simulations = simulations
        self._single = single

    def top_down(self, size: int) -> dict[str, Tensor]:
        """Return simulations that each member chooses at random, (M, size, D_i) per variable."""
        drawn = []
        for member in range(self._members.count):
            with self._members.alone(member):
                drawn.append(self._simulations.top_down(size))
        return {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}

    def evidence(self, drawn: Mapping[str, Tensor], size: int) -> Sequence[Mapping[str, Tensor]]:
        """Return the observed variables of the top-down samples."""
        return self._simulations.evidence(drawn, size)

    def score(self, bottom_up: BottomUp, model: nn.Module) -> Any:
        """Return the scores of all members."""
        scores = []
        for member in range(self._members.count):
            load_member(bottom_up, member, self._single)
            with self._members.alone(member):
                scores.append(self._simulations.score(self._single, model))
        return scores


@dataclass(frozen=True, eq=False)
class StackViews(FlatViews):
    """The tuples of stacked chains; the adversaries of each member are built from its own stream.

    Attributes:
        members: the members.
        single: the families and comparisons of each member.
        built: filled by :meth:`build_adversaries`: the adversaries of each member, and their reader.
    """

    members: Members
    single: Sequence[FlatViews]
    built: list[tuple[list[nn.Module], nn.Module]] = field(default_factory=list)

    def build_adversaries(self) -> tuple[list[nn.Module], nn.Module]:
        """Build the stacks of the members' adversaries; tuples have all their evidence."""
        for member, views in enumerate(self.single):
            with self.members.alone(member):
                self.built.append(views.build_adversaries())
        stacks = [stack_modules(each) for each in zip(*(networks for networks, _ in self.built), strict=True)]
        return stacks, AsTheyAre(at.reading for at in self.comparisons if at.reading)


def stacked_views(members: Members, single: Sequence[FlatViews]) -> StackViews:
    """Return the tuples of the stack of the members' families."""
    bottom_up = stack_modules([views.bottom_up for views in single])
    comparisons = [
        _stacked_comparison(bottom_up, list(each)) for each in zip(*(v.comparisons for v in single), strict=True)
    ]
    return StackViews(bottom_up, comparisons, members, single)


def _stacked_comparison(bottom_up: BottomUp, single: Sequence[LocalComparison]) -> LocalComparison:
    first = single[0]
    readings = [at.reading for at in single if at.reading is not None]
    reading = stack_modules(readings) if readings else None
    return replace(first, densities=_stacked_densities(bottom_up, first.densities), reading=reading)


def _stacked_densities(bottom_up: BottomUp, known: Densities) -> Densities:
    assert isinstance(known, SiteDensities)
    return SiteDensities(bottom_up, known.factors, known.site, known.log_likelihood, known.log_prior)
