"""Published scores: the schema, what may stand beside ours, and studies that can be run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ampbench.cli import ledger as cli_ledger
from ampbench.cli.run import SweepOutcome
from ampbench.errors import ResultsError, UsageError
from ampbench.registry import Registry
from ampbench.reporting.ledger import (
    CLASSIFIERS,
    COLUMNS,
    STUDIES,
    compare_all,
    compare_published,
    ledger,
    reproduced,
    select,
    study,
    validated,
)
from ampbench.running.sweep import Request


def results(**changes: Any) -> pd.DataFrame:
    """Results of two methods on two_moons, three observations each."""
    rows = [
        {
            "task": "two_moons",
            "method": method,
            "budget": 1000,
            "samples": 10_000,
            "seed": 0,
            "observation": i,
            "c2st": c,
        }
        | changes
        for method, scores in {"npe": (0.70, 0.72, 0.74), "amp": (0.80, 0.81, 0.82)}.items()
        for i, c in enumerate(scores, 1)
    ]
    return pd.DataFrame(rows)


def test_schema() -> None:
    frame = ledger()
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
    assert len(frame) == 892
    assert not frame.duplicated(["task", "method", "budget", "source"]).any()
    assert frame["c2st"].between(0.45, 1).all()


def test_a_published_fact() -> None:
    """NPE on two moons, 1,000 simulations, is 0.725 in the paper, over ten observations."""
    (row,) = select(["two_moons"], ["NPE"], [1000], ["sbibm"]).query("method == 'NPE'").itertuples()
    assert row.c2st == pytest.approx(0.725, abs=0.001)
    assert (row.n, row.samples) == (10, 10_000)
    assert row.se == pytest.approx(row.sd / 10**0.5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda frame: frame.rename(columns={"c2st": "score"}), "the ledger has no column 'c2st'"),
        (lambda frame: frame.assign(c2st=1.5), r"row 0: c2st is 1.5, .* from 0 to 1 .*\(891 more rows"),
        (lambda frame: frame.assign(source=None), "row 0: source is missing, where text should be"),
    ],
)
def test_a_broken_ledger_is_refused(change: Any, complaint: str) -> None:
    with pytest.raises(ResultsError, match=complaint):
        validated(change(ledger()))


def test_published_means_are_of_all_scores() -> None:
    """NRE-C on slcp, 10,000 simulations: 0.9037 over five trainings and ten observations of its file of scores."""
    (row,) = select(["slcp"], ["NRE-C"], [10_000]).itertuples()
    assert (row.c2st, row.n, row.observations, row.seeds, row.sequential) == (0.9037, 50, 10, 5, "no")
    assert (row.classifier, row.choice) == ("mlp-10d (sbibm)", "one for all tasks")


def test_choices_and_scales_of_the_sources() -> None:
    frame = ledger().set_index("source")
    gensbi = frame[frame.index.str.contains("GenSBI-examples")]
    assert len(gensbi) == 5 * 3 * 6
    assert set(gensbi["choice"]) == {"best by this score"}
    for rows in (gensbi, frame[frame.index.str.contains("npe-pfn")]):
        assert set(zip(rows["classifier"], rows["samples"], rows["observations"], strict=True)) == {
            ("random forest (sbi)", 10_000, 10)
        }
    assert set(frame.loc[frame["sequential"] == "yes", "method"]) == {"SMC-ABC", "SNLE", "SNPE", "SNRE"}
    assert (frame["n"].isna() | frame["observations"].isna() | (frame["n"] >= frame["observations"])).all()


def test_scores_by_both_classifiers_stand_beside_their_own() -> None:
    found = compare_all(results(**{"c2st-rf": 0.6}))
    scales = {(row.classifier, row.samples): row.origin for row in found.table.itertuples()}
    assert set(scales) == {("mlp-10d (sbibm)", 10_000), ("random forest (sbi)", 10_000)}
    assert found.table.value_counts(["classifier", "origin"])["random forest (sbi)", "ours"] == 2
    assert "NPE-PFN" in set(found.table["method"])
    with pytest.raises(UsageError, match="scores are published of the metrics c2st, c2st-rf; these results have none"):
        compare_all(results().drop(columns="c2st"))


def test_select_names_what_is_unknown() -> None:
    with pytest.raises(UsageError, match=r"unknown published task 'two_moon'.*did you mean 'two_moons'"):
        select(["two_moon"])
    with pytest.raises(UsageError, match="unknown published method 'hmc'"):
        select(methods=["hmc"])
    with pytest.raises(UsageError, match="no score is published for a budget of 7; known: 100, 1000"):
        select(budgets=[7])
    assert set(select(methods=["abc"])["method"]) == {"REJ-ABC", "SMC-ABC"}


def test_only_the_comparable_stand_beside_ours() -> None:
    found = compare_published(results())
    ours = found.table[found.table["origin"] == "ours"].set_index("method")
    assert ours.loc["npe", "mean"] == pytest.approx(0.72)
    assert ours.loc["npe", "se"] == pytest.approx(0.02 / 3**0.5)
    assert set(found.table["classifier"]) == {"mlp-10d (sbibm)"}
    assert set(found.table["samples"]) == {10_000}
    assert set(found.table["budget"]) == {1000}
    assert "NPE" in set(found.table["method"])
    assert found.table["mean"].is_monotonic_increasing
    (remark,) = found.remarks
    assert remark.startswith("left out, because not comparable with ours")
    assert "random forest, 2000 samples" in remark


def test_mixing_must_be_asked_for() -> None:
    found = compare_published(results(), mix=True)
    assert "random forest" in set(found.table["classifier"])
    (remark,) = found.remarks
    assert remark.startswith("not comparable with ours, but shown")


def test_another_sample_size_is_not_comparable() -> None:
    found = compare_published(results(samples=1000))
    assert set(found.table["origin"]) == {"ours"}
    assert "mlp-10d (sbibm), 10000 samples" in found.remarks[0]


def test_another_metric_is_not_comparable() -> None:
    frame = results().rename(columns={"c2st": "mmd"})
    with pytest.raises(UsageError, match=r"by the definition of metric 'mmd'; comparable are: c2st"):
        compare_published(frame, "mmd")
    with pytest.raises(UsageError, match="have no metric 'c2st'"):
        compare_published(frame)


def test_a_task_that_nobody_has_published() -> None:
    found = compare_published(results(task="lgssm:length=5"))
    assert set(found.table["origin"]) == {"ours"}
    assert found.remarks == []


def test_difference_in_standard_errors() -> None:
    spec = STUDIES["lueckmann2021"].methods["NPE"]
    frame = pd.concat([results(method=spec).iloc[:3], results()])
    (row,) = reproduced(frame, STUDIES["lueckmann2021"]).itertuples()
    assert (row.method, row.n) == ("NPE", 3)
    published = select(["two_moons"], ["NPE"], [1000], ["sbibm"]).query("method == 'NPE'").iloc[0]
    assert row.diff == pytest.approx(0.72 - published["c2st"])
    assert row.diff_in_se == pytest.approx(row.diff / (row.se**2 + published["se"] ** 2) ** 0.5)


def test_other_results_are_not_taken_for_the_study() -> None:
    assert reproduced(results(), STUDIES["lueckmann2021"]).empty
    spec = STUDIES["lueckmann2021"].methods["NPE"]
    assert reproduced(results(method=spec, samples=1000), STUDIES["lueckmann2021"]).empty
    assert reproduced(results(method=spec).drop(columns="c2st"), STUDIES["lueckmann2021"]).empty, "all runs failed"


@pytest.mark.parametrize(
    ("name", "subset"), [(name, subset) for name, each in STUDIES.items() for subset in each.subsets]
)
def test_every_cell_is_published_and_can_be_built(name: str, subset: str, registry: Registry) -> None:
    pytest.importorskip("sbi")
    found, sweep = study(name, subset)
    tasks, methods, budgets = found.subsets[subset]
    rows = ledger()
    rows = rows[rows["source"].str.contains(found.source, regex=False)]
    assert set(rows["classifier"]) == {CLASSIFIERS[found.metric]}
    cells = set(zip(rows["task"], rows["method"], rows["budget"], strict=True))
    assert {(t, m, b) for t in tasks for m in methods for b in budgets} <= cells
    for spec in sweep["methods"]:
        registry.build("methods", spec)


def test_unknown_study() -> None:
    with pytest.raises(UsageError, match=r"unknown study 'lueckmann'.*did you mean 'lueckmann2021'"):
        study("lueckmann", "fast")
    with pytest.raises(UsageError, match="unknown subset of lueckmann2021 'quick'"):
        study("lueckmann2021", "quick")


def test_reproduce_runs_the_cells_and_compares(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ordinary run machinery gets the cells; what it has stored is compared."""
    asked: list[Request] = []
    frame = results(method=STUDIES["lueckmann2021"].methods["REJ-ABC"])

    def ended(request: Request, *rest: object) -> SweepOutcome:
        asked.append(request)
        return SweepOutcome(stored=0, asked=3, done=2, failed=())

    monkeypatch.setattr(cli_ledger, "sweep_outcome", ended)
    monkeypatch.setattr(cli_ledger, "load", lambda path: frame)
    assert cli_ledger.reproduce("lueckmann2021", "fast", ["observation<=3"], tmp_path, "local", "cpu", 1) == 1
    (request,) = asked
    assert request.given["tasks"] == ["two_moons"]
    assert request.given["samples"] == 10_000
    assert request.select == ("observation<=3",)
    assert "REJ-ABC" in capsys.readouterr().out


def ampbench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ampbench", *arguments], capture_output=True, text=True, timeout=120)


def test_command_line() -> None:
    rows = json.loads(ampbench("ledger", "--task", "slcp", "--method", "snpe", "--budget", "1000", "--json").stdout)
    assert {row["task"] for row in rows} == {"slcp"}
    assert all({*row} == {*COLUMNS} for row in rows)
    shown = ampbench("ledger", "--task", "slcp", "--classifier", "mlp")
    assert "task slcp, budget 1000, classifier mlp-10d (sbibm), samples 10000" in shown.stdout
    refused = ampbench("reproduce", "nobody2020")
    assert refused.returncode == 2
    assert refused.stderr.startswith("ampbench: unknown study 'nobody2020'")
