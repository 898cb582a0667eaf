"""Time and accuracy of the engine's fits against ``npe``, and before and after a change of the engine.

A cell is a task, a configuration and a seed. Its method is fitted once, to 10,000 simulations, and C2ST by the
published definition is computed at ``task.observation(1000)`` to ``(1004)``, which are not the published observations.
Configurations alternate on every task, so that a change of the machine's load affects all. Seconds are those of the
processor, of a single thread.

    python make.py                          all cells that table.csv lacks, then the tables of README.md
    python make.py slcp --only flow npe     the cells of some tasks and configurations
    python make.py --seeds 0 1 2            three seeds
    PYTHONPATH=OLD:OLD/plugins:OLD/tasks python make.py --only jsd --code before
                                            with the code of another checkout, OLD, under a label
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ampbench import registry
from ampbench.graph import Simulator
from ampbench.interfaces import HasReference, fit
from ampbench.seeding import seeded

FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = ("task", "configuration", "code", "seed", "seconds", "c2st", "c2st_each", "spec")
BUDGET, SAMPLES, FIRST, OBSERVATIONS = 10_000, 5000, 1000, 5
TASKS = (
    *("two_moons", "slcp", "sir", "gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture"),
    *("slcp_distractors", "bernoulli_glm", "bernoulli_glm_raw", "lotka_volterra"),
)
CONFIGURATIONS = {
    "flow": "amp:divergence=forward-kl,family=flow",
    "short flow": "amp:divergence=forward-kl,family=flow,steps=2500,batch_size=512,learning_rate=0.002",
    "shorter flow": "amp:divergence=forward-kl,family=flow,steps=1600,batch_size=512,learning_rate=0.002",
    "npe": "npe",
    "jsd": "amp:divergence=jsd,family=implicit",
}
BEGIN, END = "<!-- begin tables: results/pace/make.py -->\n", "<!-- end tables -->\n"


def measure(name: str, label: str, seed: int) -> dict[str, Any]:
    """Fit, and return seconds and scores."""
    components = registry.load()
    task, method = components.build("tasks", name), components.build("methods", CONFIGURATIONS[label])
    assert isinstance(task, HasReference)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = fit(method, Simulator(task.graph, task.observed, BUDGET, seed))
    seconds, metric, found = time.process_time() - start, components.build("metrics", "c2st"), []
    for i in range(OBSERVATIONS):
        x = task.observation(FIRST + i).x
        with seeded(i):
            samples = posterior.sample(x, SAMPLES)
        found.append(float(metric.measure(samples, task.reference(x, SAMPLES, i)).value))
    mean = sum(found) / len(found)
    return {"seconds": seconds, "c2st": mean, "c2st_each": " ".join(f"{each:.3f}" for each in found)}


def main() -> None:
    """Fill the table for the chosen cells, all of them by default."""
    parser = argparse.ArgumentParser(description="Fill table.csv.")
    parser.add_argument("tasks", nargs="*", default=TASKS, metavar="TASK")
    parser.add_argument("--only", nargs="*", default=list(CONFIGURATIONS), metavar="CONFIGURATION")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], metavar="N")
    parser.add_argument("--code", default="now", metavar="LABEL")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for seed in chosen.seeds:
        for name in chosen.tasks:
            for label in chosen.only:
                cell = {"task": name, "configuration": label, "code": chosen.code, "seed": seed}
                if tuple(map(str, cell.values())) not in done():
                    append({**cell, **measure(name, label, seed), "spec": CONFIGURATIONS[label]})
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")


def done() -> set[tuple[str, ...]]:
    """Return the cells of the table."""
    if not TABLE.exists():
        return set()
    with TABLE.open(newline="") as file:
        return {tuple(row[name] for name in COLUMNS[:4]) for row in csv.DictReader(file)}


def append(row: Mapping[str, Any]) -> None:
    """Write a row at the end of the table."""
    new = not TABLE.exists()
    with TABLE.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
        writer.writerow(short)
        print(*short.values(), flush=True)


def cells() -> pd.DataFrame:
    """Of every task, configuration and version of the code: scores and seconds of all seeds, and their means."""
    rows = pd.read_csv(TABLE).sort_values("seed", kind="stable")
    groups = rows.groupby(list(COLUMNS[:3]), sort=False)
    found = groups[["c2st", "seconds"]].mean()
    found["scores"] = groups["c2st"].agg(lambda scores: ", ".join(f"{score:.3f}" for score in scores))
    found["times"] = groups["seconds"].agg(lambda times: ", ".join(f"{time:.0f}" for time in times))
    return found


def before_and_after() -> str:
    """Cells that were measured with two versions of the code, in Markdown."""
    found = cells()
    lines = ["| task | configuration | | C2ST of each seed | mean | seconds | now / before |"]
    lines.append("|---|---|---|---|---|---|---|")
    for task, configuration, code in found.index:
        if code == "before" and (task, configuration, "now") in found.index:
            before, now = found.loc[(task, configuration, "before")], found.loc[(task, configuration, "now")]
            ratio = f"{now['seconds'] / before['seconds']:.2f}"
            lines.append(f"| {task} | `{configuration}` | before | {_shown(before)} | |")
            lines.append(f"| | | now | {_shown(now)} | {ratio} |")
    return "\n".join(lines) + "\n"


def _shown(cell: pd.Series) -> str:
    return f"{cell['scores']} | {cell['c2st']:.3f} | {cell['times']}"


def against_npe() -> str:
    """Tasks on which ``npe`` was measured, in Markdown: C2ST, seconds, and the flow's share of its time."""
    found = cells().query("code == 'now'").droplevel("code")
    flows = [label for label in CONFIGURATIONS if "flow" in label]
    lines = [f"| task | `npe` | {' | '.join(f'`{label}`' for label in flows)} |", "|---|---|" + "---|" * len(flows)]
    for task in found.index.unique("task"):
        if (task, "npe") in found.index:
            npe = found.loc[(task, "npe")]
            shown = [_beside(found.loc[(task, label)], npe) if (task, label) in found.index else "" for label in flows]
            lines.append(f"| {task} | {npe['c2st']:.3f}, {npe['seconds']:.0f} s | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _beside(flow: pd.Series, npe: pd.Series) -> str:
    return f"{flow['c2st']:.3f}, {flow['seconds']:.0f} s, 1 / {npe['seconds'] / flow['seconds']:.1f}"


def page() -> str:
    """Return README.md with the tables as they are now."""
    before, rest = (FOLDER / "README.md").read_text(encoding="utf-8").split(BEGIN)
    made = f"### Before and after\n\n{before_and_after()}\n### Against `npe`\n\n{against_npe()}"
    return f"{before}{BEGIN}{made}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    main()
