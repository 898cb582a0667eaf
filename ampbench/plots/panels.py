"""Panels of scores: one for each task, with one look for each method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ampbench.errors import UsageError
from ampbench.figures.style import QUIET, Look, frame, looks, needed, new_figure, shown
from ampbench.plots.scores import Scores
from ampbench.reporting.labels import labels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_COLUMNS = 4
"""Largest number of panels beside one another."""
MAX_PANELS = 40
"""Largest number of panels of a figure."""
PANEL = (2.9, 2.3)
"""Width and height of a panel, in inches."""
MIN_WIDTH = 5.6
"""Smallest width of a figure, in inches: that of its legend."""
DODGE = 2.4
"""Distance of the symbols of two methods with equal data, in points."""
MAX_REMARKS = 3
"""Largest number of remarks below a figure; a command prints all."""
NULL_SCORES = {"c2st": 0.5}
"""By metric, the score of samples that equal the reference."""
BOUNDS = {"c2st": (0.47, 1.02)}
"""By metric, the limits of its axis; that of other metrics follows from the scores."""


@dataclass(frozen=True)
class Panel:
    """A panel of one task.

    Attributes:
        axes: the axes of matplotlib.
        rows: the rows of the task.
    """

    axes: Axes
    rows: pd.DataFrame

    def methods(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield each method with its rows, budgets in ascending order."""
        for method, part in self.rows.groupby("method", sort=True):
            yield str(method), part.sort_values("budget")


@dataclass(frozen=True)
class Panels:
    """A figure with a panel for each task.

    Attributes:
        figure: the figure of matplotlib.
        panels: its panels.
        look: how each method is drawn, in all panels.
    """

    figure: Figure
    panels: tuple[Panel, ...]
    look: Mapping[str, Look]

    def offset(self, axes: Axes, method: str) -> Any:
        """Return coordinates of the data in which a method is a few points beside the others."""
        place = list(self.look).index(method) - (len(self.look) - 1) / 2
        moved = needed("matplotlib.transforms").ScaledTranslation(place * DODGE / 72, 0, self.figure.dpi_scale_trans)
        return axes.transData + moved


def new_panels(found: Scores) -> Panels:
    """Return empty panels with titles and the axis of the scores."""
    groups = list(found.table.groupby(["task", "samples"], sort=True))
    if len(groups) > MAX_PANELS:
        raise UsageError(f"{len(groups)} tasks, but a figure has at most {MAX_PANELS} panels; select tasks by --task")
    columns = min(MAX_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(max(MIN_WIDTH, PANEL[0] * columns), PANEL[1] * rows + (0.6 if rows == 1 else 0.2))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=found.metric in BOUNDS).ravel()
    several = found.table.groupby("task")["samples"].nunique().max() > 1
    panels = []
    for each, ((task, samples), part) in zip(axes, groups, strict=False):
        each.set_title(shown(f"{task}, samples {samples:,}" if several else str(task), 34))
        if found.metric in NULL_SCORES:
            each.axhline(NULL_SCORES[found.metric], color=QUIET, linewidth=0.8, linestyle=":", zorder=1)
        if found.metric in BOUNDS:
            each.set_ylim(*BOUNDS[found.metric])
        panels.append(Panel(each, part))
    for i, each in enumerate(axes):
        if i >= len(groups):
            each.remove()
        if i % columns == 0:
            each.set_ylabel(shown(found.metric, 30))
    return Panels(figure, tuple(panels), looks(sorted(found.table["method"].unique())))


def finish(made: Panels, title: str, axis: str, found: Scores, extra: Mapping[str, Any]) -> Figure:
    """Add title, horizontal axis, remarks, and a legend of the methods and of further handles by their labels."""
    lines = needed("matplotlib.lines")
    named = labels(made.look)
    handles = [lines.Line2D([], [], **look.line) for look in made.look.values()]
    names = [shown(named[method]) for method in made.look]
    told = [shown(text, 160) for text in found.remarks[:MAX_REMARKS]]
    if (more := len(found.remarks) - MAX_REMARKS) > 0:
        told.append(f"and {more} more remarks")
    return frame(made.figure, title, [*handles, *extra.values()], [*names, *extra], told, axis)
