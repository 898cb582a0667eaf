"""The ledger: a dataset of published C2ST scores of the classic tasks, and their comparison with our scores.

A C2ST depends on its classifier and on the number of samples: on identical samples a perceptron and a random forest
differ by up to 0.15. A published score is therefore compared with ours only if both agree in classifier and number of
samples, unless the caller requests all scores.

:data:`ampbench.results.schema.LEDGER` defines the columns of the ledger, which has one row per published score.

References:
    Lueckmann et al. 2021, *Benchmarking simulation-based inference*, arXiv:2101.04653;
    github.com/sbi-benchmark/results.
    Ramesh et al. 2022, *GATSBI*, arXiv:2203.06481; github.com/mackelab/gatsbi.
    Miller, Weniger, Forré 2022, *Contrastive neural ratio estimation*, arXiv:2210.06170; github.com/bkmi/cnre.
    Gloeckler et al. 2024, *All-in-one simulation-based inference*, arXiv:2404.09636; github.com/mackelab/simformer.
    Vetter et al. 2025, *Effortless, simulation-efficient Bayesian inference*, arXiv:2504.17660;
    github.com/mackelab/npe-pfn.
    Amerio 2026, *GenSBI: generative methods for simulation-based inference in JAX*, arXiv:2605.27499;
    github.com/aurelio-amerio/GenSBI-examples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import pandas as pd

from ampbench.errors import UsageError, unknown
from ampbench.reporting.studies import STUDIES, Study
from ampbench.results import schema
from ampbench.results.origins import OURS, marked, with_origins
from ampbench.spec import Spec, component_name
from ampbench.text import encodable

COLUMNS = schema.LEDGER.dtypes
"""The columns of the ledger, with their pandas dtypes."""

CLASSIFIERS = {"c2st": "mlp-10d (sbibm)", "c2st-rf": "random forest (sbi)"}
"""Name of each metric with published scores → classifier of the published scores with the metric's definition."""


@dataclass(frozen=True)
class PublishedComparison:
    """Our scores and published ones in one table, with remarks on scores left out or not comparable."""

    table: pd.DataFrame
    remarks: list[str]


def ledger() -> pd.DataFrame:
    """Return all published scores, with :data:`COLUMNS`; raises :class:`ResultsError` for an invalid file."""
    with (files("ampbench") / "data" / "published_c2st.csv").open(encoding="utf-8") as file:
        return validated(pd.read_csv(file, dtype=COLUMNS))


def validated(frame: pd.DataFrame) -> pd.DataFrame:
    """Validate a frame of published scores, and compute the standard errors that are not published.

    Raises:
        ResultsError: it does not follow the schema; the message names row, column, value and what is allowed.
    """
    frame = schema.LEDGER.validated(frame, "the ledger")[list(COLUMNS)]
    spread = frame["sd"] / frame["n"].astype("float64") ** 0.5
    return frame.assign(se=frame["se"].fillna(spread))


def select(
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    budgets: Sequence[int] = (),
    classifiers: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the published scores of the named tasks, methods, budgets and classifiers; an empty list selects all.

    Methods and classifiers are selected by parts of their names, ignoring case: ``npe`` selects ``SNPE`` and
    ``NPE-PFN``.

    Raises:
        UsageError: the ledger has no such task, method, budget or classifier; the message lists the known ones.
    """
    chosen = ledger()
    everything = chosen
    if tasks:
        for task in tasks:
            if task not in set(everything["task"]):
                raise unknown("published task", task, everything["task"].unique())
        chosen = chosen[chosen["task"].isin(tasks)]
    for column, wanted in (("method", methods), ("classifier", classifiers)):
        for part in map(encodable, wanted):
            if not everything[column].str.contains(part, case=False, regex=False).any():
                raise unknown(f"published {column}", part, everything[column].unique())
        if wanted:
            found = [chosen[column].str.contains(part, case=False, regex=False) for part in map(encodable, wanted)]
            chosen = chosen[pd.concat(found, axis=1).any(axis=1)]
    if budgets:
        for budget in budgets:
            if budget not in set(everything["budget"]):
                known = ", ".join(map(str, sorted(everything["budget"].unique())))
                raise UsageError(f"no score is published for a budget of {budget}; known: {known}")
        chosen = chosen[chosen["budget"].isin(budgets)]
    return chosen.sort_values(["task", "budget", "classifier", "c2st"], kind="stable").reset_index(drop=True)


def compare_published(frame: pd.DataFrame, metric: str = "c2st", mix: bool = False) -> PublishedComparison:
    """Return our scores and the published ones on the same tasks and budgets.

    Arguments:
        frame: our results, as returned by :func:`ampbench.results.load`.
        metric: the column of our scores.
        mix: whether to include published scores of other classifiers and sample sizes, which are not comparable.

    Returns:
        A table with the columns of :data:`ampbench.results.schema.PUBLISHED_COMPARISON`, sorted by task, budget and
        mean. Remarks name the scores that were left out, or are not comparable.

    Raises:
        UsageError: no score is published by the definition of the metric (and ``mix`` is false), or the frame lacks the
            metric.
    """
    if metric not in frame.columns:
        raise UsageError(f"these results have no metric {metric!r}")
    if metric not in CLASSIFIERS and not mix:
        raise UsageError(
            f"no score is published by the definition of metric {metric!r}; comparable are: {', '.join(CLASSIFIERS)}"
        )
    return _compared(frame, [metric], mix)


def compare_all(frame: pd.DataFrame, mix: bool = False) -> PublishedComparison:
    """Return what :func:`compare_published` does, for every metric of the frame with published scores.

    Raises:
        UsageError: the frame has none of these metrics.
    """
    metrics = [metric for metric in CLASSIFIERS if metric in frame.columns]
    if not metrics:
        raise UsageError(f"scores are published of the metrics {', '.join(CLASSIFIERS)}; these results have none")
    return _compared(frame, metrics, mix)


def _compared(frame: pd.DataFrame, metrics: Sequence[str], mix: bool) -> PublishedComparison:
    ours = pd.concat([our_means(frame, metric) for metric in metrics])
    published = ledger().merge(ours[["task", "budget"]].drop_duplicates(), on=["task", "budget"])
    scale = ["task", "budget", "classifier", "samples"]
    scales = set(ours[scale].itertuples(index=False, name=None))
    same = [row in scales for row in published[scale].itertuples(index=False, name=None)]
    comparable = pd.Series(same, index=published.index, dtype=bool)
    shown = published if mix else published[comparable]
    theirs = shown.rename(columns={"source": "origin", "c2st": "mean"})
    columns = schema.PUBLISHED_COMPARISON.names
    table = pd.concat([ours[columns], theirs[columns]]).sort_values(["task", "budget", "mean"], kind="stable")
    return PublishedComparison(table.reset_index(drop=True), _remarks(published, comparable, mix))


def our_means(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return our mean scores, with the columns of :data:`ampbench.results.schema.PUBLISHED_COMPARISON`.

    One row is a task, budget, method, sample size and origin.
    """
    good = marked(with_origins(frame[frame[metric].notna()]))
    grouped = good.assign(task=good["task"].map(component_name)).groupby(
        ["task", "budget", "method", "samples", "origin"], as_index=False
    )
    table = grouped.agg(
        mean=(metric, "mean"), se=(metric, "sem"), n=(metric, "count"), observations=("observation", "nunique")
    )
    whole = dict.fromkeys(("budget", "samples", "n", "observations"), "Int64")
    return table.assign(classifier=CLASSIFIERS.get(metric, metric), sequential="", choice="").astype(whole)


def _remarks(published: pd.DataFrame, comparable: pd.Series[bool], mix: bool) -> list[str]:
    other = published[~comparable]
    if other.empty:
        return []
    kinds = other[["classifier", "samples"]].drop_duplicates().sort_values(["classifier", "samples"])
    described = "; ".join(
        f"{row.classifier}, {'an unknown number of' if pd.isna(row.samples) else row.samples} samples"
        for row in kinds.itertuples()
    )
    if mix:
        return [f"not comparable with ours, but shown: {len(other)} published scores by {described}"]
    return [f"left out, because not comparable with ours: {len(other)} published scores by {described}"]


def study(name: str, subset: str) -> tuple[Study, dict[str, Any]]:
    """Return a study and the sweep of one of its subsets; raises :class:`UsageError` for an unknown name."""
    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    found = STUDIES[name]
    if subset not in found.subsets:
        raise unknown(f"subset of {name}", subset, found.subsets)
    tasks, methods, budgets = found.subsets[subset]
    return found, {
        "tasks": list(tasks),
        "methods": [str(Spec.parse(found.methods[method])) for method in methods],
        "budgets": list(budgets),
        "metrics": [found.metric],
        "samples": found.samples,
    }


def reproduced(frame: pd.DataFrame, found: Study) -> pd.DataFrame:
    """Compare our results with a study's, cell by cell.

    Arguments:
        frame: our results, as returned by :func:`ampbench.results.load`; rows of other methods or sample sizes are left
            out.
        found: the study.

    Returns:
        One row per task, budget and published method, with the columns of :data:`ampbench.results.schema.REPRODUCED`;
        NaN where a standard error is unknown.
    """
    names = {str(Spec.parse(spec)): method for method, spec in found.methods.items()}
    frame = with_origins(frame if found.metric in frame else frame.assign(**{found.metric: float("nan")}))
    own = frame[(frame["origin"] == OURS) & (frame["samples"] == found.samples)]
    ours = our_means(own[own["method"].isin(list(names))], found.metric)
    ours = ours.assign(method=ours["method"].map(names).astype("string"))
    rows = ledger()
    theirs = rows[rows["source"].str.contains(found.source, regex=False) & (rows["samples"] == found.samples)]
    theirs = theirs[["task", "budget", "method", "c2st", "se"]].rename(columns={"c2st": "theirs", "se": "their_se"})
    table = ours.rename(columns={"mean": "ours"}).merge(theirs, on=["task", "budget", "method"])
    table["diff"] = table["ours"] - table["theirs"]
    table["diff_in_se"] = table["diff"] / (table["se"] ** 2 + table["their_se"] ** 2) ** 0.5
    return (
        table[schema.REPRODUCED.names].sort_values(["task", "budget", "method"], kind="stable").reset_index(drop=True)
    )
