"""Scores against time: what a score costs, and which methods no other one beats in both.

Black steps are the Pareto front of the means. A symbol on the front has a black ring; a pale symbol is clearly
dominated: another method has a lower score in less time, and the intervals of neither overlap. Between the two, the
data do not tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ampbench.figures.style import INK, QUIET, needed, shown, styled
from ampbench.plots.panels import Panel, Panels, finish, new_panels
from ampbench.plots.scores import Scores, clearly_dominated, dominated, scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SIZES = (4.0, 9.0)
"""Diameters of the symbols of the smallest and the largest budget, in points."""
PALE = 0.35
"""Opacity of what is clearly dominated."""


def pareto_plot(
    frame: pd.DataFrame,
    metric: str | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    budgets: Sequence[int] = (),
) -> Figure:
    """Return mean scores against the time of fit and sampling, both with 95 % intervals, and the Pareto front.

    Arguments:
        frame, metric, tasks, methods, budgets: see :func:`ampbench.plots.scores.scores`.

    Raises:
        UsageError: matplotlib is not installed, nothing is selected, or no run has a value of the metric.
        ResultsError: the frame does not follow the schema.
    """
    return draw_pareto(scores(frame, metric, tasks, methods, budgets))


@styled
def draw_pareto(found: Scores) -> Figure:
    """Return the figure of means and times that :func:`ampbench.plots.scores.scores` computed."""
    made = new_panels(found)
    sizes = _sizes(sorted(found.table["budget"].unique()))
    for panel in made.panels:
        _draw(panel, made, sizes)
    lines = needed("matplotlib.lines")
    extra: dict[str, Any] = {
        f"budget {budget:,}": lines.Line2D([], [], color=QUIET, marker="o", linestyle="", markersize=size)
        for budget, size in sizes.items()
    }
    extra["not dominated, by means"] = lines.Line2D(
        [], [], color=INK, linewidth=1, marker="o", markersize=10, markerfacecolor="none"
    )
    extra["pale: clearly dominated"] = lines.Line2D([], [], color=QUIET, marker="o", linestyle="", alpha=PALE)
    title = f"mean {shown(found.metric)} against time, with 95 % intervals; lower and faster is better"
    return finish(made, title, "seconds of fit and sampling", found, extra)


def _sizes(budgets: Sequence[int]) -> dict[int, float]:
    low, high = np.log(budgets[0]), np.log(budgets[-1])
    share = [(np.log(budget) - low) / (high - low) if high > low else 0.5 for budget in budgets]
    return {budget: float(SIZES[0] + (SIZES[1] - SIZES[0]) * part) for budget, part in zip(budgets, share, strict=True)}


def _draw(panel: Panel, made: Panels, sizes: dict[int, float]) -> None:
    axes, rows = panel.axes, panel.rows.dropna(subset=["seconds"])
    rows = rows.assign(front=~dominated(rows), pale=clearly_dominated(rows))
    front = rows[rows["front"]].sort_values(["seconds", "mean"])
    axes.step(front["seconds"], front["mean"], where="post", color=INK, linewidth=1, zorder=1.5)
    for row in front.itertuples():
        axes.plot(row.seconds, row.mean, "o", color=INK, markersize=sizes[row.budget] + 5, markerfacecolor="none")
    for row in rows.sort_values(["method", "budget"]).itertuples():
        line = {**made.look[row.method].line, "linestyle": ""}
        axes.errorbar(
            [row.seconds],
            [row.mean],
            xerr=[[row.seconds - row.seconds_low], [row.seconds_high - row.seconds]],
            yerr=[[row.mean - row.low], [row.high - row.mean]],
            **line,
            markersize=sizes[row.budget],
            elinewidth=1,
            alpha=PALE if row.pale else 1,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(needed("matplotlib.ticker").FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(needed("matplotlib.ticker").NullFormatter())
