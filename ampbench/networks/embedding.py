r"""Embedding networks: from high-dimensional evidence to a few learned features.

.. math:: e_\psi: \mathbb R^{C} \to \mathbb R^{F}, \qquad F \ll C

``series`` convolves along time, ``image`` over a square; both then average over a coarse grid, which keeps where
something happened, and end in a linear layer. ``set`` is invariant to permutations of independent trials
(:mod:`ampbench.networks.sets`). Evidence with gaps is followed by its mask (:mod:`ampbench.networks.masked`). Whoever
builds networks on evidence can put one in front; the wrapper family ``embedded`` does so for every family.

References:
    Radev et al. 2020, *BayesFlow: learning complex stochastic models with invertible neural networks*,
    arXiv:2003.06281 (a summary network trained together with the posterior).
    LeCun et al. 1998, *Gradient-based learning applied to document recognition*, doi:10.1109/5.726791.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
from ampbench.interfaces.family import Part
from ampbench.networks.masked import MaskedConvolution
from ampbench.networks.sets import SetEmbedding

Convolved = Literal["series", "image"]
Kind = Literal["series", "image", "set"]

SERIES_PIECES = 8
"""Number of pieces over which a series is averaged."""

IMAGE_PIECES = 4
"""Number of pieces along each side over which an image is averaged."""


class Embedding(nn.Module):
    """A convolutional embedding of flattened evidence.

    Arguments:
        kind: ``series``: evenly sampled values; ``image``: a square of pixels, row by row.
        inputs: C, number of components of the evidence.
        features: F, number of features.
        channels: of the series or the image; the components of each channel stand together, one channel after another.
        width: convolution filters.

    Raises:
        UsageError: the evidence has no such shape.

    Example:
        >>> import torch
        >>> Embedding("image", 28 * 28, features=32)(torch.zeros(5, 28 * 28)).shape
        torch.Size([5, 32])
    """

    def __init__(self, kind: Convolved, inputs: int, features: int, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        self.shape = (channels, *_sides(kind, inputs, channels))
        if kind == "series":
            steps: list[nn.Module] = [nn.Conv1d(channels, width, 5, padding=2), nn.SiLU()]
            steps += [nn.Conv1d(width, width, 5, stride=2, padding=2), nn.SiLU(), nn.AdaptiveAvgPool1d(SERIES_PIECES)]
        else:
            steps = [nn.Conv2d(channels, width, 3, padding=1), nn.SiLU()]
            steps += [nn.Conv2d(width, width, 3, stride=2, padding=1), nn.SiLU(), nn.AdaptiveAvgPool2d(IMAGE_PIECES)]
        pooled = width * (SERIES_PIECES if kind == "series" else IMAGE_PIECES**2)
        self.network = nn.Sequential(*steps, nn.Flatten(), nn.Linear(pooled, features))

    def forward(self, value: Tensor) -> Tensor:
        """Map (*, C) to (*, F)."""
        batch = value.shape[:-1]
        return self.network(value.reshape(-1, *self.shape)).reshape(*batch, -1)


@dataclass(frozen=True)
class Arrangement:
    """How the components of evidence are arranged, and the size of an embedding for it.

    Attributes:
        kind: ``series``, ``image`` or ``set``; see :class:`Embedding` and :class:`ampbench.networks.sets.SetEmbedding`.
        features: F, number of features.
        channels: of the series or the image, one after another; of a set, the number of entries of each trial.
        width: convolution filters, or units of each hidden layer of a set's networks.
    """

    kind: Kind
    features: int
    channels: int
    width: int

    def embedding(self, parts: Sequence[Part]) -> nn.Module:
        """Build the embedding of a context: of all of it, or of each part with a mask if there are any.

        Raises:
            UsageError: the context, or a part with a mask, has no such shape.
        """
        if not any(part.masked for part in parts):
            return self._whole(sum(part.size for part in parts))
        return _ByPart([self._masked(part.size // 2) if part.masked else nn.Identity() for part in parts], parts)

    def outputs(self, parts: Sequence[Part]) -> int:
        """Return the number of components of the embedding of a context."""
        if not any(part.masked for part in parts):
            return self.features
        return sum(self.features if part.masked else part.size for part in parts)

    def alike(self, components: int) -> Tensor | None:
        """Return which components are distributed alike, as a number for each, shape (C,); None if nothing says so.

        These are the components of one entry in all trials of a set.

        Example:
            >>> Arrangement("set", 32, 2, 32).alike(6)
            tensor([0, 1, 0, 1, 0, 1])
        """
        return torch.arange(components) % self.channels if self.kind == "set" else None

    def _whole(self, components: int) -> nn.Module:
        if self.kind == "set":
            return SetEmbedding(components, self.features, self.channels, self.width)
        return Embedding(self.kind, components, self.features, self.channels, self.width)

    def _masked(self, components: int) -> nn.Module:
        if self.kind == "set":
            return SetEmbedding(components, self.features, self.channels, self.width, masked=True)
        shape = (self.channels, *_sides(self.kind, components, self.channels))
        pieces = SERIES_PIECES if self.kind == "series" else IMAGE_PIECES
        return MaskedConvolution(self.kind, shape, self.features, self.width, pieces)


class _ByPart(nn.Module):
    """A network for each part of a context, whose outputs are joined."""

    def __init__(self, networks: Sequence[nn.Module], parts: Sequence[Part]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.sizes = [part.size for part in parts]

    def forward(self, context: Tensor) -> Tensor:
        parts = context.split(self.sizes, dim=-1)
        return torch.cat([network(part) for network, part in zip(self.networks, parts, strict=True)], dim=-1)


def _sides(kind: Convolved, inputs: int, channels: int) -> tuple[int, ...]:
    """Return the length of each side of one channel."""
    each, rest = divmod(inputs, channels)
    if rest or not each:
        raise UsageError(f"evidence of {inputs} components is no {kind} with {channels} channels; change channels")
    if kind == "series":
        return (each,)
    side = isqrt(each)
    if side**2 != each:
        raise UsageError(
            f"evidence of {inputs} components in {channels} channels is no square image: {each} is no square number; "
            "give the embedding only to factors whose context is the image"
        )
    return side, side
