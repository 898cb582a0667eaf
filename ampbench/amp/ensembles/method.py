r"""Ensembles of adversarial message passing: several fits to the same simulations, whose posteriors are mixed.

.. math:: q(\theta \mid x) = \frac1M \sum_{m=1}^M q_m(\theta \mid x)

The members share the simulations, and differ in initialisation, minibatches and noise. They are trained as one stack of
networks where divergence and family allow it (:mod:`ampbench.amp.ensembles.fitting`).

References:
    Lakshminarayanan, Pritzel, Blundell 2017, *Simple and scalable predictive uncertainty estimation using deep
    ensembles*, arXiv:1612.01474.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, final

import torch
from torch import Tensor

from ampbench.amp.ensembles.fitting import fit_members
from ampbench.amp.ensembles.posterior import MEMBER, EnsemblePosterior, ensemble_of, restored_members
from ampbench.amp.method import AMP
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces import CanRestore, Default, HasRevision, Method, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.method import ReadsGaps
from ampbench.options import half_open
from ampbench.seeding import derive

MAX_MEMBERS = 1000
"""Upper bound of the number of members; larger numbers are refused as mistakes."""


@final
class AMPEnsemble(Method, CanRestore, HasRevision, ReadsGaps):
    """An ensemble of adversarial message passing.

    Arguments:
        amp: the method of each member.
        members: number of members.
    """

    def __init__(
        self, amp: Annotated[Method, Default("amp(divergence=forward-kl,family=flow)")], members: int = 5
    ) -> None:
        if not isinstance(amp, AMP):
            raise UsageError(f"method 'amp-ensemble' needs the method 'amp' inside, got {type(amp).__name__}")
        half_open(self, members=(members, 1, MAX_MEMBERS))
        self.amp = amp
        self.members = members
        self.drop_bias = amp.drop_bias

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> EnsemblePosterior:
        """Spend the whole budget once, and train all members on these simulations."""
        prepared = self.amp.prepare(simulator, device)
        seeds = [derive(simulator.seed, MEMBER, number) for number in range(1, self.members + 1)]
        found = fit_members(self.amp, prepared, seeds, progress)
        return ensemble_of({member + 1: each for member, each in found.members.items()}, found.apart)

    def revision(self, graph: Graph, observed: Sequence[str]) -> str:
        """Return the revision of the members' method."""
        return self.amp.revision(graph, observed)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> EnsemblePosterior:
        """Build the networks of a state, and load their parameters; see :class:`ampbench.interfaces.CanRestore`."""
        parts = states.parts(state)
        numbers = restored_members(parts)
        members = {number: self.amp.restore(simulator, parts[f"{MEMBER}{number}"], device) for number in numbers}
        return ensemble_of(members, states.read_text(parts["ensemble"]["notes"])["apart"])
