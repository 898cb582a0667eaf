r"""Posteriors of ensembles: the mixture of the members in equal parts.

.. math:: q(\theta \mid x) = \frac1M \sum_{m=1}^M q_m(\theta \mid x)

References:
    Lakshminarayanan, Pritzel, Blundell 2017, *Simple and scalable predictive uncertainty estimation using deep
    ensembles*, arXiv:1612.01474.
    Hermans et al. 2022, *A trust crisis in simulation-based inference? Your posterior approximations can be
    unfaithful*, arXiv:2110.06581 (ensembles are less often overconfident).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from ampbench.amp.posterior import AMPDensity, AMPPosterior
from ampbench.interfaces import CanDiagnose, HasDensity, HasHistory, HasState, Posterior
from ampbench.interfaces import state as states

if TYPE_CHECKING:
    from pandas import DataFrame

MEMBER = "member"
"""Start of the names of the members in a state, and a column of the history and of the diagnosis."""


class EnsemblePosterior(Posterior, HasHistory, HasState, CanDiagnose):
    """The mixture of the members.

    Attributes:
        members: the posteriors, by number, from 1; a member that broke down is missing.
        apart: why the members were trained one after the other; "" if they were trained as one stack.
    """

    def __init__(self, members: Mapping[int, AMPPosterior], apart: str) -> None:
        self.members = dict(members)
        self.apart = apart

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the posterior: (L,) -> (n, D)."""
        chosen = torch.randint(len(self.members), (n,)).bincount(minlength=len(self.members)).tolist()
        parts = zip(self.members.values(), chosen, strict=True)
        drawn = torch.cat([each.sample(observation, count) for each, count in parts if count])
        return drawn[torch.randperm(n)]

    @property
    def history(self) -> DataFrame:
        """Losses, gradient norms, learning rates and held-out scores: one row per check and member."""
        return _by_member({number: each.history for number, each in self.members.items()})

    def diagnose(
        self,
        simulations: Mapping[str, Tensor] | None = None,
        teacher_forcing: bool = False,
        folds: int = 2,
        level: float = 0.01,
        seed: int = 0,
    ) -> DataFrame:
        """Test every member at every tuple; see :meth:`ampbench.amp.posterior.AMPPosterior.diagnose`.

        Returns:
            One row per member and tuple.
        """
        return _by_member(
            {
                number: each.diagnose(simulations, teacher_forcing, folds, level, seed)
                for number, each in self.members.items()
            }
        )

    def state(self) -> dict[str, Tensor]:
        """Return the states of the members."""
        parts: dict[str, Mapping[str, Tensor]] = {f"{MEMBER}{i}": each.state() for i, each in self.members.items()}
        return states.joined(parts | {"ensemble": {"notes": states.text({"apart": self.apart})}})


@final
class EnsembleDensity(EnsemblePosterior, HasDensity):
    """A posterior with a density: every member has one."""

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape ``(*,)``, for theta ``(*, D)`` and x ``(*, L)``."""
        each = [one.log_prob(value, context) for one in self.members.values() if isinstance(one, AMPDensity)]
        return torch.stack(each).logsumexp(0) - math.log(len(each))


def ensemble_of(members: Mapping[int, AMPPosterior], apart: str) -> EnsemblePosterior:
    """Return the mixture: with a density if every member has one."""
    known = all(isinstance(each, AMPDensity) for each in members.values())
    return (EnsembleDensity if known else EnsemblePosterior)(members, apart)


def restored_members(parts: Iterable[str]) -> list[int]:
    """Return the numbers of the members of a state, given the names of its parts."""
    return sorted(int(name.removeprefix(MEMBER)) for name in parts if name.startswith(MEMBER))


def _by_member(tables: Mapping[int, DataFrame]) -> DataFrame:
    import pandas as pd

    joined = pd.concat([table.assign(**{MEMBER: number}) for number, table in tables.items()], ignore_index=True)
    return joined[[name for name in joined if name != MEMBER] + [MEMBER]]
