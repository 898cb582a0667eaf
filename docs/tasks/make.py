"""Make the page and the plot of every registered task: ``python docs/tasks/make.py [TASK…]``.

A page is the docstring of the task's module, a table of facts, and a plot: posterior samples of observation 1 where
there is a reference, else simulations from the prior.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ampbench.graph import Simulator, join
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, ShipsReference, Task
from ampbench.metrics.references import reference_samples
from ampbench.registry import Entry, Registry, load

FOLDER = Path(__file__).parent
PAIRS = 5
"""Up to so many parameters are shown in pairs, more as intervals."""
SAMPLES = 2000
MAX_WIDTH = 16.0
"""Largest width of a plot, in inches."""
mpl.use("agg")
mpl.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})


def main() -> None:
    """Write all pages and plots, or those of the tasks named."""
    registry = load()
    entries = registry.entries("tasks")
    for name in sys.argv[1:] or entries:
        task: Task = registry.build("tasks", name)
        figure, caption = plot(task)
        figure.savefig(FOLDER / f"{name}.png", dpi=110)
        plt.close(figure)
        (FOLDER / f"{name}.md").write_text(page(entries[name], task, caption), encoding="utf-8")
        print(name)
    (FOLDER / "index.md").write_text(index(registry), encoding="utf-8")


def page(entry: Entry, task: Task, caption: str) -> str:
    """The page of one task."""
    rows = {
        "source": task.source,
        "version of the definition": task.version,
        "kind": entry.labels["kind"],
        "latent variables": sizes(task, task.latents),
        "observed variables": sizes(task, task.observed),
        "reference": reference(task),
        "`ampbench verify` looks at": abilities(task),
    }
    table = "\n".join(f"| {what} | {value} |" for what, value in rows.items())
    return (
        f"# {entry.name}\n\n{entry.summary[:1].upper()}{entry.summary[1:]}.\n\n"
        f"```{{eval-rst}}\n.. automodule:: {type(task).__module__}\n   :no-members:\n\n"
        f".. autoclass:: {type(task).__module__}.{type(task).__name__}\n   :no-members:\n```\n\n"
        f"|  |  |\n|---|---|\n{table}\n\n"
        f"![{caption}]({entry.name}.png)\n\n{caption}\n"
    )


def sizes(task: Task, names: tuple[str, ...]) -> str:
    """Variables with their sizes, shortened where there are many."""
    shown = [f"{name} ({task.graph[name].size})" for name in names]
    return ", ".join(shown if len(shown) <= 8 else [*shown[:4], f"… {len(shown)} in all …", shown[-1]])


def reference(task: Task) -> str:
    """How the posterior is drawn, or that it is not known."""
    if isinstance(task, HasReference):
        return task.algorithm
    if isinstance(task, ShipsReference):
        stored = [len(task.shipped_reference(number)) for number in task.observations()]
        return f"stored samples only, {min(stored)} of each of {len(stored)} observations"
    return "none: forward-only"


def abilities(task: Task) -> str:
    """What ``ampbench verify`` can look at."""
    known = {
        HasReference: "reference",
        ShipsReference: "stored reference",
        HasLikelihood: "likelihood",
        HasGolden: "golden statistics",
    }
    return ", ".join(word for ability, word in known.items() if isinstance(task, ability)) or "simulations only"


def index(registry: Registry) -> str:
    """The list of tasks."""
    entries = registry.entries("tasks")
    rows = [
        " | ".join([f"| [{name}]({name}.md)", *entry.labels.values(), entry.summary, f"{entry.source} |"])
        for name, entry in entries.items()
    ]
    return (
        "# Tasks\n\n"
        "Sizes are those of the default options. *exact*: posterior samples for any observation; *stored*: stored\n"
        "posterior samples of the numbered observations; *forward-only*: judged by calibration; *structured*: several\n"
        "latent variables. `ampbench verify TASK` certifies any of them. The pages are made by\n"
        "`docs/tasks/make.py`.\n\n"
        "| task | theta | x | kind | what it is | source |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\n```{toctree}\n:hidden:\n\n"
        + "\n".join(entries)
        + "\n```\n"
    )


def plot(task: Task) -> tuple[Figure, str]:
    """The figure of a task, and what it shows."""
    if not isinstance(task, HasReference | ShipsReference):
        return predictive(task)
    observation = task.numbered(1)
    theta = reference_samples(task, 1, SAMPLES).numpy()
    truth = observation.theta.numpy()
    known = "" if np.isnan(truth).all() else "; red: the parameters that made it"
    names = components(task)
    if len(names) <= PAIRS:
        return pairs(theta, truth, names), f"{SAMPLES} reference samples for observation 1{known}."
    return intervals(theta, truth, names), f"Medians, 50% and 95% intervals of the posterior of observation 1{known}."


def components(task: Task) -> list[str]:
    """Names of theta's components."""
    return [
        name if task.graph[name].size == 1 else f"{name}[{i}]"
        for name in task.latents
        for i in range(task.graph[name].size or 0)
    ]


def pairs(theta: np.ndarray, truth: np.ndarray, names: list[str]) -> Figure:
    """Histograms on the diagonal, points below it."""
    size = len(names)
    figure, axes = plt.subplots(size, size, figsize=(1.5 + 1.3 * size,) * 2, squeeze=False, layout="constrained")
    for i in range(size):
        for j in range(size):
            axis: Axes = axes[i, j]
            if j > i:
                axis.remove()
            elif i == j:
                axis.hist(theta[:, i], bins=40, color="0.6")
                axis.axvline(truth[i], color="tab:red")
                axis.set_yticks([])
                axis.set_xlabel(names[i])
            else:
                axis.plot(theta[:, j], theta[:, i], ",", color="0.3", alpha=0.6)
                axis.plot(truth[j], truth[i], "+", color="tab:red", markersize=8)
                axis.set_xlabel(names[j])
                axis.set_ylabel(names[i])
    return figure


def intervals(theta: np.ndarray, truth: np.ndarray, names: list[str]) -> Figure:
    """One vertical line per component."""
    levels = np.quantile(theta, [0.025, 0.25, 0.5, 0.75, 0.975], axis=0)
    figure, axis = plt.subplots(figsize=(min(max(4.5, 0.3 * len(names)), MAX_WIDTH), 3), layout="constrained")
    place = np.arange(len(names))
    axis.vlines(place, levels[0], levels[4], color="0.6", lw=1.5)
    axis.vlines(place, levels[1], levels[3], color="0.3", lw=4)
    axis.plot(place, levels[2], "o", color="white", markeredgecolor="0.2", markersize=4)
    axis.plot(place, truth, "_", color="tab:red", markersize=10, markeredgewidth=2)
    stride = math.ceil(0.2 * len(names) / MAX_WIDTH)
    axis.set_xticks(place[::stride], names[::stride], rotation=90)
    return figure


def predictive(task: Task) -> tuple[Figure, str]:
    """Simulations from the prior, component by component, with observation 1."""
    source = Simulator(task.graph, task.observed, 30, seed=1)
    x = join(source.sample(30), source.observed).numpy()
    figure, axis = plt.subplots(figsize=(5.5, 3), layout="constrained")
    axis.plot(np.arange(x.shape[1]), x.T, color="0.6", lw=0.7)
    axis.plot(np.arange(x.shape[1]), task.numbered(1).x.numpy(), color="tab:red", lw=1.5)
    axis.set_xlabel("component of x")
    axis.set_ylabel("value")
    if np.abs(x).max() > 1e3:
        axis.set_yscale("symlog")
    return figure, "Thirty simulations with parameters from the prior; red: observation 1."


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
