r"""Local against global: what one adversary per tuple buys as a graph grows (Karaletsos 2016, sections 3.1 and 5.1).

The chain :math:`z_T \to \dots \to z_1 \to x` of the paper's section 5.1, linear-Gaussian and stationary,

.. math:: z_T \sim \mathcal N(0, 1), \qquad z_t \sim \mathcal N(0.9\, z_{t+1}, 1 - 0.9^2), \qquad
          x \sim \mathcal N(z_1, 0.5^2),

has the inverse :math:`q(z_1 | x)\, q(z_2 | z_1) \cdots q(z_T | z_{T-1})`: every local adversary sees two numbers,
however long the chain, while a global one sees T + 1. The tree is the task ``gaussian_tree``. The exact posterior of
either is a Gaussian in closed form.

Local message passing takes :data:`STEPS` steps, and its processor time is what the other methods get on the same graph,
with the same simulations. Samples are compared with exact ones by a classifier two-sample test (C2ST): tuples of the
inverse, spread over the graph, and all latents jointly, given each of five observations.

    python make.py              every cell that table.csv does not hold yet, then plot.png
    python make.py chain_50     the cells of one graph only
    python make.py controls     what the test says of samples that are wrong in known ways: controls.csv

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
    Ramesh et al. 2022, *GATSBI: generative adversarial training for simulation-based inference*, arXiv:2203.06481.
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ampbench import registry
from ampbench.amp.sites import sites
from ampbench.graph import Graph, Simulator, join, simulator
from ampbench.interfaces import Method, Posterior, fit
from ampbench.seeding import seeded
from ampbench_tasks.gaussian_tree import GaussianTree
from ampbench_tasks.linear_gaussian import LinearGaussian, scalar

LENGTHS = (2, 5, 10, 20, 50)
BUDGET = 10_000
STEPS = 800
"""Of local message passing; its time is everybody's."""

SAMPLES = 2000
"""On each side of a C2ST."""

OBSERVATIONS = 5
PLACES = 3
"""Tuples per graph that are tested, evenly spread from the first sampled to the last."""

SMALL = "width=64,depth=0"
COMMON = f"family=implicit({SMALL}),held_out=0.05,checks=10"
JSD = "jsd(refine=0)"
"""Without resampling of draws: local fits, which have several tuples, cannot resample theirs."""
LOCAL = f"amp:divergence=jsd({SMALL}),learning_rate=0.004,adversary_learning_rate=0.004,{COMMON},steps={{length}}"
METHODS = {
    "local": LOCAL,
    "global": f"amp:scope=global,divergence={JSD},{COMMON},steps={{length}}",
    "global, flat": f"amp:scope=global,divergence={JSD},held_out=0.05,checks=10,steps={{length}}",
    "npe": "npe:max_epochs={length}",
    "local, teacher forcing": f"{LOCAL},teacher_forcing=true",
}
"""Specs, with the length of the training left open: steps, or epochs."""

FLAT = {"global, flat"}
"""Methods that do not see the graph: one family for all latents at once, as in GATSBI; ``npe`` does so by itself."""

TRIALS = {"npe": (1, 3)}
"""Two short lengths, (10, 40) unless named here, from whose times the time of a long training is foreseen."""

FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = (
    *("graph", "latents", "method", "length", "cpu_seconds", "wall_seconds"),
    *("tuple", "tuple_worst", "joint", "spec", "finished"),
)


def chain(length: int) -> LinearGaussian:
    """Return the chain with latents z_1 … z_length and observed x."""
    step = (1 - 0.9**2) ** 0.5
    below = [scalar(f"z_{t}", step, **{f"z_{t + 1}": 0.9}) for t in range(length - 1, 0, -1)]
    return LinearGaussian([scalar(f"z_{length}", 1.0), *below, scalar("x", 0.5, z_1=1.0)], ["x"])


def graphs() -> dict[str, LinearGaussian]:
    """Return the models by name."""
    return {f"chain_{length}": chain(length) for length in LENGTHS} | {"tree": GaussianTree(depth=3).model}


def latents(model: LinearGaussian) -> list[str]:
    """Names of the inferred variables, in the order of a posterior's components."""
    return list(model.graph.latents(model.observed))


def flat(model: LinearGaussian) -> Graph:
    """Return the same model as two variables only: all latents z, joined, and all observed ones, x."""
    names = latents(model)

    def observed(z: Tensor) -> Tensor:
        return join(model.graph.sample(len(z), given=model.graph.split(z, names)), model.observed)

    return Graph(simulator("z", lambda n: join(model.graph.sample(n), names)), simulator("x", observed, ["z"]))


def places(model: LinearGaussian) -> list[tuple[str, ...]]:
    """Return the variables of up to :data:`PLACES` tuples, in sampling order."""
    found = sites(model.graph.inverse(model.observed), model.observed, "local")
    chosen = np.unique(np.linspace(0, len(found) - 1, PLACES).round().astype(int))
    return [(*found[i].variables, *found[i].context) for i in chosen]


def c2st(samples: Tensor, reference: Tensor) -> float:
    """Accuracy on one half of the rows of a classifier trained on the other half: two layers of 64, stopped early."""
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    scaled = (torch.cat([samples, reference]) - reference.mean(0)) / reference.std(0)
    labels = np.repeat([0, 1], [len(samples), len(reference)])
    train, test, train_labels, test_labels = train_test_split(
        scaled.numpy(), labels, test_size=0.5, random_state=0, stratify=labels
    )
    classifier = MLPClassifier((64, 64), early_stopping=True, max_iter=500, random_state=0)
    return float(classifier.fit(train, train_labels).score(test, test_labels))


def judge(model: LinearGaussian, posterior: Posterior) -> dict[str, float | str]:
    """Compare a posterior with the exact one, given each of some observations: means over these."""
    scopes = places(model)
    tuples, joints = [], []
    for seed in range(1, OBSERVATIONS + 1):
        x = observe(model, 1, seed)
        drawn, exact = posterior.sample(x[0], SAMPLES), model.sample(x[0], SAMPLES, seed)
        tuples.append([c2st(part(model, drawn, scope), part(model, exact, scope)) for scope in scopes])
        joints.append(c2st(drawn, exact))
    return {
        "tuple": float(np.mean(tuples)),
        "tuple_worst": float(np.mean(tuples, 0).max()),
        "joint": float(np.mean(joints)),
    }


def observe(model: LinearGaussian, n: int, seed: int) -> Tensor:
    """Draw n observations from the model, shape (n, L)."""
    return join(Simulator(model.graph, model.observed, n, seed).sample(n), model.observed)


def part(model: LinearGaussian, theta: Tensor, scope: Sequence[str]) -> Tensor:
    """Return the latent components (n, D) of a tuple, from those of all latents."""
    values = model.graph.split(theta, latents(model))
    return join(values, [name for name in scope if name in values])


def build(method: str, length: int) -> Method:
    """Return a method whose training has a given length."""
    return registry.load().build("methods", METHODS[method].format(length=length))


def timed(model: LinearGaussian, method: str, length: int) -> tuple[Posterior, float, float]:
    """Fit, and return the posterior with seconds of processor time and of wall-clock time."""
    graph, observed = (flat(model), ("x",)) if method in FLAT else (model.graph, model.observed)
    source = Simulator(graph, observed, BUDGET, 0)
    cpu, wall = time.process_time(), time.perf_counter()
    posterior = fit(build(method, length), source)
    return posterior, time.process_time() - cpu, time.perf_counter() - wall


def foresee(model: LinearGaussian, method: str, seconds: float) -> int:
    """Return the length of training that takes so many seconds of processor time, by a line through two trials."""
    short, long = TRIALS.get(method, (10, 40))
    timed(chain(2), method, short)  # what happens only once, such as imports, is not to be counted
    first, second = (timed(model, method, length)[1] for length in (short, long))
    return max(long, round(short + (seconds - first) / (second - first) * (long - short)))


def run(graph: str, model: LinearGaussian, method: str, seconds: float | None) -> dict[str, float | str]:
    """Fit and judge one cell of the table; local message passing sets the clock for the others."""
    length = STEPS if seconds is None else foresee(model, method, seconds)
    posterior, cpu, wall = timed(model, method, length)
    with seeded(1):
        judged = judge(model, posterior)
    return {
        "graph": graph,
        "latents": len(latents(model)),
        "method": method,
        "length": length,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        **judged,
        "spec": METHODS[method].format(length=length),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def rows() -> list[dict[str, str]]:
    """The table so far."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def append(row: Mapping[str, float | str]) -> None:
    """Write a row at the end of the table, at once."""
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(rounded(row))


def rounded(row: Mapping[str, float | str]) -> dict[str, float | str]:
    """Cut the numbers to four digits."""
    return {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}


def fill(graph: str, methods: Sequence[str]) -> None:
    """Run the cells of one graph that the table does not hold yet."""
    model = graphs()[graph]
    for method in methods:
        done = {row["method"]: float(row["cpu_seconds"]) for row in rows() if row["graph"] == graph}
        if method not in done:
            row = run(graph, model, method, None if method == "local" else done["local"])
            append(row)
            print(*(row[name] for name in COLUMNS[:9]), flush=True)


class Wrong(Posterior):
    """Exact posterior samples, made wrong in a known way.

    Arguments:
        model: whose posterior.
        spoil: from exact samples (n, D) to wrong ones.
    """

    def __init__(self, model: LinearGaussian, spoil: Callable[[Tensor], Tensor]) -> None:
        self.model = model
        self.spoil = spoil

    def sample(self, observation: Tensor, n: int) -> Tensor:
        """Draw, (L,) -> (n, D), with other random numbers than the reference's."""
        return self.spoil(self.model.sample(observation, n, int(torch.randint(10_000, 2**31, ()))))


def controls(model: LinearGaussian) -> None:
    """Write what :func:`judge` says of known faults, so that its other values can be read."""
    with seeded(0):
        prior = join(model.graph.sample(100_000), latents(model))
    faults: dict[str, Callable[[Tensor], Tensor]] = {
        "none": lambda exact: exact,
        "10 % too wide": lambda exact: exact.mean(0) + 1.1 * (exact - exact.mean(0)),
        "25 % too wide": lambda exact: exact.mean(0) + 1.25 * (exact - exact.mean(0)),
        "the prior": lambda exact: prior[torch.randint(len(prior), (len(exact),))],
        "no correlations": lambda exact: torch.stack([c[torch.randperm(len(c))] for c in exact.T], 1),
    }
    with (FOLDER / "controls.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ("fault", "tuple", "tuple_worst", "joint"), lineterminator="\n")
        writer.writeheader()
        for fault, spoil in faults.items():
            with seeded(1):
                writer.writerow(rounded({"fault": fault, **judge(model, Wrong(model, spoil))}))


def plot() -> None:
    """Draw C2ST against the number of latents, one line per method; the tree stands apart, at the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(graphs())
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, column in zip(axes, ("tuple", "joint"), strict=True):
        for i, method in enumerate(METHODS):
            found = {row["graph"]: float(row[column]) for row in rows() if row["method"] == method}
            where = [name for name in names if name in found]
            for part_of in ([n for n in where if n != "tree"], [n for n in where if n == "tree"]):
                heights = [found[name] for name in part_of]
                label = method if part_of and part_of[0] != "tree" else None
                axis.plot(
                    [names.index(name) for name in part_of], heights, "os^vD"[i] + "-", color=f"C{i}", label=label
                )
        axis.axhline(0.5, color="grey", linewidth=0.8)
        axis.set_xticks(range(len(names)), [name.replace("chain_", "T = ") for name in names])
        axis.set_title(f"{column}, against the exact posterior")
        axis.set_ylim(0.45, 1.02)
    axes[0].set_ylabel("C2ST (0.5: indistinguishable)")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(FOLDER / "plot.png", dpi=120, metadata={"Software": None})


def main(chosen: Sequence[str]) -> None:
    """Fill the table for the chosen graphs, all of them by default, and draw it."""
    torch.set_num_threads(1)
    if chosen == ["controls"]:
        controls(chain(50))
        return
    for graph in chosen or graphs():
        fill(graph, [method for method in METHODS if graph == "chain_50" or method != "local, teacher forcing"])
    plot()


if __name__ == "__main__":
    main(sys.argv[1:])
