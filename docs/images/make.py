"""Draw landing.png: draws of three posteriors of two_moons, and the scores of ``results/classic``.

    ampbench run --task two_moons --observation 6 --budget 10000 --metric c2st --results DIR --method rejection-abc \
        --method amp:divergence=forward-kl,family=flow,steps=3000
    python docs/images/make.py DIR

Draws are not committed, so that the first command makes them; the scores are those of the committed records.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

import ampbench
from ampbench import registry
from ampbench.metrics.references import reference_samples
from ampbench.plots.figures import new_figure
from ampbench.reporting.labels import labels
from ampbench.results.store import Store

FOLDER = Path(__file__).parent
CLASSIC = FOLDER.parents[1] / "results" / "classic"
OBSERVATION, BUDGET, SHOWN = 6, 10_000, 3000
MARGIN = 0.12
"""Around the exact draws, in units of theta."""
INK, EXACT, OURS, OTHER = "0.25", "#555555", "#0072b2", "#d55e00"
"""Colours that people with any colour vision can tell apart: Okabe & Ito 2008."""


def scores() -> pd.DataFrame:
    """Return the C2ST of configurations (rows, the lowest mean first) on the tasks on which all of these were run."""
    have = ampbench.load(CLASSIC)
    have = have[(have["status"] == "ok") & (have["seed"] == 0) & (have["budget"] == BUDGET)]
    table = have.pivot_table(index="method", columns="task", values="c2st").rename(
        index=labels(have["method"].unique())
    )
    table = table[table["lotka_volterra"].notna()].dropna(axis=1)
    return table.loc[table.mean(axis=1).sort_values().index]


def draw_samples(axis: Axes, draws: Tensor, around: Tensor, title: str, color: str) -> None:
    """Draw samples in the region of the exact ones."""
    axis.plot(*draws[:SHOWN].T, ".", color=color, markersize=2, alpha=0.4, markeredgewidth=0)
    low, high = around.min(0).values - MARGIN, around.max(0).values + MARGIN
    axis.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[], aspect="equal")
    axis.spines[:].set_color("0.8")
    axis.set_title(title, fontsize=9, color=INK)


def draw_scores(axis: Axes, table: pd.DataFrame) -> None:
    """Draw a point for each task, and a line at the mean, in a row for each configuration."""
    for place, (name, row) in enumerate(table.iterrows()):
        color = OURS if str(name).startswith("amp") else OTHER
        axis.plot(row, [place] * len(row), "o", color=color, alpha=0.45, markersize=5, markeredgewidth=0)
        axis.plot([row.mean()] * 2, [place - 0.35, place + 0.35], color=color, linewidth=2.5)
    axis.axvline(0.5, color="0.7", linewidth=1, zorder=0)
    axis.set(xlim=(0.48, 1.02), ylim=(len(table) - 0.5, -0.5))
    axis.set_yticks(range(len(table)), table.index, fontsize=9)
    axis.set_xlabel(f"C2ST on {table.shape[1]} tasks, {BUDGET:,} simulations (0.5: exact)", fontsize=9)
    axis.tick_params(length=0, colors=INK, labelsize=8)
    axis.spines[:].set_visible(False)


def main() -> None:
    """Draw the picture from the results in the folder that the command line names."""
    store = Store(Path(sys.argv[1]))
    runs = ampbench.load(sys.argv[1]).query("observation == @OBSERVATION").set_index("method")
    figure = new_figure(10.5, 2.9)
    grid = figure.add_gridspec(1, 4, width_ratios=[1, 1, 1, 1.45])
    exact = reference_samples(registry.load().build("tasks", "two_moons"), OBSERVATION, SHOWN)
    draw_samples(figure.add_subplot(grid[0]), exact, exact, "exact", EXACT)
    named = {"amp": ("AMP, flow", OURS), "rejection-abc": ("rejection ABC", OTHER)}
    for column, (method, (title, color)) in enumerate(named.items(), start=1):
        (spec,) = (each for each in runs.index if each.startswith(method))
        title = f"{title}: C2ST {runs.loc[spec, 'c2st']:.2f}"
        draw_samples(figure.add_subplot(grid[column]), store.samples(runs.loc[spec, "key"]), exact, title, color)
    draw_scores(figure.add_subplot(grid[3]), scores())
    figure.savefig(FOLDER / "landing.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
