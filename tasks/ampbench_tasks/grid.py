r"""Exact draws from a two-dimensional density, known up to a constant, by its inverse distribution function.

The region is located first. On a grid of 64 × 64 cells over the bounds, with nodes :math:`p_i`, sides :math:`h_1, h_2`
of the cells in the directions :math:`e_1, e_2`, :math:`g = \log f` and b the node of the largest g, the bounds are
replaced by the box of all nodes i with

.. math:: \max_{N(i)} g \;\ge\; g(b) - 20 - D, \qquad
    D = \frac14 \sum_{k=1}^2 \min\bigl(g(b) - g(b + 2 h_k e_k),\; g(b) - g(b - 2 h_k e_k)\bigr)

where N(i) are the 3 × 3 nodes about node i, until the box does not shrink any more. The margin D allows for a maximum,
or a ridge, between the nodes. If g is quadratic with the curvatures :math:`K_{11}, K_{22}`, some corner of the cell of
any point y has :math:`g \ge g(y) - (K_{11} h_1^2 + K_{22} h_2^2) / 8` (the mean over the corners with bilinear
weights), and :math:`D \ge (K_{11} h_1^2 + K_{22} h_2^2) / 4` (the maximum on each line through b lies within half a
cell of b), so that no y within 20 of the maximum is lost, however narrow and however correlated the density is. The
smaller one of two differences bounds D where g falls off very fast on one side. If g is not quadratic, a box may cut
off some mass; a side at which g is within 20 of its maximum is moved outwards again.

Then g is interpolated by a bicubic spline, on cells that are eight times finer. If the mean error of the spline is not
below :math:`10^{-4}`, the grid is doubled, and the box shrunk if that is now possible. The error is estimated as 1/16
of that of the spline through every second node, since the error of a cubic spline is :math:`O(h^4)`. Values more than
40 below the maximum are raised to that, so that a steep slope where there is no mass does not make the spline oscillate
where there is some.

Between the fine nodes the density is taken as bilinear. The marginal density of the first coordinate is then piecewise
linear, and so is the density of the second one given the first, so that both distribution functions are piecewise
quadratic and inverted in closed form; draws are continuous functions of two uniform numbers. For a Gaussian with the
standard deviation s in units of the fine cells the bilinear interpolation adds 1/6 to a variance of s²; a box of 13
standard deviations has s = 40, so that variances are exact to 0.01 per cent.

References:
    Devroye 1986, *Non-Uniform Random Variate Generation*, sections II.2 and XI.1,
    http://luc.devroye.org/rnbookindex.html (inversion; one coordinate after the other).
    de Boor 2001, *A Practical Guide to Splines*, chapters V and XVII (errors of cubic and of bicubic splines).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy.interpolate import RectBivariateSpline
from torch import Generator, Tensor
from torch.nn.functional import max_pool2d, pad

from ampbench.errors import SimulationError
from ampbench_tasks.line import invert, position

LogDensity = Callable[[Tensor, Tensor], Tensor]
Interval = tuple[float, float]
Box = tuple[Interval, Interval]

CELLS = 64
"""Cells per side of the first grid."""
MAX_REFINEMENT = 8
"""Largest factor by which the grid becomes finer."""
FINE_CELLS = 8
"""Fine cells per side of a cell."""
MAX_LOG_RATIO = 20.0
"""Largest log-ratio of the maximum of the density to its value at a point; points beyond it may be left out."""
FLOOR = 40.0
"""Log-ratio of the maximum to the least value that is interpolated."""
MAX_GRIDS = 100
"""Largest number of grids on which the density is evaluated."""
MAX_ERROR = 1e-4
"""Largest mean error of the interpolated log density."""
MIN_SHRINKAGE = 0.75
"""A side of the box is shortened if less than this share of it is left."""


def draw(log_density: LogDensity, bounds: Box, n: int, generator: Generator, refine: int = 1) -> Tensor:
    """Draw n times, shape (n, 2), float64.

    Arguments:
        log_density: from first and second coordinates, (m,) and (m,), float64, to (m,), up to a constant; finite and
            smooth on the bounds, with one mode: others that a grid of 64 × 64 cells does not resolve may be lost.
        bounds: lowest and highest value of each coordinate; the density is negligible there and beyond.
        n: number of draws.
        generator: of the random numbers.
        refine: factor by which the grid is finer than the default grid.

    Raises:
        SimulationError: the log density is not finite, its mass reaches the bounds, or it varies too fast for the
            finest grid.
    """
    box, g = _tabulate(log_density, bounds, CELLS * refine)
    u, v = _axes(box, FINE_CELLS * (len(g) - 1))
    fine = torch.from_numpy(_spline(box, g)(u.numpy(), v.numpy()))
    return _invert(u, v, (fine - fine.max()).exp(), torch.rand(2, n, dtype=torch.float64, generator=generator))


def _tabulate(log_density: LogDensity, bounds: Box, first_cells: int) -> tuple[Box, Tensor]:
    """Return a box that holds all but a negligible part of the mass, and the log density (m, m) on a fine grid."""
    box, cells, error = bounds, first_cells, math.inf
    for _ in range(MAX_GRIDS):
        g = _evaluate(log_density, box, cells)
        moved = _moved(g, box, bounds)
        if moved != box:
            box, cells = moved, first_cells
            continue
        floored = g.clamp(min=float(g.max()) - FLOOR)
        error = _interpolation_error(box, floored)
        if error < MAX_ERROR or cells >= first_cells * MAX_REFINEMENT:
            break
        cells *= 2
    if any(map(any, _reached(g))):
        raise SimulationError(
            f"the density reaches the bounds of its grid, {_text(box)}: the observation is practically impossible "
            "under the prior"
        )
    if error >= MAX_ERROR:
        raise SimulationError(
            f"the log density varies too fast: on a grid of {cells} × {cells} cells over {_text(box)} it is "
            f"interpolated with a mean error of {error:.1g}, allowed is {MAX_ERROR:g}"
        )
    return box, floored


def _moved(g: Tensor, box: Box, bounds: Box) -> Box:
    """Return the box with sides moved inwards where there is no mass, outwards where there is; or the same box."""
    row, column = divmod(int(g.argmax()), len(g))
    margin = MAX_LOG_RATIO + (_fall(g[:, column], row) + _fall(g[row], column)) / 4
    kept = max_pool2d(g[None], 3, stride=1, padding=1)[0] >= g.max() - margin
    spans = zip(box, bounds, (kept.any(1), kept.any(0)), _reached(g), strict=True)
    first, second = (_span(*span) for span in spans)
    return first, second


def _fall(g: Tensor, best: int) -> float:
    """Return by how much g (m,) is lower two nodes from the best one, on that side where it falls less."""
    return min(float(g[best] - g[node]) for node in (best - 2, best + 2) if 0 <= node < len(g))


def _reached(g: Tensor) -> tuple[tuple[bool, bool], tuple[bool, bool]]:
    """Return whether there is mass at the low and at the high side of the first, and of the second coordinate."""
    least = float(g.max()) - MAX_LOG_RATIO
    low, high, left, right = (float(side.max()) > least for side in (g[0], g[-1], g[:, 0], g[:, -1]))
    return (low, high), (left, right)


def _span(interval: Interval, bound: Interval, kept: Tensor, reached: tuple[bool, bool]) -> Interval:
    """Return the interval of the nodes kept (m,), or a wider one where mass reaches its ends; or the same one."""
    low, high = interval
    nodes, width = kept.nonzero().flatten(), (high - low) / (len(kept) - 1)
    new_low = max(low - (high - low) / 2, bound[0]) if reached[0] else low + width * int(nodes[0])
    new_high = min(high + (high - low) / 2, bound[1]) if reached[1] else high - width * (len(kept) - 1 - int(nodes[-1]))
    shrunk = new_high - new_low < MIN_SHRINKAGE * (high - low)
    return (new_low, new_high) if shrunk or new_low < low or new_high > high else interval


def _interpolation_error(box: Box, g: Tensor) -> float:
    """Return the estimated mean error of the spline through the nodes, under the density."""
    u, v = _axes(box, len(g) - 1)
    predicted = torch.from_numpy(_spline(box, g[::2, ::2])(u.numpy(), v.numpy()))
    weights = (torch.maximum(g, predicted) - g.max()).exp()
    return float((weights * (predicted - g).abs()).sum() / weights.sum()) / 16


def _spline(box: Box, g: Tensor) -> RectBivariateSpline:
    u, v = _axes(box, len(g) - 1)
    return RectBivariateSpline(u.numpy(), v.numpy(), g.numpy(), s=0)


def _axes(box: Box, cells: int) -> tuple[Tensor, Tensor]:
    """Return the nodes of each side, shape (cells + 1,)."""
    first, second = (torch.linspace(low, high, cells + 1, dtype=torch.float64) for low, high in box)
    return first, second


def _evaluate(log_density: LogDensity, box: Box, cells: int) -> Tensor:
    """Return the log density at the nodes, shape (cells + 1, cells + 1)."""
    u, v = (each.flatten() for each in torch.meshgrid(*_axes(box, cells), indexing="ij"))
    g = log_density(u, v)
    if bad := (~torch.isfinite(g)).nonzero().flatten().tolist():
        at = f"({float(u[bad[0]]):g}, {float(v[bad[0]]):g})"
        raise SimulationError(f"the log density is {float(g[bad[0]])} at {at}; it must be finite on {_text(box)}")
    return g.reshape(cells + 1, cells + 1)


def _text(box: Box) -> str:
    return " × ".join(f"[{low:g}, {high:g}]" for low, high in box)


def _invert(u: Tensor, v: Tensor, f: Tensor, levels: Tensor) -> Tensor:
    """Return the points (n, 2) of the levels (2, n) in [0, 1) of the first coordinate, and of the second given it."""
    row, s = invert((f[:, 1:] + f[:, :-1]).sum(1), levels[0])
    below = pad(((f[:, 1:] + f[:, :-1]) / 2).cumsum(1), (1, 0))  # mass of a row below each node

    def at(values: Tensor, column: Tensor) -> Tensor:
        return torch.lerp(values[row, column], values[row + 1, column], s)

    low, high = torch.zeros_like(row), torch.full_like(row, len(v) - 1)
    target = levels[1] * at(below, high)
    while bool((high - low > 1).any()):
        middle = (low + high) // 2
        left = at(below, middle) <= target
        low, high = torch.where(left, middle, low), torch.where(left, high, middle)
    t = position(at(f, low), at(f, low + 1) - at(f, low), target - at(below, low))
    return torch.stack([u[row] + s * (u[1] - u[0]), v[low] + t * (v[1] - v[0])], dim=1)
