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
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from configurations import CONFIGURATIONS, Configuration
from models import MODELS, Fitted, Model

from ampbench import registry
from ampbench.errors import FitWarning
from ampbench.graph import Simulator
from ampbench.interfaces import fit
from ampbench.seeding import derive, seeded

FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = (
    *("model", "size", "configuration", "seed", "draws", "cpu_seconds", "wall_seconds", "peak_mb", "sampling_seconds"),
    *("tuple", "tuple_worst", "block", "joint", "root", "kl", "w1", "spec", "finished", "sbc"),
)


def train(model: Model, configuration: Configuration, seed: int) -> tuple[list[tuple[int, Fitted]], float, float]:
    """Fit, and return the posterior for every size that it is judged at, with processor time and wall-clock time."""
    method = registry.load().build("methods", configuration.spec)
    cpu, wall = time.process_time(), time.perf_counter()
    sizes = model.sizes if configuration.template else configuration.sizes or model.sizes[:1]
    fitted = []
    if configuration.template:
        posterior = fit(method, Simulator(model.template(), model.observed, model.draws, seed))
        fitted = [(size, Fitted(posterior, None)) for size in sizes]
    else:
        for size in sizes:
            graph, observed = model.flat(size)
            posterior = fit(method, Simulator(graph, observed, model.draws // model.repeats(size), seed))
            fitted.append((size, Fitted(posterior, graph)))
    return fitted, time.process_time() - cpu, time.perf_counter() - wall


def run(name: str, label: str, seed: int) -> list[dict[str, float | str]]:
    """Fit and judge one configuration of a model; one row per size."""
    model, configuration = MODELS[name], CONFIGURATIONS[name][label]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        fitted, cpu, wall = train(model, configuration, seed)
    rows = []
    for size, each in fitted:
        with seeded(derive(seed, "judge", size)):
            judged = model.judge(each, size)
        rows.append(
            {
                "model": name,
                "size": size,
                "configuration": label,
                "seed": seed,
                "draws": model.draws,
                "cpu_seconds": cpu,
                "wall_seconds": wall,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                **judged,
                "spec": configuration.spec,
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
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        for name in chosen.models:
            for label in CONFIGURATIONS[name]:
                done = {(row["model"], row["configuration"], int(row["seed"])) for row in table()}
                if (name, label, seed) not in done and (not chosen.only or label in chosen.only):
                    rows = run(name, label, seed)
                    append(rows)
                    for row in rows:
                        print(shown(row), flush=True)


if __name__ == "__main__":
    main()
