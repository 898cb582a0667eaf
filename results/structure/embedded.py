r"""NPE on a flat graph, with an embedding network that knows how the evidence is repeated.

The flow :math:`q_\phi(\theta \mid e_\psi(x))` of sbi is trained together with the embedding of :math:`x = (x_1, \dots,
x_R)`:

``gru``
    the last states of two recurrent networks, along the series and against it;
``set``
    features :math:`e(x_j)` by one network for all groups j; of each group a few of them, and of all groups their mean.
    The mean does not depend on the order of the groups, as the posterior of the roots; the features of group j,
    at its place, are needed for :math:`\theta_j`.

References:
    Greenberg, Nonnenmacher, Macke 2019, *Automatic posterior transformation*, arXiv:1905.07488.
    Cho et al. 2014, *Learning phrase representations using RNN encoder-decoder*, arXiv:1406.1078.
    Zaheer et al. 2017, *Deep sets*, arXiv:1703.06114.
    Rodrigues et al. 2021, *HNPE: leveraging global parameters for neural posterior estimation*, arXiv:2102.06477.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ampbench_sbi.amortised import Amortised, Recipe
from ampbench_sbi.npe import NPE
from ampbench_sbi.toolbox import toolbox, trainer

WIDTH = 64
MEMBERS = 5
"""Number of observations of a group of the task ``hierarchical``."""
OWN = 8
"""Number of features of a group that the flow sees beside the mean."""


class EmbeddedNPE(Amortised):
    """NPE with an embedding network.

    Arguments:
        npe: the method whose flow and training are taken.
        kind: ``gru`` or ``set``.
        repeats: R, number of times or groups of the flat graph.
    """

    def __init__(self, npe: NPE, kind: str, repeats: int) -> None:
        self.npe = npe
        self.kind = kind
        self.repeats = repeats

    @property
    def recipe(self) -> Recipe:
        """The recipe of the method, with a density estimator that has the embedding in front."""
        networks = toolbox("method 'npe'", "neural_nets")
        embedding = EMBEDDINGS[self.kind](self.repeats)
        estimator = networks.posterior_nn(self.npe.density_estimator, embedding_net=embedding)
        return replace(self.npe.recipe, make=trainer("NPE", density_estimator=estimator))


class SeriesEmbedding(nn.Module):
    """Map a series, (n, R), to the last states of two recurrent networks, (n, 2 :data:`WIDTH`)."""

    def __init__(self, repeats: int) -> None:
        super().__init__()
        self.shape = repeats, 1
        self.network = nn.GRU(1, WIDTH, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        _, last = self.network(x.unflatten(-1, self.shape))  # (2, n, WIDTH)
        return torch.cat([*last], -1)


class SetEmbedding(nn.Module):
    """Map groups, (n, R · :data:`MEMBERS`), to their mean features and to a few of each, (n, WIDTH + R · OWN)."""

    def __init__(self, repeats: int) -> None:
        super().__init__()
        self.shape = repeats, MEMBERS
        self.network = nn.Sequential(
            nn.Linear(MEMBERS, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH), nn.SiLU(), nn.Linear(WIDTH, WIDTH + OWN)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features."""
        pooled, own = self.network(x.unflatten(-1, self.shape)).split([WIDTH, OWN], -1)
        return torch.cat([pooled.mean(1), own.flatten(1)], -1)


EMBEDDINGS: Mapping[str, type[SeriesEmbedding | SetEmbedding]] = {"gru": SeriesEmbedding, "set": SetEmbedding}
