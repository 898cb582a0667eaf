r"""Learned likelihoods against known ones.

The simulator of each task is a black box for the learned factor :math:`\hat p(x \mid \theta)`; the task knows
:math:`p(x \mid \theta)`. With :math:`d(\theta, x) = \log p(x \mid \theta) - \log \hat p(x \mid \theta)`, the table has

``held_out_kl``
    the mean of d over 5,000 fresh simulations: the Kullback-Leibler divergence of the factor, averaged over the prior;
``ratio_error``
    the root mean square of the errors d(θ, x) − d(θ′, x) of log-likelihood ratios, for pairs of exact posterior draws;
``posterior_kl``
    :math:`\mathbb E_{p(\theta \mid x)}[d] + \log \mathbb E_{p(\theta \mid x)}[e^{-d}]`, the Kullback-Leibler divergence
    of the posterior that the learned likelihood implies; the constants cancel;
``accuracy``, ``p_value``
    of the two-sample test of ``diagnose`` on 5,000 fresh simulations.

The errors of ratios and posteriors are means over five observations, ``task.observation(1000)`` to ``(1004)``, with
2,000 draws.

    python certify.py                 all cells that certified.csv lacks
    python certify.py ma2             the cells of some tasks
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tables import append, read
from torch.distributions import Independent, Normal

from ampbench import registry
from ampbench.amp.factors.fitting import black_boxes, learn_factor
from ampbench.amp.factors.method import LEARNING_RATE
from ampbench.amp.factors.surrogate import surrogate
from ampbench.graph import Graph, Simulator, density, join, simulator
from ampbench.interfaces import HasLikelihood, HasReference, Task, silent
from ampbench.seeding import derive, seeded

TABLE = Path(__file__).parent / "certified.csv"
COLUMNS = (
    *("task", "budget", "seed", "family", "held_out_kl", "ratio_error", "posterior_kl", "accuracy", "p_value"),
    "seconds",
)
TASKS = ("gaussian_linear", "lgssm", "ma2", "g_and_k")
FAMILIES = {"maf": "maf", "flow": "flow(dropout=0)", "poor": "gaussian(covariance=diagonal,width=8,depth=0)"}
"""By label; ``poor`` is there to be detected."""
BUDGET, FRESH, DRAWS, OBSERVATIONS, FIRST = 10_000, 5000, 2000, 5, 1000


def black_box(task: Task) -> Graph:
    """Return a graph of two variables, theta with all latents of the task, and x, whose likelihood is unknown."""
    if task.graph.names == ("theta", "x") and task.graph["x"].kind == "simulator":
        return task.graph
    drawn = Simulator(task.graph, task.observed, 1, 0).sample(1)
    size, features = (join(drawn, names).shape[1] for names in (task.latents, task.observed))
    prior = Independent(Normal(torch.zeros(size), 1.0), 1)  # only its support matters
    return Graph(density("theta", prior), simulator("x", _undrawn, ["theta"], size=features))


def _undrawn(theta: torch.Tensor) -> torch.Tensor:
    raise AssertionError("simulations come from the task")


def simulations(task: Task, n: int, seed: int) -> dict[str, torch.Tensor]:
    """Return theta (n, D) and x (n, L)."""
    drawn = Simulator(task.graph, task.observed, n, seed).sample(n)
    return {"theta": join(drawn, task.latents), "x": join(drawn, task.observed)}


def certify(name: str, label: str, seed: int) -> dict[str, Any]:
    """Learn one factor, and return its row."""
    components = registry.load()
    task, family = components.build("tasks", name), components.build("families", FAMILIES[label])
    assert isinstance(task, HasLikelihood)
    assert isinstance(task, HasReference)
    graph = black_box(task)
    (factor,) = black_boxes(graph)
    settings = replace(components.build("methods", "amp").settings.on(BUDGET), learning_rate=LEARNING_RATE)
    start = time.process_time()
    with seeded(derive(seed, name, label)):
        drawn = simulations(task, BUDGET, seed)
        learned = learn_factor(factor, graph, drawn, {label: family}, settings, torch.device("cpu"), silent)
    seconds = time.process_time() - start
    model = surrogate(graph, [learned])

    @torch.no_grad()
    def excess(theta: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        x = x.expand(len(theta), -1)
        return task.log_likelihood(theta, x).double() - model.log_prob({"theta": theta, "x": x}, ["x"]).double()

    fresh = simulations(task, FRESH, derive(seed, "fresh"))
    errors, divergences = [], []
    for i in range(OBSERVATIONS):
        x = task.observation(FIRST + i).x
        d = excess(task.reference(x, DRAWS, i), x)
        errors.append(float((d[::2] - d[1::2]).square().mean()))
        divergences.append(float(d.mean() + (-d).logsumexp(0) - math.log(len(d))))
    tested = learned.diagnose(fresh, 2, 0.01, seed).iloc[0]
    return {
        **{"task": name, "budget": BUDGET, "seed": seed, "family": label, "seconds": seconds},
        **{"held_out_kl": float(excess(fresh["theta"], fresh["x"]).mean())},
        **{"ratio_error": (sum(errors) / OBSERVATIONS) ** 0.5, "posterior_kl": sum(divergences) / OBSERVATIONS},
        **{column: float(tested[column]) for column in ("accuracy", "p_value")},
    }


def main() -> None:
    """Fill the table for the chosen tasks, all of them by default."""
    parser = argparse.ArgumentParser(description="Fill certified.csv.")
    parser.add_argument("tasks", nargs="*", default=TASKS, metavar="TASK")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], metavar="N")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        for name in chosen.tasks:
            for label in FAMILIES:
                if (name, label, str(seed)) not in done():
                    append(TABLE, COLUMNS, [certify(name, label, seed)])


def done() -> set[tuple[str, str, str]]:
    """Return task, family and seed of the rows of the table."""
    return {(row["task"], row["family"], row["seed"]) for row in read(TABLE)}


if __name__ == "__main__":
    main()
