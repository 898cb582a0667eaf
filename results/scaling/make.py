"""Scaling: time and memory of ``amp`` against the size of the problem and of the machine.

Every cell is a process of its own, which fits a model for few steps, so that the table has the time of a step, what a
fit takes besides, and the peak memory. The axes:

``simulations``
    θ and x have two components, from 1,000 to 1,000,000 simulations;
``theta``, ``x``
    10,000 simulations, and x = Aθ + ε with a growing number of components of either, the other has two;
``length``
    a Gaussian state space, as one flat graph and as a template;
``groups``
    the task ``hierarchical`` as a template;
``members``
    ensembles, whose members are trained as one stack, on 1,000 simulations;
``workers``
    eight fits by ``ampbench run`` with several workers: the clock is what counts here.

    python make.py                       every cell that table.csv lacks
    python make.py simulations x         the cells of some axes
    python make.py --up-to 10 length     cells of small values only
    python plot.py                       draw plot.png
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench.amp.templates.posterior import TemplatePosterior
from ampbench.graph import Graph, Simulator, density, join, simulator
from ampbench.interfaces import Posterior, fit
from ampbench.registry import load
from ampbench.seeding import seeded

FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = (
    *("axis", "value", "method", "simulate_seconds", "step_ms", "fit_seconds", "wall_seconds", "sample_seconds"),
    *("peak_mb", "load", "finished"),
)
STEPS = 17
"""Of which 16 are timed: gradient penalties may be part of every eighth step only."""
SERIES = 2000
"""Simulations of models with repeated variables."""
FITS = 8
"""Of the axis ``workers``."""
METHODS = {
    "jsd": "amp:divergence=jsd(refine=0),family=implicit,checks=1",
    "flow": "amp:divergence=forward-kl,family=flow,checks=1",
    "flat": "amp:divergence=forward-kl,family=gaussian,checks=1",
    "template": "amp-templates:divergence=forward-kl,family=gaussian,checks=1",
    "template jsd": "amp-templates:divergence=jsd(refine=0),family=implicit,checks=1",
}


class Axis(NamedTuple):
    """A quantity that grows.

    Attributes:
        values: the sizes.
        methods: names of :data:`METHODS`.
        model: from a size to the simulator, whose budget and variables may depend on it.
    """

    values: Sequence[int]
    methods: Sequence[str]
    model: Callable[[int, str], Simulator]


def linear(theta: int, x: int, budget: int) -> Simulator:
    """θ ~ N(0, 1) of some size, x = Aθ + ε of another, A with unit rows."""
    with seeded(0):
        A = torch.randn(x, theta) / theta**0.5
    prior = Independent(Normal(torch.zeros(theta), torch.ones(theta)), 1)

    def simulate(values: Tensor) -> Tensor:
        return values @ A.T + 0.5 * torch.randn(len(values), x)

    return Simulator(Graph(density("theta", prior), simulator("x", simulate, ["theta"])), ["x"], budget, seed=0)


def state_space(length: int, method: str) -> Simulator:
    """Return a state space as one flat graph, or as a template, whose budget counts times."""
    from ampbench_tasks.lgssm import template

    graph = template(length)
    if method == "flat":
        flat = graph.ground({"time": length})
        return Simulator(flat, [name for name in flat.names if name.startswith("x")], SERIES, seed=0)
    return Simulator(graph, ["x"], SERIES * length, seed=0)


def hierarchy(groups: int, method: str) -> Simulator:
    """Return a hierarchy as a template, whose budget counts groups."""
    from ampbench_tasks.hierarchical import template

    return Simulator(template(groups), ["y"], SERIES * groups, seed=0)


AXES = {
    "simulations": Axis((1000, 10_000, 100_000, 1_000_000), ("jsd", "flow"), lambda n, _: linear(2, 2, n)),
    "theta": Axis((1, 3, 10, 30, 100), ("jsd", "flow"), lambda n, _: linear(n, 2, 10_000)),
    "x": Axis((2, 10, 100, 1000), ("jsd", "flow"), lambda n, _: linear(2, n, 10_000)),
    "length": Axis((3, 10, 30, 100, 300), ("flat", "template", "template jsd"), state_space),
    "groups": Axis((3, 10, 30, 100, 300), ("template", "template jsd"), hierarchy),
    "members": Axis((1, 4, 16, 64), ("jsd", "flow"), lambda n, _: linear(2, 2, 1000)),
    "workers": Axis((1, 2, 4, 8, 16), ("flow",), lambda n, _: linear(2, 2, 1000)),
}


def main() -> None:
    """Run the cells that the table lacks, each in a new process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("axes", nargs="*", metavar="AXIS", help=f"of {', '.join(AXES)} (default: all)")
    parser.add_argument("--up-to", type=int, default=max(max(axis.values) for axis in AXES.values()))
    parser.add_argument("--cell", nargs=3, metavar=("AXIS", "VALUE", "METHOD"), help="print one cell as JSON")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.axes if name not in AXES]:
        parser.error(f"there is no axis {unknown[0]!r}; take {', '.join(AXES)}")
    if chosen.cell:
        axis, value, method = chosen.cell
        print(json.dumps(measured(axis, int(value), method)))
        return
    for axis, value, method in missing(chosen.axes or list(AXES), chosen.up_to):
        append(in_new_process(axis, value, method))


def missing(axes: Sequence[str], up_to: int) -> Iterator[tuple[str, int, str]]:
    """Yield the cells of some axes that the table lacks, small ones first."""
    done = {(row["axis"], int(row["value"]), row["method"]) for row in rows()}
    for name in axes:
        for value in AXES[name].values:
            if value <= up_to and not (name == "workers" and value > (os.cpu_count() or 1)):
                yield from ((name, value, method) for method in AXES[name].methods if (name, value, method) not in done)


def in_new_process(axis: str, value: int, method: str) -> Mapping[str, object]:
    """Measure a cell in a new process, whose peak memory is that of the cell."""
    command = [sys.executable, __file__, "--cell", axis, str(value), method]
    load = os.getloadavg()[0]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise SystemExit(f"{axis} {value} {method} failed:\n{finished.stderr}")
    found = json.loads(finished.stdout)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"axis": axis, "value": value, "method": method, **found, "load": load, "finished": now}


def measured(axis: str, value: int, method: str) -> dict[str, float]:
    """Return the numbers of one cell, times in seconds of the processor unless they are those of the clock."""
    torch.set_num_threads(1)
    if axis == "workers":
        return sweep(value)
    source = AXES[axis].model(value, method)
    spec = f"{METHODS[method]},steps={STEPS}"
    one(spec, AXES[axis].model(AXES[axis].values[0], method))  # imports and the like, which are not to be counted
    if axis == "members":
        spec = f"amp-ensemble:amp={spec.replace(':', '(')}),members={value}"
    start, clock = time.process_time(), time.perf_counter()
    source.renewed(1).sample(SERIES if source.graph.axes else source.budget)
    simulated = time.process_time()
    posterior, ends = one(spec, source)
    fitted = time.process_time()
    found = {
        "simulate_seconds": simulated - start,
        "step_ms": 1000 * (ends[-1] - ends[0]) / (len(ends) - 1),
        "fit_seconds": fitted - simulated,
        "wall_seconds": time.perf_counter() - clock,
    }
    return found | {"sample_seconds": sampling(posterior, source), "peak_mb": peak()}


def one(spec: str, source: Simulator) -> tuple[Posterior, list[float]]:
    """Fit, and return the posterior with the processor times at which the steps ended."""
    ends: list[float] = []
    method = load().build("methods", spec)
    return fit(method, source, progress=lambda done, total: ends.append(time.process_time())), ends


def sampling(posterior: Posterior, source: Simulator) -> float:
    """Return the time of 1,000 samples given a simulation."""
    data = source.renewed(2).sample(1)
    start = time.process_time()
    if isinstance(posterior, TemplatePosterior):
        posterior.sample_variables({name: data[name][0] for name in source.observed}, 1000)
    else:
        posterior.sample(join(data, source.observed)[0], 1000)
    return time.process_time() - start


def sweep(workers: int) -> dict[str, float]:
    """Run eight fits by the command, and return the time of the clock."""
    clock = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        seeds = [argument for seed in range(FITS) for argument in ("--seed", str(seed))]
        what = ["--task", "two_moons", "--method", f"{METHODS['flow']},steps=200", "--budget", "1000", *seeds]
        where = ["--metric", "bias", "--observation", "1", "--workers", str(workers), "--results", folder]
        subprocess.run([sys.executable, "-m", "ampbench", "run", *what, *where], check=True, capture_output=True)
    return {"wall_seconds": time.perf_counter() - clock}


def peak() -> float:
    """Return the peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows() -> list[dict[str, str]]:
    """The table so far."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def append(row: Mapping[str, object]) -> None:
    """Write a row at the end of the table, at once."""
    new = not TABLE.exists()
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        shown = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
        writer.writerow(shown)
    print(*shown.values(), flush=True)


if __name__ == "__main__":
    main()
