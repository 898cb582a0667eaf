"""Scores against the number of simulations: a panel for each task, a curve with intervals for each method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ampbench.figures.style import shown, styled
from ampbench.plots.panels import Panel, Panels, finish, new_panels
from ampbench.plots.scores import Scores, scores

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MAX_LEVEL_TICKS = 4
"""Largest number of budgets whose numbers are horizontal."""


def budget_plot(
    frame: pd.DataFrame,
    metric: str | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    budgets: Sequence[int] = (),
) -> Figure:
    """Return mean scores with 95 % intervals against the number of simulations, on a logarithmic axis.

    Symbols of methods at one budget are a few points beside each other. A mean whose error is unknown has no bar.

    Arguments:
        frame, metric, tasks, methods, budgets: see :func:`ampbench.plots.scores.scores`.

    Raises:
        UsageError: matplotlib is not installed, nothing is selected, or no run has a value of the metric.
        ResultsError: the frame does not follow the schema.
    """
    return draw_budgets(scores(frame, metric, tasks, methods, budgets))


@styled
def draw_budgets(found: Scores) -> Figure:
    """Return the figure of mean scores that :func:`ampbench.plots.scores.scores` computed."""
    made = new_panels(found)
    for panel in made.panels:
        _draw(panel, made, sorted(found.table["budget"].unique()))
    title = f"mean {shown(found.metric)} with 95 % intervals; lower is better"
    return finish(made, title, "number of simulations", found, {})


def _draw(panel: Panel, made: Panels, budgets: Sequence[int]) -> None:
    axes = panel.axes
    for method, rows in panel.methods():
        axes.errorbar(
            rows["budget"],
            rows["mean"],
            yerr=[rows["mean"] - rows["low"], rows["high"] - rows["mean"]],
            **made.look[method].line,
            elinewidth=1,
            capsize=2,
            transform=made.offset(axes, method),
        )
    axes.set_xscale("log")
    axes.set_xlim(budgets[0] / 1.8, budgets[-1] * 1.8)
    axes.set_xticks(budgets, [f"{budget:,}" for budget in budgets])
    axes.set_xticks([], minor=True)
    if len(budgets) > MAX_LEVEL_TICKS:
        axes.tick_params(axis="x", rotation=45)
