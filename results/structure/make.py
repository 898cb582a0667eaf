r"""Structure that pays: order, sharing, messages and the adversary on graphs with repeated variables.

Models with exact posteriors, at several sizes:

``chain``
    :math:`z_T \to \dots \to z_1 \to x`, the chain of Karaletsos 2016, section 5.1, as in
    ``results/local_against_global``;
``tree``
    the task ``gaussian_tree``;
``lgssm``
    the task ``lgssm``, trained on lengths from 10 to 100;
``hierarchical``
    the task ``hierarchical``, trained on 3 to 100 groups;
``chain_binomial_sites``
    the task of this name, trained on 3 to 100 sites;
``radon``
    the task ``radon``, trained on 10 to 85 counties that are drawn at random from its own, and judged on the real data.

A *configuration* says how the networks are trained: on the template (one network for all repeats, with messages) or on
the flat graph of one size. All configurations of a model have equal numbers of draws; a simulation counts as many as it
has repeats. Samples are compared with exact ones by a classifier two-sample test (C2ST): per tuple of the inverse, on
blocks of ten neighbours, and jointly where the graph is small. For ``lgssm`` the table also has the Kullback-Leibler
divergence per latent, and for models with groups the Wasserstein-1 distance in posterior standard deviations, and the
p-value of simulation-based calibration of the roots and of one group (200 simulations of 10 and of 100 groups; the
smallest of two Kolmogorov-Smirnov tests each, after Bonferroni).

    python make.py                    all cells that table.csv lacks, then plot.png
    python make.py lgssm tree_3       the cells of some models
    python make.py --seeds 0 1 2      three seeds
    python make.py --bayesflow PYTHON also BayesFlow, whose environment has this interpreter

References:
    Karaletsos 2016, *Adversarial message passing for graphical models*, arXiv:1612.05048.
    Talts et al. 2018, *Validating Bayesian inference algorithms with simulation-based calibration*, arXiv:1804.06788.
    Lopez-Paz & Oquab 2017, *Revisiting classifier two-sample tests*, arXiv:1610.06545.
"""

from __future__ import annotations

import argparse
import csv
import resource
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from configurations import CONFIGURATIONS, Configuration
from external import approximate
from models import MODELS, Fit, Fitted, Model

from ampbench.errors import FitWarning
from ampbench.graph import Simulator
from ampbench.interfaces import Method, Posterior, fit
from ampbench.seeding import derive, seeded

FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = (
    *("model", "size", "configuration", "seed", "draws", "cpu_seconds", "wall_seconds", "peak_mb", "sampling_seconds"),
    *("tuple", "tuple_worst", "block", "joint", "root", "kl", "w1", "sbc", "spec", "finished"),
)


def train(model: Model, configuration: Configuration, seed: int, python: str = "") -> Iterator[Fit]:
    """Fit to the template once, for all sizes, or to the flat graph of each size."""
    if configuration.external:
        yield from approximate(model, python, configuration.spec, seed)
    elif configuration.template:
        source = Simulator(model.template(), model.observed, model.draws, seed)
        posterior, cpu, wall = timed(configuration.method(), source)
        yield from (Fit(size, Fitted(posterior, None), cpu, wall) for size in model.sizes)
    else:
        for size in configuration.epochs or model.sizes[:1]:
            graph, observed = model.flat(size)
            source = Simulator(configuration.graph(graph), observed, model.draws // model.repeats(size), seed)
            posterior, cpu, wall = timed(configuration.method(size), source)
            yield Fit(size, Fitted(posterior, graph), cpu, wall)


def timed(method: Method, source: Simulator) -> tuple[Posterior, float, float]:
    """Fit, and return the posterior with seconds of processor time and of wall-clock time."""
    cpu, wall = time.process_time(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        posterior = fit(method, source)
    return posterior, time.process_time() - cpu, time.perf_counter() - wall


def run(name: str, label: str, seed: int, python: str) -> list[dict[str, float | str]]:
    """Fit and judge one configuration of a model; one row per size."""
    model, configuration = MODELS[name], CONFIGURATIONS[name][label]
    rows: list[dict[str, float | str]] = []
    for each in train(model, configuration, seed, python):
        with seeded(derive(seed, "judge", each.size)):
            judged = model.judge(each.fitted, each.size)
        rows.append(
            {
                "model": name,
                "size": each.size,
                "configuration": label,
                "seed": seed,
                "draws": model.draws,
                "cpu_seconds": each.cpu,
                "wall_seconds": each.wall,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                **judged,
                **each.measured,
                "spec": configuration.resolved(each.size),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
    return rows


def table() -> list[dict[str, str]]:
    """The rows so far."""
    if not TABLE.exists():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def append(rows: Sequence[Mapping[str, float | str]]) -> None:
    """Write rows at the end of the table, at once."""
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


def shown(row: Mapping[str, float | str]) -> str:
    """Return the numbers of a row on a line."""
    found = {name: row[name] for name in COLUMNS if name in row and name not in ("spec", "finished")}
    return "  ".join(f"{name} {value:.4g}" if isinstance(value, float) else str(value) for name, value in found.items())


def main() -> None:
    """Fill the table for the chosen models, all of them by default."""
    parser = argparse.ArgumentParser(description="Fill table.csv, and draw plot.png.")
    parser.add_argument("models", nargs="*", default=list(MODELS), metavar="MODEL")
    parser.add_argument("--only", nargs="*", default=[], metavar="CONFIGURATION")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], metavar="N")
    parser.add_argument("--bayesflow", default="", metavar="PYTHON", help="interpreter of the environment of BayesFlow")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        for name in chosen.models:
            for label, configuration in CONFIGURATIONS[name].items():
                done = {(row["model"], row["configuration"], int(row["seed"])) for row in table()}
                asked = label in chosen.only if chosen.only else chosen.bayesflow or not configuration.external
                if asked and (name, label, seed) not in done:
                    rows = run(name, label, seed, chosen.bayesflow)
                    append(rows)
                    for row in rows:
                        print(shown(row), flush=True)


if __name__ == "__main__":
    main()
