"""Pair plots: marginal histograms of samples, and the densities of all pairs of components.

Several sets of samples are drawn side by side, on the same axes, each beside the contours of one reference.

References:
    Foreman-Mackey 2016, *corner.py: scatterplot matrices in Python*, doi:10.21105/joss.00024.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.figures.style import (
    DATA,
    POSTERIOR,
    REFERENCE,
    add_legend_below,
    looks,
    needed,
    new_figure,
    shown,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COMPONENTS = 12
"""Largest number of components of a pair plot; of more, the first ones are shown."""
MAX_SETS = 6
"""Largest number of sets of samples side by side."""
MAX_NAME = 20
"""Longest name of a component, in characters, that is shown in full."""
MARGIN = 0.6
"""How far an axis may reach beyond the central 95 % of the draws, in units of their width: ±4.3 standard deviations
of a Gaussian; a few draws in far tails would leave no room for the others."""
MIN_CONTOUR_DRAWS = 200
"""Smallest number of draws for which contours are drawn."""
SMOOTH_BELOW = 3000
"""Number of draws below which densities are smoothed before contours are drawn, by 0.8 of a bin."""
BINS = {0: 20, 1000: 30, 3000: 40}
"""Number of bins of an axis, from a number of draws on."""
LABEL_DISTANCE = 0.42
"""Distance of a label to its axis, in inches, which has the room of slanted tick labels."""
LEVELS = (0.5, 0.95)
"""Shares of the draws that the contours hold."""
QUANTILES = (0.025, 0.5, 0.975)

Array = np.ndarray


def pair_plot(
    draws: Tensor,
    names: Sequence[str],
    reference: Tensor | None = None,
    truth: Tensor | None = None,
    title: str = "posterior",
) -> Figure:
    """Return a pair plot of draws (n, D).

    Diagonal panels have the median and the 2.5 % and 97.5 % quantiles as dashed lines; the contours of the other panels
    hold 50 % and 95 % of the draws. Few draws in far tails may lie outside the axes; see :data:`MARGIN`.

    Arguments:
        draws: finite posterior draws.
        names: of the D components; of more than :data:`MAX_COMPONENTS`, the first are shown.
        reference: draws of the exact posterior, shape (m, D); their contours and histograms are black.
        truth: the parameters that the data were simulated with, shape (D,); NaN ones are left out.
        title: what is shown.

    Raises:
        UsageError: matplotlib or corner is not installed, shapes differ, or there are fewer draws than components.

    Example:
        >>> import torch
        >>> figure = pair_plot(torch.randn(300, 2), ["a", "b"], truth=torch.zeros(2))
        >>> [axis.get_xlabel() for axis in figure.axes[2:]]
        ['a', 'b']
    """
    figure, remark = _single(draws, names, reference, truth), _more(names)
    figure.suptitle(f"{shown(title)}, {len(draws):,} draws{remark}", fontsize="medium")
    return figure


def pair_plots(
    samples: Mapping[str, Tensor],
    names: Sequence[str],
    reference: Tensor | None = None,
    truth: Tensor | None = None,
    title: str = "",
) -> Figure:
    """Return the pair plots of several sets of draws, side by side on the same axes.

    Arguments:
        samples: by label, finite draws (n, D); at most :data:`MAX_SETS`.
        names, reference, truth: see :func:`pair_plot`.
        title: of the figure.

    Raises:
        UsageError: as :func:`pair_plot`, or there are no or too many sets.
    """
    if not 0 < len(samples) <= MAX_SETS:
        raise UsageError(
            f"{len(samples)} sets of samples; at most {MAX_SETS} are drawn side by side, choose among them"
        )
    return _several(samples, names, reference, truth, title)


@dataclass(frozen=True)
class _Frame:
    """The common properties of the panels of all sets: labels, limits of the axes, reference and truth."""

    labels: list[str]
    limits: list[tuple[float, float]]
    reference: Array | None
    truth: Array | None


@styled
def _single(draws: Tensor, names: Sequence[str], reference: Tensor | None, truth: Tensor | None) -> Figure:
    values = _checked("draws", draws, names)
    common = _common([values], names, reference, truth)
    size = len(common.labels)
    side = max(3.2, (1.9 if size <= 6 else 1.3) * size)
    figure = new_figure(side, side, layout=None)  # corner places the panels
    _draw(figure, values, common, POSTERIOR, side)
    _explain(figure, common, {"draws": POSTERIOR})
    return figure


@styled
def _several(
    samples: Mapping[str, Tensor], names: Sequence[str], reference: Tensor | None, truth: Tensor | None, title: str
) -> Figure:
    arrays = {label: _checked(label, draws, names) for label, draws in samples.items()}
    common = _common(list(arrays.values()), names, reference, truth)
    size, look = len(common.labels), looks(samples)
    columns = len(arrays) if len(arrays) <= 3 else -(-len(arrays) // 2)
    side = max(3.0, (1.7 if size <= 3 else 1.2 if size <= 6 else 0.95) * size)
    figure = new_figure(side * columns, side * -(-len(arrays) // columns), layout=None)
    parts = figure.subfigures(-(-len(arrays) // columns), columns, squeeze=False).ravel()
    for part, (label, values) in zip(parts, arrays.items(), strict=False):
        _draw(part, values, common, look[label].colour, side)
        part.suptitle(f"{shown(label, int(side * 9))}, {len(values):,} draws", fontsize="medium", y=0.995, va="top")
    _explain(figure, common, {})
    if whole := f"{shown(title, 200)}{_more(names)}".removeprefix(", "):
        figure.suptitle(whole, y=1.02, va="bottom")
    return figure


def _more(names: Sequence[str]) -> str:
    return f", the first {MAX_COMPONENTS} of {len(names)} components" if len(names) > MAX_COMPONENTS else ""


def _checked(what: str, draws: Tensor, names: Sequence[str]) -> Array:
    """Return the shown components of draws, shape (n, D)."""
    if draws.ndim != 2 or draws.shape[1] != len(names):
        raise UsageError(f"{what} have the shape {tuple(draws.shape)}, where (n, {len(names)}) should be")
    values = draws[:, :MAX_COMPONENTS].detach().cpu().double().numpy()
    if len(values) < max(2, values.shape[1]):
        raise UsageError(
            f"{len(values)} {what} of {values.shape[1]} components are too few for a pair plot; give more draws than "
            "components"
        )
    if not np.isfinite(values).all():
        raise UsageError(f"{int((~np.isfinite(values)).any(1).sum())} of {len(values)} {what} are NaN or infinite")
    return values


def _common(arrays: Sequence[Array], names: Sequence[str], reference: Tensor | None, truth: Tensor | None) -> _Frame:
    exact = None if reference is None else _checked("reference samples", reference, names)
    true = None if truth is None else truth.detach().cpu().double().numpy()[:MAX_COMPONENTS]
    if true is not None and (true.ndim != 1 or len(truth) != len(names)):  # type: ignore[arg-type]
        raise UsageError(f"{true.size} true parameters were given, where {len(names)} should be: {', '.join(names)}")
    labels = [shown(name, MAX_NAME) for name in names[:MAX_COMPONENTS]]
    every = [*arrays, *([] if exact is None else [exact])]
    limits = [_united([_extent(values[:, i]) for values in every]) for i in range(len(labels))]
    if true is not None:
        limits = [_reaching(each, value) for each, value in zip(limits, true.tolist(), strict=True)]
    return _Frame(labels, limits, exact, None if true is None or np.isnan(true).all() else true)


def _draw(canvas: Any, values: Array, common: _Frame, colour: str, side: float) -> None:
    """Draw the panels of one set onto an empty figure, or a part of one, of a width in inches."""
    many, panel = len(values) >= MIN_CONTOUR_DRAWS, 0.9 * side / (len(common.labels) + 0.6)
    pad = max(0.0, LABEL_DISTANCE / panel - 0.3)  # corner places labels at 0.3 panels below the axis
    _corner(
        canvas,
        values,
        common,
        colour,
        quantiles=QUANTILES,
        plot_contours=many,
        plot_density=many,
        plot_datapoints=True,
        labelpad=pad,
    )
    if common.reference is not None:
        _corner(
            canvas,
            common.reference,
            common,
            REFERENCE,
            plot_contours=len(common.reference) >= MIN_CONTOUR_DRAWS,
            plot_density=False,
            plot_datapoints=False,
            no_fill_contours=True,
            contour_kwargs={"linewidths": 1.0, "colors": REFERENCE},
            labelpad=pad,
        )
    for axis in canvas.axes:
        axis.grid(False)
    for axis in canvas.axes[:: len(common.labels) + 1]:  # the diagonal
        axis.set_ylim(0, 1.1 * max(patch.get_xy()[:, 1].max() for patch in axis.patches))
    if common.truth is not None:
        _mark(canvas, common.truth)


def _mark(canvas: Any, truth: Array) -> None:
    """Draw lines at the true parameters, and a square where two of them cross; NaN is not drawn."""
    size = len(truth)
    for i, value in enumerate(truth):
        for j in range(i + 1):
            axis = canvas.axes[i * size + j]
            axis.axvline(truth[j], color=DATA, linewidth=1)
            if j < i:
                axis.axhline(value, color=DATA, linewidth=1)
                axis.plot(truth[j], value, "s", color=DATA, markersize=3.5)


def _corner(canvas: Any, values: Array, common: _Frame, colour: str, **options: Any) -> None:
    needed("corner").corner(
        values,
        bins=max(bins for least, bins in BINS.items() if len(values) >= least),
        range=common.limits,
        labels=common.labels,
        levels=LEVELS,
        color=colour,
        smooth=0.8 if len(values) < SMOOTH_BELOW else None,
        hist_kwargs={"density": True, "linewidth": 1.3},
        quiet=True,
        fig=canvas,
        max_n_ticks=4,
        **options,
    )


def _explain(figure: Figure, common: _Frame, colours: Mapping[str, str]) -> None:
    """Add a legend of reference and truth, if there are any."""
    lines = needed("matplotlib.lines")
    entries = dict(colours)
    if common.reference is not None:
        entries[f"reference, {len(common.reference):,} samples"] = REFERENCE
    if common.truth is not None:
        entries["true parameters"] = DATA
    if entries.keys() - colours.keys():
        handles = [lines.Line2D([], [], color=colour) for colour in entries.values()]
        add_legend_below(figure, handles, list(entries))


def _extent(column: Array) -> tuple[float, float]:
    """Return the limits of an axis, also for a constant."""
    (least, most), (low, high) = (column.min(), column.max()), np.quantile(column, (0.025, 0.975))
    least, most = max(least, low - MARGIN * (high - low)), min(most, high + MARGIN * (high - low))
    if least == most:
        return float(least) - abs(least) * 0.01 - 0.5, float(most) + abs(most) * 0.01 + 0.5
    return float(least) - 0.03 * (most - least), float(most) + 0.03 * (most - least)


def _united(limits: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in limits), max(high for _, high in limits)


def _reaching(limits: tuple[float, float], value: float) -> tuple[float, float]:
    """Return limits that hold a value too; NaN changes nothing."""
    low, high = limits
    edge = 0.03 * (high - low)
    return (value - edge if value < low else low), (value + edge if value > high else high)
