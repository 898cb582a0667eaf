r"""A convex blend of two divergences at one tuple: Karaletsos 2016, section 5.4.3.

.. math:: w\, D_1(q, p) + (1 - w)\, D_2(q, p), \qquad 0 \le w \le 1

The paper blends eq. 10 and eq. 11: where the likelihood is known, they are two expressions of one divergence, and their
blend may help the adversary to learn. Any two divergences can be blended. The weight w enters the families' loss only;
each adversary descends its own loss with weight 1.
"""

from __future__ import annotations

from typing import Annotated, final

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces import Default, Divergence, Tuples


class Pair(nn.Module):
    """The adversaries of the two divergences, as one module."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, tuples: Tuples) -> Tensor:
        """Return the concatenated outputs of the adversaries with parameters, shape (*, H)."""
        trained = [part for part in (self.first, self.second) if list(part.parameters())]
        outputs = [part(tuples) for part in trained]
        shape = tuples.joint.shape[:-1]
        return torch.cat([output.reshape(*shape, -1) for output in outputs], dim=-1)


@final
class Blend(Divergence):
    """Convex blend of two divergences.

    Arguments:
        first: the divergence of weight w.
        second: the divergence of weight 1 − w.
        weight: w.

    Raises:
        UsageError: the weight is not between 0 and 1.

    Example:
        On the command line: ``blend:first=kl-likelihood(width=64),second=mmd,weight=0.3``.
    """

    def __init__(
        self,
        first: Annotated[Divergence, Default("kl-likelihood")],
        second: Annotated[Divergence, Default("kl-ratio")],
        weight: float = 0.5,
    ) -> None:
        if not 0 <= weight <= 1:
            raise UsageError(f"the weight of a blend must lie between 0 and 1, got {weight}")
        self.first = first
        self.second = second
        self.weight = weight
        self.drop_bias = first.drop_bias or second.drop_bias

    def adversary(self, features: int) -> nn.Module:
        """Build the adversaries of both divergences."""
        return Pair(self.first.adversary(features), self.second.adversary(features))

    def adversary_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the sum of both adversaries' losses."""
        first, second = adversary.children()
        return self.first.adversary_loss(first, p, q) + self.second.adversary_loss(second, p, q)

    def family_loss(self, adversary: nn.Module, p: Tuples, q: Tuples) -> Tensor:
        """Return the weighted sum of both families' losses."""
        first, second = adversary.children()
        losses = self.first.family_loss(first, p, q), self.second.family_loss(second, p, q)
        return self.weight * losses[0] + (1 - self.weight) * losses[1]
