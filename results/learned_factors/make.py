"""Learned factors against the inverse alone: every part of the mixture, and the mixture, at fresh observations.

A cell is a task, a budget and a seed. Its method is trained once, and C2ST by a random forest is computed for each part
of the mixture at ``task.observation(1000)`` to ``(1004)``, which are not the published ones. Of repeated variables, a
hierarchy is trained on 3 to 100 groups, and the roots of 10 and of 100 groups are compared.

    python make.py                    all cells that table.csv lacks
    python make.py slcp two_moons     the cells of some tasks
    python make.py --seeds 0 1 2      three seeds
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tables import append, read
from torch import Tensor

from ampbench import registry
from ampbench.amp.factors import LearnedFactors
from ampbench.amp.factors import method as learned_factors
from ampbench.amp.factors.templates import TemplateFactorPosterior
from ampbench.graph import Simulator, join
from ampbench.interfaces import Posterior, Task, fit
from ampbench.seeding import seeded
from ampbench_tasks import hierarchical
from ampbench_tasks.hierarchical import Hierarchical

TABLE = Path(__file__).parent / "table.csv"
COLUMNS = ("task", "budget", "seed", "part", "weight", "score", "c2st", "seconds", "share", "spec")
SAMPLES, OBSERVATIONS, FIRST = 5000, 5, 1000
INVERSE = "amp=amp(divergence=forward-kl,family=flow)"
FLOWS = f"amp-learned:{INVERSE},factors=maf,alternatives.flow=flow(dropout=0)"
COUNTS = f"amp-learned:{INVERSE},factors=flow(dropout=0),alternatives.mixture=mixture"
BITS = f"amp-learned:{INVERSE},factor.x=bernoulli"
CELLS: Mapping[str, tuple[str, int]] = {
    "slcp": (FLOWS, 10_000),
    "two_moons": (FLOWS, 10_000),
    "gaussian_mixture": (FLOWS, 10_000),
    "sir": (COUNTS, 10_000),
    "bernoulli_glm_raw": (BITS, 10_000),
}
"""By task, the method and the budget."""
TEMPLATE = "amp-templates(divergence=forward-kl,family=flow(dropout=0),steps=4000,learning_rate=0.001)"
HIERARCHY = f"amp-learned:amp={TEMPLATE},factors=maf,draws=3000000"
HIERARCHY_BUDGET, GROUPS = 100_000, (10, 100)


def flat(name: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each part of the mixture, and for the mixture."""
    spec, budget = CELLS[name]
    components = registry.load()
    task, method = components.build("tasks", name), components.build("methods", spec)
    assert isinstance(method, LearnedFactors)
    parts: dict[str, Any] = {}

    def stack(inverses: Any, factors: Any, model: Any, simulator: Any, *rest: Any) -> Any:
        parts.update(inverses)
        if reweighting := learned_factors.reweighting_of(inverses, model, simulator):
            parts["resampled"] = reweighting
        return original(inverses, factors, model, simulator, *rest)

    original, learned_factors.stack = learned_factors.stack, stack  # the parts without weight are not kept
    try:
        posterior, seconds = timed(method, Simulator(task.graph, task.observed, budget, seed))
    finally:
        learned_factors.stack = original
    parts["stacked"] = posterior
    found = {label: scores(task, part) for label, part in parts.items()}
    share = sum(posterior.effective_share(task.observation(FIRST + i).x) for i in range(OBSERVATIONS)) / OBSERVATIONS
    for label, c2st in found.items():
        yield {
            **{"task": name, "budget": budget, "seed": seed, "part": label, "spec": spec, "seconds": seconds},
            **{"weight": posterior.stacking.weights.get(label, 0.0), "score": posterior.stacking.scores[label]},
            **{"c2st": c2st, "share": share},
        }


def scores(task: Task, posterior: Posterior) -> float:
    """Return the mean C2ST over fresh observations."""
    metric, found = registry.load().build("metrics", "c2st-rf"), []
    for i in range(OBSERVATIONS):
        x = task.observation(FIRST + i).x
        with seeded(i):
            samples = posterior.sample(x, SAMPLES)
        found.append(float(metric.measure(samples, task.reference(x, SAMPLES, i)).value))
    return sum(found) / len(found)


def repeated(seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for the inverse trained on simulations, and for the one trained on draws, at each size."""
    method = registry.load().build("methods", HIERARCHY)
    assert isinstance(method, LearnedFactors)
    inverses: list[Any] = []
    original = method.amp.train_on

    def train_on(*arguments: Any) -> Any:
        inverses.append(original(*arguments))
        return inverses[-1]

    method.amp.train_on = train_on
    source = Simulator(hierarchical.template((3, 100)), ("y",), HIERARCHY_BUDGET, seed)
    posterior, seconds = timed(method, source)
    assert isinstance(posterior, TemplateFactorPosterior)
    for groups in GROUPS:
        task = Hierarchical(groups=groups)
        for label, inverse in zip(("simulations", "draws"), inverses, strict=True):
            yield {
                **{"task": f"hierarchical {groups}", "budget": HIERARCHY_BUDGET, "seed": seed, "part": label},
                **{"weight": float(posterior.choice.on_draws == (label == "draws")), "seconds": seconds},
                **{"score": posterior.choice.scores[label], "c2st": roots(task, inverse), "spec": HIERARCHY},
            }


def roots(task: Hierarchical, inverse: Any) -> float:
    """Return the mean C2ST of (mu, tau) over fresh observations."""
    metric, found = registry.load().build("metrics", "c2st-rf"), []
    for i in range(OBSERVATIONS):
        x = task.observation(FIRST + i).x
        with seeded(i):
            drawn = inverse.sample_variables({"y": x.reshape(len(task.counts), -1)}, SAMPLES)
        samples: Tensor = join(drawn, ("mu", "tau"))
        found.append(float(metric.measure(samples, task.reference(x, SAMPLES, i)[:, :2]).value))
    return sum(found) / len(found)


def timed(method: LearnedFactors, source: Simulator) -> tuple[Any, float]:
    """Fit, and return the posterior with seconds of processor time."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = fit(method, source)
    return posterior, time.process_time() - start


def main() -> None:
    """Fill the table for the chosen tasks, all of them by default."""
    parser = argparse.ArgumentParser(description="Fill table.csv.")
    parser.add_argument("tasks", nargs="*", default=[*CELLS, "hierarchical"], metavar="TASK")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], metavar="N")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        for name in chosen.tasks:
            if (name, str(seed)) not in done():
                append(TABLE, COLUMNS, list(repeated(seed) if name == "hierarchical" else flat(name, seed)))


def done() -> set[tuple[str, str]]:
    """Return tasks and seeds of the table."""
    return {(row["task"].split()[0], row["seed"]) for row in read(TABLE)}


if __name__ == "__main__":
    main()
