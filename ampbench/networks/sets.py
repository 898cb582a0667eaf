r"""Embedding of a set: independent trials of one parameter, in any order and of any number up to a maximum.

.. math:: e_\psi(\{x_1, \dots, x_N\})
          = \rho\Bigl(\frac1N \sum_{j=1}^N \varphi(x_j),\; \log N,\; N^{-1/2}\Bigr)

with networks φ and ρ. By Zaheer et al., functions of this form are all functions of a set. The number of trials N is an
input of its own, since the standard deviation of a posterior falls like :math:`N^{-1/2}`. The trials are sorted before
they are summed, so that a permutation of the trials does not even change the rounding of the features.

A trial without any value is absent: it counts neither in the sum nor in N.

References:
    Zaheer et al. 2017, *Deep sets*, arXiv:1703.06114.
    Chan et al. 2018, *A likelihood-free inference framework for population genetic data using exchangeable neural
    networks*, arXiv:1802.06153.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError


class SetEmbedding(nn.Module):
    """A permutation-invariant embedding of flattened trials.

    Arguments:
        inputs: C, number of components of the evidence, without the mask.
        features: F, number of features.
        entries: d, number of components of each trial; the components of one trial stand together.
        width: units of each hidden layer.
        masked: whether the evidence is followed by its mask: ``(*, 2C)``, 1 for a value and 0 for a gap.

    Raises:
        UsageError: the components are no whole number of trials.

    Example:
        >>> embedding = SetEmbedding(6, features=4, entries=2)
        >>> x = torch.arange(6.0)[None]
        >>> torch.equal(embedding(x), embedding(x[:, [4, 5, 0, 1, 2, 3]]))
        True
    """

    def __init__(self, inputs: int, features: int, entries: int = 1, width: int = 32, masked: bool = False) -> None:
        super().__init__()
        if inputs % entries or not inputs:
            raise UsageError(
                f"evidence of {inputs} components is no set of trials with {entries} entries each; change channels"
            )
        self.trials = inputs // entries
        self.entries = entries
        self.masked = masked
        each = entries * (2 if masked else 1)
        self.of_trial = nn.Sequential(nn.Linear(each, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.of_set = nn.Sequential(nn.Linear(width + 2, width), nn.SiLU(), nn.Linear(width, features))

    def forward(self, value: Tensor) -> Tensor:
        """Map (*, C), or (*, 2C) with a mask, to (*, F)."""
        trials, there = self._trials(value)  # (*, N, d) or (*, N, 2d), and (*, N, 1)
        number = there.sum(-2).clamp_min(1)  # (*, 1)
        mean = (self.of_trial(trials) * there).sum(-2) / number
        return self.of_set(torch.cat([mean, number.log(), number.rsqrt()], dim=-1))

    def _trials(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sorted trials, with their masks, and which trials there are, as 0 and 1."""
        shape = *value.shape[:-1], self.trials, self.entries
        if not self.masked:
            trials = ordered(value.reshape(shape))
            return trials, torch.ones_like(trials[..., :1])
        values, mask = (half.reshape(shape) for half in value.chunk(2, dim=-1))
        trials = ordered(torch.cat([torch.where(mask > 0, values, 0.0), mask], dim=-1))
        return trials, trials[..., self.entries :].amax(-1, keepdim=True)


def ordered(trials: Tensor) -> Tensor:
    """Return trials (*, N, d) in lexicographic order.

    Example:
        >>> ordered(torch.tensor([[2.0, 0.0], [1.0, 9.0], [1.0, 3.0]])).tolist()
        [[1.0, 3.0], [1.0, 9.0], [2.0, 0.0]]
    """
    for entry in reversed(range(trials.shape[-1])):
        order = trials[..., entry].argsort(dim=-1, stable=True)
        trials = trials.gather(-2, order[..., None].expand_as(trials))
    return trials
