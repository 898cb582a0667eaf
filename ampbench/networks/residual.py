"""The networks that families and adversaries share."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

BLOCKS = 3
"""Number of residual blocks of a network that computes features of a context."""


class ResidualMLP(nn.Module):
    """A multilayer perceptron with pre-activation residual blocks and SiLU, smooth enough for gradient penalties.

    Arguments:
        inputs: number of input components; may be 0, the output is then a learned constant.
        outputs: number of output components.
        width: units of each hidden layer.
        depth: number of residual blocks, each of two layers.
        dropout: share of a block's output that is left out at random in training; the particles of an item, which
            stand along the first of three axes, leave out the same, so that it is no noise that tells them apart.

    References:
        He et al. 2016, *Identity mappings in deep residual networks*.
        Srivastava et al. 2014, *Dropout: a simple way to prevent neural networks from overfitting*.

    Example:
        >>> import torch
        >>> ResidualMLP(3, 2, width=16, depth=1)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, dropout: float = 0.0) -> None:
        super().__init__()
        with warnings.catch_warnings():  # torch warns that there is nothing to initialise when inputs is 0
            warnings.filterwarnings("ignore", "Initializing zero-element tensors")
            self.first = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(_Block(width, dropout) for _ in range(depth))
        self.last = nn.Linear(width, outputs)

    def forward(self, value: Tensor) -> Tensor:
        """Map (*, inputs) to (*, outputs)."""
        hidden = self.first(value)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(silu(hidden))


class _Block(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.outer.weight, std=0.2 / width**0.5)  # near the identity at the start

    def forward(self, hidden: Tensor) -> Tensor:
        change: Tensor = self.outer(silu(self.inner(silu(hidden))))
        if not (self.training and self.dropout.p):  # most networks leave nothing out
            return change
        return change * self.dropout(change.new_ones(change.shape[-2:]))


class ContextFeatures(nn.Module):
    """A context joined with features that a residual network computes from it.

    Arguments:
        context: C, number of its components.
        features: F, number of features.
        width: units of each hidden layer.
        dropout: see :class:`ResidualMLP`.
        asinh: whether the context is bent as asinh(2c) / √2 before anything else sees it. One standard deviation stays
            one, and ten become less than three: rare large values of a heavy tail come near the others.

    Attributes:
        outputs: C + F, or 0 where there is no context.
    """

    def __init__(self, context: int, features: int, width: int, dropout: float, asinh: bool = False) -> None:
        super().__init__()
        self.asinh = asinh
        learned = features if context else 0
        self.network = ResidualMLP(context, learned, width, BLOCKS, dropout) if learned else None
        self.outputs = context + learned

    def forward(self, context: Tensor) -> Tensor:
        """Map (*, C) to (*, C + F)."""
        shared = context.ndim > 2 and context.stride(0) == 0  # expanded: all particles have the same
        seen = context[0] if shared else context
        if self.asinh:
            seen = torch.asinh(2 * seen) / 2**0.5
        if self.network is not None:
            seen = torch.cat([seen, self.network(seen)], dim=-1)
        return seen.expand(*context.shape[:-1], -1)
