r"""An ensemble of neural posterior estimators, trained on the same simulations.

The members differ in their initial weights, in the order of their batches, and in the simulations that they hold out.
Their mixture is the posterior:

.. math:: q(\theta \mid x) = \frac 1 M \sum_{m=1}^M q_{\phi_m}(\theta \mid x)

Each density is normalised over the support of the prior. By Jensen's inequality the expected negative log density of
the mixture is at most the mean of its members'.

References:
    Lakshminarayanan, Pritzel, Blundell 2017, *Simple and scalable predictive uncertainty estimation using deep
    ensembles*, arXiv:1612.01474.
    Hermans et al. 2022, *A trust crisis in simulation-based inference? Your posterior approximations can be
    unfaithful*, arXiv:2110.06581.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, final

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Simulator
from ampbench.interfaces import CanRestore, HasDensity, HasHistory, HasState, Posterior, Progress
from ampbench.interfaces import state as states
from ampbench.interfaces.history import history_frame
from ampbench.interfaces.method import ReadsGaps
from ampbench.options import at_least
from ampbench_sbi.amortised import AmortisedDensity, AmortisedPosterior, Recipe
from ampbench_sbi.npe import NPE
from ampbench_sbi.toolbox import ToolboxMethod

if TYPE_CHECKING:
    from pandas import DataFrame


@final
class MixturePosterior(Posterior, HasDensity, HasHistory, HasState):
    """The mixture, with equal weights, of the posteriors of several trainings."""

    def __init__(self, members: Sequence[AmortisedPosterior]) -> None:
        self.members = [member for member in members if isinstance(member, AmortisedDensity)]
        assert len(self.members) == len(members) > 0, "npe has a density"

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw from the mixture: (L,) -> (n, D), each draw from a member that is drawn before.

        Raises:
            SamplingError: too few draws of a member are accepted; see :mod:`ampbench_sbi.tries`.
        """
        chosen = torch.randint(len(self.members), (n,))
        order = chosen.argsort()
        counts = chosen.bincount(minlength=len(self.members)).tolist()
        drawn = [member.sample(observation, k) for member, k in zip(self.members, counts, strict=True) if k]
        joined = torch.cat(drawn)
        return torch.empty_like(joined).index_copy_(0, order, joined)

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        """Return log q(theta | x), shape (n,), for theta (n, D) and x (n, L); minus infinity outside the prior.

        Raises:
            SamplingError: as :meth:`sample`, since each density is normalised by draws.
        """
        each = torch.stack([member.log_prob(value, context) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))

    @property
    def history(self) -> DataFrame:
        """Mean losses of the members, one row per epoch; one that has stopped counts with its last losses."""
        curves = [member.curves for member in self.members]
        rows = [[each[min(i, len(each) - 1)] for each in curves] for i in range(max(map(len, curves)))]
        means = ({name: math.fsum(row[name] for row in epoch) / len(epoch) for name in epoch[0]} for epoch in rows)
        return history_frame([mean | {"step": step} for step, mean in enumerate(means, int(curves[0][0]["step"]))])

    def state(self) -> dict[str, Tensor]:
        """Return the states of the members."""
        return states.joined({f"member{i}": member.state() for i, member in enumerate(self.members)})


@final
class NPEEnsemble(ToolboxMethod, CanRestore, ReadsGaps):
    """An ensemble of neural posterior estimators; the simulations are drawn once, and shared.

    Arguments:
        members: M, the number of trainings, one after the other.
        density_estimator, batch_size, learning_rate, max_epochs: of each member, see
            :class:`ampbench_sbi.npe.NPE`.
    """

    drop_bias = NPE.drop_bias

    def __init__(
        self,
        members: int = 5,
        density_estimator: Literal["nsf", "maf", "mdn", "made"] = "nsf",
        batch_size: int = 200,
        learning_rate: float = 5e-4,
        max_epochs: int = 1000,
    ) -> None:
        at_least(self, members=(members, 1))
        self.members = members
        self.member = NPE(density_estimator, batch_size, learning_rate, max_epochs)

    @property
    def recipe(self) -> Recipe:
        """The specification of each member."""
        return replace(self.member.recipe, method="npe-ensemble")

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> MixturePosterior:
        """Spend the whole budget once, and train the members on the same simulations."""
        recipe = self.recipe
        pairs, found = recipe.simulated(simulator, device), []
        for done in range(self.members):
            found.append(recipe.trained(pairs, device))
            progress(done + 1, self.members)
        return MixturePosterior(found)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> MixturePosterior:
        """Restore the members."""
        of, names = states.parts(state), [f"member{i}" for i in range(self.members)]
        if set(of) != set(names):
            raise UsageError(
                f"the state has {len(of)} members ({', '.join(sorted(of))}), but members={self.members}; "
                "give the options that it was made with"
            )
        return MixturePosterior([self.recipe.restored(simulator, of[name], device) for name in names])
