"""What is drawn of scores are the numbers of the frame, and nothing vanishes in silence."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ampbench.errors import UsageError
from ampbench.plots import budget_plot, pareto_plot
from ampbench.plots.scores import clearly_dominated, dominated, scores
from ampbench.reporting.compare import summarise


def test_means_and_intervals_are_those_of_the_comparison(frame: pd.DataFrame) -> None:
    found = scores(frame).table
    expected = summarise(frame).table.query("metric == 'c2st'").set_index(["task", "budget", "method"])
    for row in found.itertuples():
        same = expected.loc[(row.task, row.budget, row.method)]
        assert (row.mean, row.low, row.high) == (same["mean"], same["low"], same["high"])
    assert len(found) == len(expected)


def test_the_curves_are_the_table(frame: pd.DataFrame) -> None:
    found, figure = scores(frame), budget_plot(frame)
    groups = list(found.table.groupby("task", sort=True))
    assert [axis.get_title() for axis in figure.axes] == [task for task, _ in groups]
    for axis, (_, part) in zip(figure.axes, groups, strict=True):
        for bars, (_, rows) in zip(axis.containers, part.groupby("method", sort=True), strict=True):
            line, _, (vertical,) = bars.lines
            assert line.get_xdata().tolist() == rows["budget"].tolist()
            assert line.get_ydata().tolist() == rows["mean"].tolist()
            ends = np.array([segment[:, 1] for segment in vertical.get_segments()])
            assert ends == pytest.approx(rows[["low", "high"]].to_numpy())
        assert axis.get_xscale() == "log"


def test_the_points_of_the_pareto_plot_are_the_table(frame: pd.DataFrame) -> None:
    found, figure = scores(frame), pareto_plot(frame)
    for axis, (_, part) in zip(figure.axes, found.table.groupby("task", sort=True), strict=True):
        drawn = sorted((bars.lines[0].get_xdata()[0], bars.lines[0].get_ydata()[0]) for bars in axis.containers)
        assert drawn == sorted(zip(part["seconds"], part["mean"], strict=True))
        front = part[~dominated(part)].sort_values("seconds")
        steps = axis.lines[1] if axis.lines[0].get_linestyle() == ":" else axis.lines[0]
        assert steps.get_xdata().tolist() == front["seconds"].tolist()
        assert axis.get_xscale() == "log"


def test_a_method_has_one_look_in_all_panels(frame: pd.DataFrame) -> None:
    first, second = budget_plot(frame).axes
    for one, other in zip(first.containers, second.containers, strict=True):
        assert one.lines[0].get_color() == other.lines[0].get_color()
        assert one.lines[0].get_marker() == other.lines[0].get_marker()


def test_the_time_is_a_geometric_mean(frame: pd.DataFrame) -> None:
    row = scores(frame).table.iloc[0]
    runs = frame[(frame[["task", "method", "budget"]] == row[["task", "method", "budget"]]).all(axis=1)]
    assert row["seconds"] == pytest.approx(math.exp(np.log(runs["fit_seconds"] + runs["sample_seconds"]).mean()))
    assert row["seconds_low"] < row["seconds"] < row["seconds_high"]


def test_domination() -> None:
    table = pd.DataFrame({"mean": [0.6, 0.7, 0.6, 0.5], "seconds": [1.0, 2.0, 1.0, 9.0]})
    table = table.assign(low=table["mean"] - 0.02, high=table["mean"] + 0.02)
    table = table.assign(seconds_low=table["seconds"] * 0.9, seconds_high=table["seconds"] * 1.1)
    assert dominated(table).tolist() == [False, True, False, False], "equal points do not dominate one another"
    assert clearly_dominated(table).tolist() == [False, True, False, False]
    assert not clearly_dominated(table.assign(high=math.nan)).any(), "unknown intervals tell nothing"
    assert clearly_dominated(table.assign(high=table["mean"] + 0.2)).tolist() == [False] * 4


def test_failed_and_missing_runs_are_told(frame: pd.DataFrame) -> None:
    task, method = frame["task"].iloc[0], frame["method"].iloc[0]
    lost = frame.index[(frame["task"] == task) & (frame["method"] == method) & (frame["budget"] == 10_000)][:3]
    frame.loc[lost, ["status", "kind", "error"]] = "failed", "error", "no $\\frac{"
    frame.loc[lost, ["c2st", "c2st_provenance"]] = math.nan, pd.NA
    found = scores(frame)
    assert f"3 of 20 runs left out: {task}, budget 10,000, {method}: 3 failed" in found.remarks
    told = [text.get_text() for text in budget_plot(frame).texts]
    assert any("3 of 20 runs left out" in text.replace("\n", " ") for text in told)
    gone = scores(frame.drop(frame.index[(frame["method"] == method) & (frame["budget"] == 10_000)]))
    assert f"no scores: {task}, {method}: budget 10,000" in gone.remarks


def test_one_score_has_no_invented_interval(committed: pd.DataFrame) -> None:
    one = committed[committed["observation"] == 1].copy()
    one["c2st_provenance"] = "{}"
    found = scores(one)
    assert found.table["low"].isna().all()
    assert any("single score" in remark for remark in found.remarks)
    axis = budget_plot(one).axes[0]
    bars = [segment for each in axis.collections for segment in each.get_segments()]
    assert not any(len(segment) and np.isfinite(segment).all() for segment in bars)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "nope"}, r"no stored run has the metric 'nope'; there are: c2st"),
        ({"budgets": [5]}, r"no stored run has budget '5'; there are: 100000 or 10000"),
        ({"tasks": ["nowhere"]}, r"no stored run has task 'nowhere'; there are: slcp"),
        ({"methods": ["npe"]}, r"no stored run has method 'npe'"),
    ],
)
def test_wrong_selections(frame: pd.DataFrame, options: dict[str, object], message: str) -> None:
    for draw in (budget_plot, pareto_plot):
        with pytest.raises(UsageError, match=message):
            draw(frame, **options)  # type: ignore[operator]


def test_nothing_to_draw(frame: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="no results yet"):
        budget_plot(frame[:0])
    with pytest.raises(UsageError, match="no selected run has a value of c2st: 20 of 20 runs left out"):
        budget_plot(frame.assign(c2st=math.nan, c2st_provenance=pd.NA))
