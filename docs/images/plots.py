"""Makes the pictures of docs/plots.md: python docs/images/plots.py."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.distributions import Independent, Normal

import ampbench
from ampbench import registry
from ampbench.interfaces import Task
from ampbench.metrics.references import reference_samples
from ampbench.plots import (
    calibration_plot,
    graph_plot,
    pair_plots,
    posterior_ranks,
    save_figure,
    training_plot,
)
from ampbench.plots.budget import draw_budgets
from ampbench.plots.pareto import draw_pareto
from ampbench.plots.scores import scores
from ampbench.seeding import seeded

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "classic"


def simulate(theta: torch.Tensor) -> torch.Tensor:
    """Return theta with noise."""
    return theta + 0.5 * torch.randn_like(theta)


def main() -> None:
    """Write all pictures."""
    found = registry.load()
    task: Task = found.build("tasks", "hierarchical")
    save_figure(graph_plot(task.graph, task.observed, title="hierarchical"), HERE / "plot_graph.png")

    moons: Task = found.build("tasks", "two_moons")
    one, samples = moons.numbered(1), {}
    for method in ("rejection-abc", "amp:steps=300"):
        posterior = ampbench.infer_graph(moons.graph, list(moons.observed), budget=1000, method=method)
        with seeded(0):
            samples[method] = posterior.sample(one.x, 1000)
    figure = pair_plots(samples, ["theta[0]", "theta[1]"], reference_samples(moons, 1, 2000), one.theta, "two_moons")
    save_figure(figure, HERE / "plot_pairs.png")

    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    fitted = ampbench.infer(prior, simulate, budget=1000, method="amp:steps=400", names=["mu", "nu"])
    save_figure(training_plot(fitted.history, "amp, 1,000 simulations"), HERE / "plot_training.png")
    save_figure(calibration_plot({"amp": posterior_ranks(fitted, 200)}), HERE / "plot_calibration.png")

    table = scores(ampbench.load(RESULTS), tasks=["two_moons", "slcp", "sir"])
    save_figure(draw_budgets(table), HERE / "plot_budget.png")
    save_figure(draw_pareto(table), HERE / "plot_pareto.png")


if __name__ == "__main__":
    main()
