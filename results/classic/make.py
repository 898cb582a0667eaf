"""The ten classic tasks: from stored runs to the tables of README.md, here and in the project's own.

A cell is the mean C2ST over the ten published observations and its standard error over them, of one fit; the noise of
another training is not in it. It is left empty unless all ten are there. Beside ours stands the lowest published score
of a method that is not sequential, by the same classifier and sample size (``ampbench ledger``).

    ampbench run results/classic/sweep.toml --results results/classic     what is missing; resumes
    ampbench run results/classic/seeds.toml --results results/classic     further seeds of a few cells
    ampbench publish results/classic -o results/classic/study.zip         what is new into the committed bundle
    python results/classic/make.py                                         the tables

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

import ampbench
from ampbench import registry
from ampbench.reporting.compare import summarise
from ampbench.reporting.labels import labels
from ampbench.reporting.ledger import CLASSIFIERS
from ampbench.reporting.strongest import lowest_published
from ampbench.reporting.tables import p_value
from ampbench.running.sweep import read, runs

FOLDER = Path(__file__).parent
KEY = ["task", "method", "budget"]
"""Of a cell."""
RUN = [*KEY, "observation", "seed"]
"""Of a run, of which there are several records if it was made again by another version of the code."""

BEGIN, END = "<!-- begin table: results/classic/make.py -->\n", "<!-- end table -->\n"


def asked(file: str = "sweep.toml") -> pd.DataFrame:
    """Task, method, budget, observation and seed of every run of a sweep."""
    found = runs(read(FOLDER / file), registry.load())
    return pd.DataFrame(
        [(run.task, run.method, run.budget, run.observation, run.seed) for run in found],
        columns=RUN,
    )


def stored() -> pd.DataFrame:
    """The good runs, the latest of each, with the columns of :data:`ampbench.results.schema.RESULTS`."""
    have = ampbench.load(FOLDER)
    return have[have["status"] == "ok"].sort_values("finished").drop_duplicates(RUN, keep="last")


def cells(file: str = "sweep.toml") -> pd.DataFrame:
    """One row per task, method and budget of a sweep, in its order: runs wanted, runs there, mean and its error."""
    wanted = asked(file)
    both = wanted.merge(stored(), on=list(wanted.columns), how="left", validate="one_to_one")
    groups = both.groupby(KEY, sort=False)["c2st"]
    return groups.agg(wanted="size", there="count", mean="mean", se="sem").reset_index()


def best_published() -> pd.DataFrame:
    """The lowest published score of each task and budget, of those that may be set beside ours."""
    scores = lowest_published()
    comparable = (scores["classifier"] == CLASSIFIERS["c2st"]) & (scores["samples"] == 10_000)
    return scores[comparable & (scores["sequential"] == "no")]


def table(budget: int) -> str:
    """The scores of one budget in Markdown, with the methods that have any."""
    found = cells().query("budget == @budget")
    published = best_published().query("budget == @budget").set_index("task")
    complete = found[found["there"] == found["wanted"]]
    methods = [method for method in found["method"].unique() if method in set(complete["method"])]
    lines = [["task", *labels(methods).values(), "best published, not sequential"], ["---"] * (len(methods) + 2)]
    for task in found["task"].unique():
        ours = complete[complete["task"] == task].set_index("method")
        shown = [f"{ours['mean'][m]:.3f} ± {ours['se'][m]:.3f}" if m in ours.index else "" for m in methods]
        lines.append([task, *shown, f"{published['c2st'][task]:.3f} ({published['method'][task]})"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def missing() -> Iterator[str]:
    """Return the missing runs of the sweep, a line of Markdown per method and budget."""
    found = cells()
    lacking = found[found["there"] < found["wanted"]]
    for (method, budget), part in lacking.groupby(["method", "budget"], sort=False):
        everything = len(part) == found["task"].nunique()
        yield f"- `{method}`, {budget}: {'all tasks' if everything else ', '.join(part['task'])}\n"


def seeds() -> str:
    """The mean score of each fit where there are several, and what all of them say, in Markdown; whole cells only."""
    found = cells("seeds.toml")
    have = stored().merge(found.loc[found["there"] == found["wanted"], KEY], on=KEY)
    table = summarise(have).table.query("metric == 'c2st'").set_index(["task", "budget", "method"])
    numbers = range(3)
    lines = [
        ["task", "method", *(f"seed {seed}" for seed in numbers), "mean, 95 % interval", "p", "verdict"],
        ["---"] * 8,
    ]
    for (task, budget, method), row in table.iterrows():
        fits = have[(have["task"] == task) & (have["budget"] == budget) & (have["method"] == method)]
        means = fits.groupby("seed")["c2st"].mean()
        shown = [f"{means[seed]:.3f}" for seed in numbers]
        interval = f"{row['mean']:.3f}, {row['low']:.3f} to {row['high']:.3f}"
        lines.append([task, labels([method])[method], *shown, interval, p_value(row["p"]), row["verdict"]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def provenance() -> str:
    """Which code computed what and when, in Markdown: a row per commit."""
    have = stored().sort_values("finished", kind="stable")
    named = labels(list(dict.fromkeys(asked()["method"])))
    rows = ["| commit | date | runs |\n", "| --- | --- | --- |\n"]
    for commit, part in have.groupby("commit", sort=False):
        days = sorted({str(day)[:10] for day in part["finished"]})
        what = [
            f"{named[method]}, {budget}: {', '.join(dict.fromkeys(group['task']))}"
            for (method, budget), group in part.groupby(["method", "budget"])
        ]
        rows.append(f"| {commit[:7]} | {' to '.join(dict.fromkeys([days[0], days[-1]]))} | {'; '.join(what)} |\n")
    return "".join(rows)


def replaced(page: Path, content: str) -> str:
    """The text of a page with other content between the markers."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + content + END + rest.split(END)[1]


def pages() -> dict[Path, str]:
    """The pages that hold a table, as they should be."""
    everything = "".join(f"### {budget} simulations\n\n{table(budget)}\n" for budget in (1000, 10_000))
    everything += "### Three seeds, 10000 simulations\n\n" + seeds() + "\n"
    everything += "### Missing\n\n" + "".join(missing()) + "\n### Code\n\n" + provenance()
    return {
        page: replaced(page, content)
        for page, content in ((FOLDER / "README.md", everything), (FOLDER.parents[1] / "README.md", table(10_000)))
    }


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")
