"""Training histories: held-out score, losses, gradient norms and learning rates of the players, against steps.

The vertical line is at the step with the lowest held-out score, from which the parameters of the fit are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ampbench.errors import UsageError
from ampbench.figures.style import DATA, QUIET, frame, looks, needed, new_figure, shown, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORE, STEP = "held_out_score", "step"
PANELS = (
    ("held-out score", (SCORE,)),
    ("loss of the adversaries", ("adversary loss", "held-out adversary loss")),
    ("loss of the families", ("family loss",)),
    ("gradient norm", ("adversary gradient norm", "family gradient norm")),
    ("learning rate", ("adversary learning rate", "family learning rate")),
)
"""The panels, each with the beginnings of the columns that it shows; other columns have a panel together."""
LOGARITHMIC = {"gradient norm", "learning rate"}
MAX_CURVES = 6
"""Largest number of curves of a panel with a colour and a name: those that vary most; others are grey."""
MAX_NAME = 30


def training_plot(history: pd.DataFrame, title: str = "training") -> Figure:
    """Return the curves of a training history.

    Arguments:
        history: as ``posterior.history`` returns it: a column ``step``, and one for each quantity.
        title: of the figure.

    Raises:
        UsageError: matplotlib is not installed, or the history has no steps or no numbers.

    Example:
        >>> import pandas as pd
        >>> history = pd.DataFrame({"step": [10, 20], "held_out_score": [0.5, 0.4]})
        >>> [axis.get_title() for axis in training_plot(history).axes]
        ['held-out score']
    """
    if STEP not in history.columns or history.empty:
        raise UsageError(
            f"the history has {len(history)} rows and the columns {', '.join(map(str, history.columns)) or 'none'}, "
            "but no step; give posterior.history"
        )
    return _draw(history, title)


@styled
def _draw(history: pd.DataFrame, title: str) -> Figure:
    panels = {name: columns for name, columns in _panels(history).items() if columns}
    if not panels:
        raise UsageError("the history has no finite number to draw")
    columns = 1 if len(panels) == 1 else 2 if len(panels) <= 4 else 3
    rows = -(-len(panels) // columns)
    figure = new_figure(3.3 * columns + 0.4, 2.4 * rows + 0.2)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    best = history.loc[history[SCORE].idxmin(), STEP] if SCORE in history and history[SCORE].notna().any() else None
    for axis, (name, shown_columns) in zip(axes, panels.items(), strict=False):
        axis.set_title(name)
        _curves(axis, history, shown_columns, name in LOGARITHMIC)
        if best is not None:
            axis.axvline(best, color=DATA, linewidth=1, linestyle="--", zorder=1)
    for i, axis in enumerate(axes):
        if i >= len(panels):
            axis.remove()
        elif i + columns >= len(panels):
            axis.tick_params(labelbottom=True)
    line = needed("matplotlib.lines").Line2D([], [], color=DATA, linewidth=1, linestyle="--")
    marked = ([line], [f"lowest held-out score, at step {best:,.0f}"]) if best is not None else ([], [])
    return frame(figure, shown(title, 120), *marked, _remarks(history), "step")


def _panels(history: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns with finite numbers by panel."""
    left = [name for name in history.columns if name != STEP and np.isfinite(history[name].astype(float)).any()]
    found: dict[str, list[str]] = {}
    for panel, beginnings in PANELS:
        found[panel] = [name for name in left if name.startswith(beginnings)]
        left = [name for name in left if name not in found[panel]]
    return {**found, "others": left}


def _curves(axis: Axes, history: pd.DataFrame, columns: Sequence[str], logarithmic: bool) -> None:
    values = history[list(columns)].astype(float).where(lambda table: np.isfinite(table))
    named = values.std().sort_values(ascending=False, kind="stable").index[:MAX_CURVES]
    look = looks(name for name in columns if name in set(named))
    for name in columns:
        known = values[name].notna()
        axis.plot(
            history.loc[known, STEP],
            values.loc[known, name],
            color=look[name].colour if name in look else QUIET,
            linewidth=1.3 if name in look else 0.6,
            marker="." if known.sum() == 1 else None,
            label=shown(name),
        )
    if logarithmic and (values.min().min() > 0):
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(needed("matplotlib.ticker").FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_formatter(needed("matplotlib.ticker").NullFormatter())
    if len(columns) > 1:
        lines = dict(zip(columns, axis.lines, strict=True))
        handles = [lines[name] for name in look]
        names = [_short(name, columns) for name in look]
        if len(columns) > len(look):
            names[-1] += f", grey: {len(columns) - len(look)} others"
        axis.legend(handles, names, loc="best", fontsize=7, framealpha=0.85, frameon=True, edgecolor="none")


def _short(name: str, columns: Sequence[str]) -> str:
    """Return a name without the words with which all names of the panel begin or end."""
    words = [column.split(" ") for column in columns]
    start = next((i for i, same in enumerate(zip(*words, strict=False)) if len(set(same)) > 1), 0)
    own = name.split(" ")[start:]
    return shown(" ".join(own) or name, MAX_NAME)


def _remarks(history: pd.DataFrame) -> list[str]:
    """Return which columns have numbers that cannot be drawn."""
    told = []
    for name in history.columns:
        values = history[name].astype(float)
        if infinite := int(np.isinf(values).sum()):
            told.append(f"{shown(name, 40)}: {infinite} infinite values left out")
        elif values.isna().all():
            told.append(f"{shown(name, 40)}: no value")
    return told
