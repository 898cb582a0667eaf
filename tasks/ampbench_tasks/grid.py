r"""Exact draws from a two-dimensional density, known up to a constant, by its inverse distribution function.

A coarse grid over a box finds the smaller box in which the density is at least :math:`e^{-25}` times its maximum, or
its logarithm within a tenth of the way from its maximum down to its median if that is lower, so that a peak narrower
than the coarse grid is approached in several steps. This is repeated until the box no longer shrinks. A fine grid
covers the last box. Between its points the density is taken as bilinear: a draw picks a cell by its mass; in the cell
the marginal density of the first coordinate and the conditional density of the second one are linear, and their
distribution functions are inverted in closed form.

Bilinear interpolation with cells of width h adds at most :math:`h^2 / 6` to the variance of a coordinate: for a
Gaussian density, whose box is 14 standard deviations long, 0.2 per cent with 128 cells.

References:
    Devroye 1986, *Non-Uniform Random Variate Generation*, section II.2, http://luc.devroye.org/rnbookindex.html.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ampbench_tasks.line import within

COARSE_CELLS = 48
MAX_LOG_RATIO = 25.0
"""Largest log-ratio of the maximum of the density to its value at a point; points beyond it are left out."""
APPROACHED_SHARE = 0.1
"""Share of the way from the maximum of the log density to its median, within which points stay in the box."""
MAX_SHRINKAGES = 60
MAX_KEPT_SHARE = 0.8
"""The box shrinks again until more than this share of its area is left."""

Box = tuple[tuple[float, float], tuple[float, float]]
"""Lower and upper bound of the first coordinate, and of the second one."""


def draw(log_density: Callable[[Tensor], Tensor], bounds: Box, n: int, generator: Generator, cells: int) -> Tensor:
    """Draw n times, shape (n, 2), float64.

    Arguments:
        log_density: from points (m, 2), float64, to (m,), up to a constant; unimodal, or smooth on the coarse grid.
        bounds: of both coordinates; the density is negligible outside.
        n: number of draws.
        generator: of the random numbers.
        cells: number of cells of the fine grid along each coordinate.
    """
    box = relevant_box(log_density, bounds)
    axes, heights = _heights(log_density, box, cells)
    level = torch.rand(n, 3, dtype=torch.float64, generator=generator)
    return _invert(axes, (heights - heights.max()).exp(), level)


def relevant_box(log_density: Callable[[Tensor], Tensor], bounds: Box) -> Box:
    """Return the part of the bounds in which the density is not negligible."""
    box = bounds
    for _ in range(MAX_SHRINKAGES):
        axes, heights = _heights(log_density, box, COARSE_CELLS)
        drop = APPROACHED_SHARE * float(heights.max() - heights.median())
        inside = heights > heights.max() - max(MAX_LOG_RATIO, drop)
        smaller = (_span(axes[0], inside.any(1)), _span(axes[1], inside.any(0)))
        kept = _area(smaller) / _area(box)
        box = smaller
        if kept > MAX_KEPT_SHARE and drop <= MAX_LOG_RATIO:
            break
    return box


def _heights(log_density: Callable[[Tensor], Tensor], box: Box, cells: int) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return the grid points of both coordinates, (c + 1,) each, and the log density, (c + 1, c + 1)."""
    a, b = (torch.linspace(low, high, cells + 1, dtype=torch.float64) for low, high in box)
    return (a, b), log_density(torch.cartesian_prod(a, b)).reshape(cells + 1, cells + 1)


def _span(axis: Tensor, inside: Tensor) -> tuple[float, float]:
    """Return the ends of the points inside, and one point more on both sides."""
    points = inside.nonzero().flatten()
    return float(axis[max(int(points[0]) - 1, 0)]), float(axis[min(int(points[-1]) + 1, len(axis) - 1)])


def _area(box: Box) -> float:
    return (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])


def _invert(axes: tuple[Tensor, Tensor], f: Tensor, level: Tensor) -> Tensor:
    """Return draws (n, 2) from the piecewise bilinear density with values f at the grid points; levels (n, 3)."""
    mass = (f[1:, 1:] + f[1:, :-1] + f[:-1, 1:] + f[:-1, :-1]).flatten()
    total = mass.cumsum(0)
    cell = torch.searchsorted(total, level[:, 0] * total[-1], right=True).clamp(max=len(mass) - 1)
    row, column = cell // (f.shape[1] - 1), cell % (f.shape[1] - 1)
    low, high = f[row, column], f[row, column + 1]  # at the lower end of the first coordinate
    low_next, high_next = f[row + 1, column], f[row + 1, column + 1]
    s = _linear(low + high, low_next + high_next, level[:, 1])
    t = _linear(torch.lerp(low, low_next, s), torch.lerp(high, high_next, s), level[:, 2])
    a, b = axes
    return torch.stack([a[row] + s * (a[1] - a[0]), b[column] + t * (b[1] - b[0])], dim=1)


def _linear(left: Tensor, right: Tensor, level: Tensor) -> Tensor:
    """Return the points of [0, 1] at which the distribution function of a linear density equals the levels (n,)."""
    return within(left, right, level * (left + right) / 2)
