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

from math import isqrt
from typing import Literal

import torch
from torch import Tensor, nn

from ampbench.errors import UsageError
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


def build_embedding(
    kind: Kind, inputs: int, features: int, channels: int = 1, width: int = 32, masked: bool = False
) -> nn.Module:
    """Build the embedding of evidence that is a series, an image or a set.

    Arguments:
        kind: see :class:`Embedding` and :class:`ampbench.networks.sets.SetEmbedding`.
        inputs: C, number of components of the evidence, without the mask.
        features: F, number of features.
        channels: of the series or the image, one after another; of a set, the number of entries of each trial.
        width: convolution filters, or units of each hidden layer.
        masked: whether the evidence is followed by its mask, (*, 2C).

    Raises:
        UsageError: the evidence has no such shape.
    """
    if kind == "set":
        return SetEmbedding(inputs, features, channels, width, masked)
    if not masked:
        return Embedding(kind, inputs, features, channels, width)
    pieces = SERIES_PIECES if kind == "series" else IMAGE_PIECES
    return MaskedConvolution(kind, (channels, *_sides(kind, inputs, channels)), features, width, pieces)


def alike(kind: Kind, inputs: int, channels: int) -> Tensor | None:
    """Return which components are distributed alike, as a number for each, shape (C,); None if nothing says so.

    These are the components of one entry in all trials of a set.

    Example:
        >>> alike("set", 6, 2)
        tensor([0, 1, 0, 1, 0, 1])
    """
    return torch.arange(inputs) % channels if kind == "set" else None


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
