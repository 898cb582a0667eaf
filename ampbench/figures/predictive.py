"""Posterior predictive plots: simulations at posterior draws, with the observation in them.

Few components have a histogram each, many are a curve with bands, and an image is shown beside mean and standard
deviation of its predictions.

References:
    Gelman, Meng, Stern 1996, *Posterior predictive assessment of model fitness via realized discrepancies*, Statistica
    Sinica 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ampbench.figures.style import DATA, POSTERIOR, frame, new_figure, shown, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_HISTOGRAMS = 6
"""Largest number of components of which each has a histogram of its own."""
MAX_CHANNELS = 4
"""Largest number of columns of a table of values that are curves; a larger table is an image."""
COLUMNS = 3
"""Histograms beside one another."""
BANDS = ((0.025, 0.975, 0.2), (0.25, 0.75, 0.4))
"""Lower and upper quantiles of the bands, and their opacities."""


@styled
def predictive_plot(predicted: Tensor, observation: Tensor, names: Sequence[str] = ()) -> Figure:
    """Return a plot of simulations at posterior draws.

    Arguments:
        predicted: simulations, shape ``(n, *S)``, with S the shape of an observation.
        observation: shape S; NaN entries are left out.
        names: of the components, if S = (L,).

    Raises:
        UsageError: matplotlib is not installed.
    """
    simulations, data = predicted.double().numpy(), observation.double().numpy()
    if data.ndim == 2 and min(data.shape) <= MAX_CHANNELS:
        across = data.shape[1] <= MAX_CHANNELS
        return _curves(simulations if across else simulations.swapaxes(1, 2), data if across else data.T)
    if data.ndim == 2:
        return _image(simulations, data)
    simulations, data = simulations.reshape(len(simulations), -1), data.ravel()
    if len(data) <= MAX_HISTOGRAMS:
        return _histograms(simulations, data, names)
    return _curves(simulations[:, :, None], data[:, None])


def _histograms(simulations: np.ndarray, data: np.ndarray, names: Sequence[str]) -> Figure:
    columns = 2 if len(data) == 4 else min(COLUMNS, len(data))
    rows = -(-len(data) // columns)
    figure = new_figure(2.6 * columns + 0.4, 2.1 * rows + 0.6)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[len(data) :]:
        axis.remove()
    for i, axis in enumerate(axes[: len(data)]):
        axis.hist(simulations[:, i], bins=30, color=POSTERIOR, alpha=0.6, label="predicted")
        axis.axvline(data[i], color=DATA, label="observation")
        axis.set_xlabel(shown(names[i]) if names else f"x[{i}]")
        axis.set_yticks([])
    return _with_legend(figure, axes[0], simulations)


def _curves(simulations: np.ndarray, data: np.ndarray) -> Figure:
    """Plot each column of (n, T, C) simulations and (T, C) data as a curve."""
    channels = data.shape[1]
    figure = new_figure(6.4, 1.2 + 2.2 * channels)
    axes = figure.subplots(channels, 1, squeeze=False, sharex=True).ravel()
    at = np.arange(len(data))
    for j, axis in enumerate(axes):
        for low, high, opacity in BANDS:
            lower, upper = np.quantile(simulations[:, :, j], (low, high), axis=0)
            label = f"predicted, {100 * (high - low):.0f} %"
            axis.fill_between(at, lower, upper, color=POSTERIOR, alpha=opacity, lw=0, label=label)
        axis.plot(at, np.median(simulations[:, :, j], axis=0), color=POSTERIOR, lw=1, label="predicted, median")
        axis.plot(at, data[:, j], "o", color=DATA, ms=3, label="observation")
        axis.set_ylabel("x" if channels == 1 else f"x[:, {j}]")
    axes[-1].set_xlabel("component")
    return _with_legend(figure, axes[0], simulations)


def _image(simulations: np.ndarray, data: np.ndarray) -> Figure:
    figure = new_figure(8.4, 3)
    mean, spread = simulations.mean(0), simulations.std(0)
    low, high = float(min(np.nanmin(data), mean.min())), float(max(np.nanmax(data), mean.max()))
    shown: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        ("observation", data, {"vmin": low, "vmax": high}),
        ("mean of predictions", mean, {"vmin": low, "vmax": high}),
        ("standard deviation", spread, {}),
    ]
    for axis, (title, values, limits) in zip(figure.subplots(1, 3), shown, strict=True):
        figure.colorbar(axis.imshow(values, **limits), ax=axis, shrink=0.8)
        axis.set_title(title, fontsize="medium")
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"posterior predictive, {len(simulations):,} simulations", fontsize="medium")
    return figure


def _with_legend(figure: Figure, axis: Any, simulations: np.ndarray) -> Figure:
    handles, labels = axis.get_legend_handles_labels()
    return frame(figure, f"posterior predictive, {len(simulations):,} simulations", handles, labels)
