"""Pair plots: marginal histograms of posterior draws, and the densities of all pairs of components.

References:
    Foreman-Mackey 2016, *corner.py: scatterplot matrices in Python*, doi:10.21105/joss.00024.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ampbench.plots.figures import POSTERIOR, needed, new_figure
from ampbench.text import in_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_COMPONENTS = 10
"""Largest number of components of a pair plot; of more, the first ones are shown."""
INCHES_PER_COMPONENT = 1.9
"""Width and height of a panel."""
MARGIN = 0.6
"""How far an axis may reach beyond the central 95 % of the draws, in units of their width: ±4.3 standard deviations
of a Gaussian; a few draws in far tails would leave no room for the others."""
MIN_CONTOUR_DRAWS = 200
"""Smallest number of draws for which contours are drawn."""


def pair_plot(draws: Tensor, names: Sequence[str]) -> Figure:
    """Return a pair plot of draws (n, D).

    Diagonal panels have the median and the 2.5 % and 97.5 % quantiles as dashed lines; the contours of the other panels
    hold 50 % and 95 % of the draws. Few draws in far tails may lie outside the
    axes; see :data:`MARGIN`.

    Arguments:
        draws: finite posterior draws.
        names: of the D components; of more than :data:`MAX_COMPONENTS`, the first are shown.

    Raises:
        UsageError: matplotlib or corner is not installed.
    """
    corner = needed("corner")
    shown = min(len(names), MAX_COMPONENTS)
    values = draws[:, :shown].double().numpy()
    side = max(3.2, INCHES_PER_COMPONENT * shown)
    figure = new_figure(side, side, layout=None)  # corner places the panels
    many = len(values) >= MIN_CONTOUR_DRAWS
    corner.corner(
        values,
        bins=30,
        range=[_extent(column) for column in values.T],
        labels=[in_plot(name) for name in names[:shown]],
        quantiles=(0.025, 0.5, 0.975),
        levels=(0.5, 0.95),
        color=POSTERIOR,
        plot_contours=many,
        plot_density=many,
        plot_datapoints=True,
        quiet=True,
        fig=figure,
        max_n_ticks=4,
    )
    more = f", the first {shown} of {len(names)} components" if shown < len(names) else ""
    figure.suptitle(f"posterior, {len(values):,} draws{more}", fontsize="medium")
    return figure


def _extent(column: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis, also for a constant."""
    (least, most), (low, high) = (column.min(), column.max()), np.quantile(column, (0.025, 0.975))
    least, most = max(least, low - MARGIN * (high - low)), min(most, high + MARGIN * (high - low))
    if least == most:
        return float(least) - abs(least) * 0.01 - 0.5, float(most) + abs(most) * 0.01 + 0.5
    return float(least) - 0.03 * (most - least), float(most) + 0.03 * (most - least)
