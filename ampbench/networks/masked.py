r"""Embeddings of series and images with gaps: the mask is an input, and pooling leaves gaps out.

With values v, 0 at gaps, a mask m, and h the features of a convolution over v and m, the average over a piece P of the
coarse grid, and the share of P that has values, are

.. math:: \bar h_P = \frac{\sum_{t \in P} m_t\, h_t}{\sum_{t \in P} m_t}, \qquad
          \bar m_P = \frac{1}{|P|} \sum_{t \in P} m_t,

with :math:`\bar h_P = 0` for a piece without values. A series of another length ends with gaps.

References:
    Liu et al. 2018, *Image inpainting for irregular holes using partial convolutions*, arXiv:1804.07723.
    Wang et al. 2024, *Missing data in amortized simulation-based neural posterior estimation*,
    doi:10.1371/journal.pcbi.1012184 (values and mask as input of the network, as here).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn


class MaskedConvolution(nn.Module):
    """A convolutional embedding of flattened evidence and its mask.

    Arguments:
        kind: ``series`` or ``image``.
        shape: channels, and the length of each side.
        features: F, number of features.
        width: convolution filters.
        pieces: number of pieces along each side over which it averages.
    """

    def __init__(
        self, kind: Literal["series", "image"], shape: tuple[int, ...], features: int, width: int, pieces: int
    ) -> None:
        super().__init__()
        self.shape = shape
        convolution: Any = nn.Conv1d if kind == "series" else nn.Conv2d
        size = 5 if kind == "series" else 3
        self.network = nn.Sequential(
            convolution(2 * shape[0], width, size, padding=size // 2),
            nn.SiLU(),
            convolution(width, width, size, stride=2, padding=size // 2),
            nn.SiLU(),
        )
        self.coarse = nn.MaxPool1d(2, ceil_mode=True) if kind == "series" else nn.MaxPool2d(2, ceil_mode=True)
        self.pool = nn.AdaptiveAvgPool1d(pieces) if kind == "series" else nn.AdaptiveAvgPool2d(pieces)
        self.output = nn.Linear((width + 1) * pieces ** (len(shape) - 1), features)

    def forward(self, value: Tensor) -> Tensor:
        """Map (*, 2C), values followed by their mask, to (*, F)."""
        batch = value.shape[:-1]
        values, mask = (half.reshape(-1, *self.shape) for half in value.chunk(2, dim=-1))
        found = self.network(torch.cat([torch.where(mask > 0, values, 0.0), mask], dim=1))
        there = self.coarse(mask.amax(1, keepdim=True))  # (B, 1, ·): any channel has a value there
        share = self.pool(there)
        mean = self.pool(found * there) / torch.where(share > 0, share, 1.0)
        return self.output(torch.cat([mean, share], dim=1).flatten(1)).reshape(*batch, -1)
