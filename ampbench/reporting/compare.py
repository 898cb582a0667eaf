"""Comparisons of methods with confidence intervals and paired tests.

A cell is the mean over observations and seeds, with an interval that accounts for scores that share a fit
(:mod:`ampbench.statistics.crossed_effects`). Differences are paired: both methods are judged on the same observations
and seeds, so that the difficulty of an observation cancels. p-values are adjusted by Holm's method over all pairs of
methods of a table, because the method with the lowest mean is selected by the scores. A method is called the best only
if every other method is significantly worse, over at least three seeds.

A store may hold several results for one run, made with different versions of the task or of packages. The latest is
used, and remarks name the number of older ones; remarks also name tables that mix results of different versions.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ampbench.atlas.findings import tally
from ampbench.reporting.tables import html, paragraphs
from ampbench.results import schema, validate
from ampbench.results.frame import metric_columns
from ampbench.results.origins import marked
from ampbench.statistics.crossed_effects import complete, estimate, estimates, mean_ranks, noise
from ampbench.statistics.multiple_testing import holm

GROUP_COLUMNS = ["task", "budget", "samples"]
PAIR_COLUMNS = ["observation", "seed"]
VERSION_COLUMNS = ["task_version", "resolved", "packages"]
"""Columns that may differ between repetitions of one run."""

VOLATILE_PROVENANCE = ("standard_error", "bandwidth")
"""Fields of a metric's provenance that may differ between comparable scores."""

SIGNIFICANCE_LEVEL = 0.05
"""Family-wise error rate of the verdicts of a table."""

MIN_SEEDS = 3
"""Smallest number of fits for a verdict about a method; with two, Satterthwaite's interval undercovers."""

COLUMNS = schema.COMPARISON.names
RANK_COLUMNS = schema.RANKS.names


@dataclass(frozen=True)
class Summary:
    """A comparison, with remarks on its limits.

    Attributes:
        table: one row per task, budget, sample size, metric and method, with the columns of
            :data:`ampbench.results.schema.COMPARISON`.
        ranks: one row per budget, sample size, metric and method, with the columns of
            :data:`ampbench.results.schema.RANKS`.
        remarks: results that are missing, left out or not comparable.
        rank_remarks: tasks that the ranks leave out.
        limits: conclusions that the numbers of seeds and observations do not allow.
        findings: findings of the failure atlas, by task, budget, sample size and method; see
            :func:`ampbench.atlas.findings.tally`.
        unchecked: number of results that the failure atlas has not checked.
    """

    table: pd.DataFrame
    ranks: pd.DataFrame
    remarks: list[str]
    rank_remarks: list[str]
    limits: list[str]
    findings: pd.DataFrame
    unchecked: int

    def _repr_html_(self) -> str:
        """Return what notebooks show: the tables, and the remarks below them."""
        return html(self.table) + paragraphs(self.remarks + self.limits)


def summarise(frame: pd.DataFrame) -> Summary:
    """Compare methods within each task and budget.

    Arguments:
        frame: as returned by :func:`ampbench.results.load`.

    Returns:
        For each method and metric: mean, 95 % interval and standard deviations by source; the paired difference to the
        method with the lowest mean, its interval (not adjusted for multiple comparisons), Holm's p-value and a verdict:
        ``best`` or ``lowest``, and for the others ``worse``, ``worse fit`` (fewer than three seeds), ``tied``, or
        ``unknown``. Ranks over tasks. Missing and incomparable values are named in the remarks.

    Raises:
        ResultsError: the frame does not follow the schema; see :func:`ampbench.results.validate`.
    """
    return summary_of(*latest(validate(frame)))


def summary_of(frame: pd.DataFrame, older: Sequence[str]) -> Summary:
    """Return the comparison of what :func:`latest` returned for a frame that was validated; see :func:`summarise`."""
    rows: list[dict[str, Any]] = []
    parts: dict[tuple[Any, ...], dict[str, pd.DataFrame]] = {}
    remarks = list(older)
    short = frame.drop(columns="findings_detail")  # which is longer than all other columns together
    for group, part in short.groupby(GROUP_COLUMNS, sort=True):
        label = dict(zip(GROUP_COLUMNS, group, strict=True))
        where = _described(label)
        failed = part[part["status"] != "ok"]
        remarks += [f"failed: {_name(row)}: {row['error']}" for _, row in failed.iterrows()]
        remarks += [f"not all with the same versions: {where}: {versions}" for versions in _mixed(part)]
        for metric in metric_columns(frame):
            scores = part.loc[part[metric].notna(), ["method", *PAIR_COLUMNS, metric, f"{metric}_provenance"]]
            if scores.empty:
                continue
            origins = list(map(json.loads, scores[f"{metric}_provenance"].tolist()))
            if len(_definitions(origins)) > 1:
                remarks.append(f"not compared: {metric} on {where} was computed in different ways; see its provenance")
                continue
            there = len(scores.drop_duplicates(["method", *PAIR_COLUMNS]))
            if there < scores["method"].nunique() * len(scores.drop_duplicates(PAIR_COLUMNS)):
                remarks.append(
                    f"{metric} on {where}: some methods lack observations or seeds; differences use the common ones"
                )
            tables, errors = _tables(scores, metric, origins)
            found = _rows(tables, errors, metric)
            used = sum(row["n"] for row in found)
            if used < there:
                remarks.append(
                    f"{metric} on {where}: {there - used} scores left out: seeds differ in their observations"
                )
            rows += [{**label, **row} for row in found]
            parts[(*group, metric)] = tables
    ranks, about_ranks = _ranks(parts)
    table = pd.DataFrame(rows, columns=COLUMNS).astype(schema.COMPARISON.dtypes)
    ranked = pd.DataFrame(ranks, columns=RANK_COLUMNS).astype(schema.RANKS.dtypes)
    found = tally(frame, [*GROUP_COLUMNS, "method"])
    return Summary(table, ranked, remarks, about_ranks, _limits(table), found, count_unchecked(frame))


def count_unchecked(frame: pd.DataFrame) -> int:
    """Return the number of good results that the failure atlas has not checked."""
    return int((frame["findings_detail"].isna() & (frame["status"] == "ok")).sum())


def latest(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Keep the rows with the versions of the latest repetition of each run; return remarks on the rows left out.

    Methods of other groups are marked (:func:`ampbench.results.origins.marked`), so that no table pools them with ours.
    """
    if frame.empty:
        return frame, []
    frame = marked(frame).sort_values("finished", kind="stable")
    runs = [*GROUP_COLUMNS, "method", *PAIR_COLUMNS]
    current = ~frame.duplicated(runs, keep=False)
    if current.all():
        return frame, []
    repeated = frame[~current]
    last = repeated.groupby(runs)[VERSION_COLUMNS].transform("last")
    current[~current] = (repeated[VERSION_COLUMNS] == last).all(axis=1).to_numpy()
    older = frame[~current].groupby([*GROUP_COLUMNS, "method"], sort=True).size()
    remarks = [
        f"left out: {count} older results of {', '.join(map(str, what))}, made with other versions"
        for what, count in older.items()
    ]
    return frame[current], remarks


def _mixed(part: pd.DataFrame) -> list[str]:
    """Return the versions of each package, and of the task, that differ between the results of a table."""
    versions: defaultdict[str, set[str]] = defaultdict(set)
    for row in part[["task_version", "packages", "metric_packages"]].drop_duplicates().itertuples(index=False):
        versions["task"].add(f"version {row.task_version} of the task")
        for package in f"{row.packages} {row.metric_packages}".split():
            versions[package.partition("==")[0]].add(package)
    return [" and ".join(sorted(several)) for several in versions.values() if len(several) > 1]


def _tables(
    part: pd.DataFrame, metric: str, origins: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, pd.DataFrame], dict[str, float]]:
    """Return each method's scores, seeds by observations without missing values, and the metric's own error.

    Arguments:
        part: the scores of a metric in a table.
        metric: its name.
        origins: the provenance of each of them.
    """
    seed, observation, value = (part[name].to_numpy() for name in ("seed", "observation", metric))
    places = {str(method): at for method, at in sorted(part.groupby("method").indices.items())}
    tables = {method: _scores(seed[at], observation[at], value[at]) for method, at in places.items()}
    return tables, {method: _metric_error([origins[i] for i in at]) for method, at in places.items()}


def _rows(tables: Mapping[str, pd.DataFrame], errors: Mapping[str, float], metric: str) -> list[dict[str, Any]]:
    """Return one row per method of a table, the lowest mean first."""
    scores = {method: table for method, table in tables.items() if table.size}
    rows = [_mean_cells(metric, method, table, errors[method]) for method, table in scores.items()]
    rows.sort(key=lambda row: row["mean"])
    lowest = rows[0]["method"]
    adjusted = _pairs(scores)
    for row in rows:
        pair = None if row["method"] == lowest else adjusted[frozenset((row["method"], lowest))]
        row |= _difference_cells(_differences(scores[row["method"]], scores[lowest]), pair)
    others = [row["verdict"] for row in rows[1:]]
    rows[0]["verdict"] = "best" if others and set(others) == {"worse"} else "lowest"
    return rows


def _scores(seed: NDArray[Any], observation: NDArray[Any], value: NDArray[Any]) -> pd.DataFrame:
    """Return scores as a table, seeds by observations, without missing values."""
    seeds, s = np.unique(seed, return_inverse=True)
    observations, o = np.unique(observation, return_inverse=True)
    table = np.full((len(seeds), len(observations)), math.nan)
    table[s, o] = value  # of repetitions the last
    return complete(pd.DataFrame(table, index=seeds, columns=observations))


def _mean_cells(metric: str, method: str, table: pd.DataFrame, error: float) -> dict[str, Any]:
    found, parts = estimate(table, error), noise(table, error)
    low, high = found.interval()
    return {
        "metric": metric,
        "method": method,
        "n": table.size,
        "seeds": len(table),
        "observations": len(table.columns),
        "mean": found.mean,
        "se": found.se,
        "low": low,
        "high": high,
        **{f"sd_{source}": value for source, value in vars(parts).items()},
    }


def _metric_error(origins: Sequence[Mapping[str, Any]]) -> float:
    """Return the root mean square of the metric's own standard errors; NaN if one is unknown."""
    stated = [how.get("standard_error") for how in origins]
    errors = [float(error) if isinstance(error, int | float) else math.nan for error in stated]
    return (sum(error**2 for error in errors) / len(errors)) ** 0.5 if errors else math.nan


def _differences(one: pd.DataFrame, other: pd.DataFrame) -> NDArray[np.float64]:
    """Return the differences on the common seeds and observations."""
    if not _are_alike(one, other):
        seeds, observations = one.index.intersection(other.index), one.columns.intersection(other.columns)
        one, other = one.loc[seeds, observations], other.loc[seeds, observations]
    return one.to_numpy() - other.to_numpy()


def _are_alike(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Return whether two tables have equal seeds and observations."""
    return one.index.equals(other.index) and one.columns.equals(other.columns)


def _pairs(scores: Mapping[str, pd.DataFrame]) -> dict[frozenset[str], float]:
    """Return Holm's adjusted p-values of all pairs.

    All pairs are tested, not only those with the lowest mean, since the lowest mean is itself selected by the scores.
    """
    tables, pairs = list(scores.values()), combinations(scores, 2)
    if all(_are_alike(tables[0], table) for table in tables):
        values, (one, other) = np.stack(tables), np.triu_indices(len(tables), 1)
        found = estimates(values[one] - values[other])
    else:
        found = [estimate(_differences(one, other)) for one, other in combinations(tables, 2)]
    p_values = holm([each.p_value() for each in found])
    return dict(zip(map(frozenset, pairs), p_values.tolist(), strict=True))


def _difference_cells(difference: NDArray[np.float64], adjusted: float | None) -> dict[str, Any]:
    found = estimate(difference)
    low, high = found.interval()
    return {
        "diff": found.mean,
        "diff_se": found.se,
        "diff_low": low,
        "diff_high": high,
        "diff_seeds": len(difference),
        "p": math.nan if adjusted is None else adjusted,
        "verdict": "" if adjusted is None else _verdict(adjusted, len(difference)),
    }


def _verdict(adjusted: float, seeds: int) -> str:
    if math.isnan(adjusted):
        return "unknown"
    if adjusted >= SIGNIFICANCE_LEVEL:
        return "tied"
    return "worse" if seeds >= MIN_SEEDS else "worse fit"


def _ranks(
    scores: Mapping[tuple[Any, ...], Mapping[str, pd.DataFrame]],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return mean ranks over the tasks on which all methods have scores, by budget, samples and metric."""
    rows: list[dict[str, Any]] = []
    remarks = []
    groups: defaultdict[tuple[Any, ...], dict[str, Mapping[str, pd.DataFrame]]] = defaultdict(dict)
    for (task, *rest), part in scores.items():
        groups[tuple(rest)][task] = part
    for group, tasks in groups.items():
        label = dict(zip([*GROUP_COLUMNS[1:], "metric"], group, strict=True))
        methods = sorted(set[str]().union(*tasks.values()))
        cubes = [cube for part in tasks.values() if part.keys() >= set(methods) and (cube := _cube(part, methods)).size]
        if len(methods) < 2 or len(tasks) < 2:
            continue
        if len(cubes) < 2:
            remarks.append(
                f"no ranks: {_described(label)}: fewer than two tasks have scores of all {len(methods)} methods"
            )
            continue
        if len(cubes) < len(tasks):
            remarks.append(
                f"ranks of {_described(label)} are over the {len(cubes)} of {len(tasks)} tasks with scores of "
                "all methods"
            )
        ranks, low, high = mean_ranks(cubes)
        found = [
            {**label, "method": method, "tasks": len(cubes), "rank": rank, "low": lower, "high": upper}
            for method, rank, lower, upper in zip(methods, ranks, low, high, strict=True)
        ]
        rows += sorted(found, key=lambda row: row["rank"])
    return rows, remarks


def _cube(part: Mapping[str, pd.DataFrame], methods: list[str]) -> NDArray[np.float64]:
    """Return the scores on the common seeds and observations, shape (seeds, observations, methods)."""
    tables = [part[method] for method in methods]
    seeds = reduce(pd.Index.intersection, (table.index for table in tables))
    observations = reduce(pd.Index.intersection, (table.columns for table in tables))
    return np.stack([table.reindex(index=seeds, columns=observations).to_numpy() for table in tables], axis=-1)


def _limits(table: pd.DataFrame) -> list[str]:
    """Return remarks on conclusions that the numbers of seeds and observations do not allow."""
    remarks = []
    few = sorted({int(n) for n in table["seeds"] if n < MIN_SEEDS})
    if 1 in few:
        remarks.append(
            "one seed: intervals are for this fit on further observations; how much another training would change "
            "the scores is unknown, so that the verdict 'worse fit' is about the fit, not about the method"
        )
    if 2 in few:
        remarks.append(
            "two seeds: intervals are too narrow if scores depend on the seed (coverage about 0.91, not 0.95)"
        )
    if (table["observations"] == 1).any():
        remarks.append("one observation: the comparison does not extend to other observations")
    if ((table["seeds"] == 1) & (table["observations"] == 1)).any():
        remarks.append("one score: its interval is the metric's own standard error, if it is known")
    return remarks


def _definitions(origins: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the distinct provenances of a metric, without :data:`VOLATILE_PROVENANCE`."""
    kept = ({k: v for k, v in how.items() if k not in VOLATILE_PROVENANCE} for how in origins)
    return {json.dumps(how, sort_keys=True) for how in {repr(how): how for how in kept}.values()}


def _described(label: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in label.items())


def _name(row: pd.Series[Any]) -> str:
    return ", ".join(str(row[name]) for name in ["task", "method", "budget", *PAIR_COLUMNS])
