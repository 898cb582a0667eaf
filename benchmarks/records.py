"""A store of any number of records like those of a sweep: ten checks, two metrics, no samples.

``python benchmarks/records.py DIR 100000`` writes one, in a minute, with the sweep that asks for its runs.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from ampbench import registry
from ampbench.atlas.checks import CHECKS
from ampbench.results import Record, Run, atomic
from ampbench.results.record import Check, Measured
from ampbench.results.store import Store
from ampbench.running import sweep

TASKS = ["two_moons", "slcp", "sir", "gaussian_linear", "gaussian_mixture"]
MORE_TASKS = ["gaussian_linear_uniform", "slcp_distractors", "bernoulli_glm", "bernoulli_glm_raw", "lotka_volterra"]
METHODS = ["prior", "rejection-abc", "rejection-abc:accept=50", "rejection-abc:accept=200", "rejection-abc:accept=300"]
MORE_METHODS = [f"rejection-abc:accept={n}" for n in range(400, 1900, 100)]
BUDGETS = [1000, 10_000]
MORE_BUDGETS = [2000, 20_000, 100_000]
OBSERVATIONS = list(range(1, 11))
LARGE = 20_000
VERSIONS = {"python": "3.11.7", "ampbench": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6", "pandas": "3.1.1"}


def sweep_of(size: int) -> dict[str, object]:
    """Return the sweep that asks for at least ``size`` runs; a large one has more tasks, methods and budgets."""
    what: dict[str, list[Any]] = {"tasks": TASKS, "methods": METHODS, "budgets": BUDGETS}
    what["observations"] = OBSERVATIONS
    if size >= LARGE:
        what |= {"tasks": TASKS + MORE_TASKS, "methods": METHODS + MORE_METHODS, "budgets": BUDGETS + MORE_BUDGETS}
    seeds = -(-size // math.prod(map(len, what.values())))
    return {**what, "seeds": list(range(seeds)), "samples": 10_000, "metrics": ["c2st", "mmd"]}


def runs_of(size: int) -> list[Run]:
    """Return ``size`` runs."""
    return sweep.runs(sweep.check(sweep_of(size), "benchmark"), registry.load())[:size]


def fill(folder: Path, size: int) -> Store:
    """Write ``size`` records, without flushing each to disk."""
    store, generator = Store(folder), np.random.default_rng(0)
    with mock.patch.object(atomic, "write", _write):
        for run in runs_of(size):
            store.put(record(run, generator), None)
    return store


def record(run: Run, generator: np.random.Generator) -> Record:
    values = generator.random((len(CHECKS), 2))
    checks = tuple(
        Check(
            name, *pair, f"theta[1] by {pair[0]:.3f}", "winsorised, within modes; 10000 samples, 10000 of the reference"
        )
        for name, pair in zip(CHECKS, values.tolist(), strict=True)
    )
    about = {"version": "2", "z_score": "reference", "n_samples": 10_000, "n_reference": 10_000}
    scores = {
        "c2st": {"classifier": "MLP (50, 50) relu adam, no early stopping", "folds": 5, "seed": 1},
        "mmd": {"kernel": "gaussian", "bandwidth": generator.random(), "estimator": "unbiased squared"},
    }
    metrics = {
        name: Measured(generator.random(), "", {**about, **more, "standard_error": generator.random() / 100})
        for name, more in scores.items()
    }
    seconds = generator.random(3).tolist()
    ends = (*seconds[:2], run.budget, "cpu", "2026-11-28T09:29:13+00:00", VERSIONS, "80b523bc592d", "", seconds[2])
    return Record(run, "ok", "", "", metrics, *ends, checks)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), int(sys.argv[2]))
    lines = (f"{name} = {value!r}".replace("'", '"') for name, value in sweep_of(int(sys.argv[2])).items())
    Path(sys.argv[1], "sweep.toml").write_text("\n".join(lines) + "\n")
