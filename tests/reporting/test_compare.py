"""Comparisons: verdicts that the noise allows, exports, and published scores beside ours."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from ampbench.cli.compare import show
from ampbench.errors import UsageError
from ampbench.reporting.compare import COLUMNS, Summary, summarise
from ampbench.reporting.tables import latex, markdown, p_value
from ampbench.results import Record, Run, load
from ampbench.results.record import Measured
from ampbench.results.store import Store

TASKS = ("two_moons", "slcp")


def put(folder: Path, means: dict[str, float], seeds: int, tasks: tuple[str, ...] = TASKS) -> None:
    """Store scores of ten observations, which differ much, by methods that differ by their means."""
    draw = np.random.default_rng(1)
    for task in tasks:
        hard = 0.05 * draw.standard_normal(10)
        for method, mean in means.items():
            for seed in range(seeds):
                for i, easy in enumerate(hard, start=1):
                    value = mean + easy + 0.002 * float(draw.standard_normal())
                    run = Run(task, "1", method, method, 1000, i, seed, 10_000, ("c2st",))
                    metrics = {"c2st": Measured(value, "", {"standard_error": 0.001})}
                    made = Record(run, "ok", "", "", metrics, 1, 1, 1000, "cpu", "2026-01-01T00:00:00+00:00", {}, "")
                    Store(folder).put(made, None)


def compared(folder: Path, means: dict[str, float], seeds: int) -> Summary:
    put(folder, means, seeds)
    return summarise(load(folder))


def verdicts(summary: Summary) -> dict[str, str]:
    rows = summary.table[summary.table["task"] == "slcp"]
    return dict(zip(rows["method"], rows["verdict"], strict=True))


def test_the_best_needs_three_seeds(tmp_path: Path) -> None:
    three = compared(tmp_path / "three", {"a": 0.6, "b": 0.7}, 3)
    one = compared(tmp_path / "one", {"a": 0.6, "b": 0.7}, 1)
    assert verdicts(three) == {"a": "best", "b": "worse"}
    assert verdicts(one) == {"a": "lowest", "b": "worse fit"}
    assert three.limits == []
    assert "how much another training would change the scores is unknown" in one.limits[0]


def test_no_winner_inside_the_noise(tmp_path: Path) -> None:
    summary = compared(tmp_path, {"a": 0.6, "b": 0.6, "c": 0.9}, 3)
    found = verdicts(summary)
    assert sorted(found.values()) == ["lowest", "tied", "worse"]
    assert found["c"] == "worse"
    for text in (markdown(summary.table), latex(summary.table)):
        assert "**" not in text
        assert "textbf" not in text


def test_the_best_is_bold_and_markup_is_text(tmp_path: Path) -> None:
    summary = compared(tmp_path, {"a_1|x": 0.6, "b": 0.7}, 3)
    assert r"**a\_1\|x**" in markdown(summary.table)
    assert r"\textbf{a\_1$|$x}" in latex(summary.table)


def test_a_frame_has_its_columns_and_the_noise_by_its_sources(tmp_path: Path) -> None:
    table = compared(tmp_path, {"a": 0.6}, 3).table
    assert list(table.columns) == COLUMNS
    row = table.iloc[0]
    assert (row["n"], row["seeds"], row["observations"], row["sd_metric"]) == (30, 3, 10, pytest.approx(0.001))
    assert row["sd_observation"] > 10 * row["sd_rest"]
    assert row["low"] < row["mean"] < row["high"]


def test_ranks_over_tasks(tmp_path: Path) -> None:
    ranks = compared(tmp_path, {"a": 0.6, "b": 0.6, "c": 0.9}, 3).ranks.set_index("method")
    assert ranks.loc["c", "rank"] == ranks.loc["c", "high"] == 3
    assert (ranks["low"] < ranks["high"]).all(), "two tasks show no exception, but do not exclude one"
    assert set(ranks["tasks"]) == {2}


def test_a_seed_that_is_not_complete_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    put(tmp_path, {"a": 0.6}, 2, ("slcp",))
    frame = load(tmp_path)
    summary = summarise(frame[(frame["seed"] == 0) | (frame["observation"] < 3)])
    assert (summary.table["seeds"].item(), summary.table["n"].item()) == (1, 10)
    assert "2 scores left out: seeds differ in their observations" in summary.remarks[0]


@pytest.mark.parametrize("width", [80, 120])
def test_text_fits(
    tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    put(tmp_path, {"amp:divergence=jsd,family=implicit(depth=3,width=128)": 0.6, "npe": 0.7}, 3)
    show(tmp_path, [], noise=True, published=True, mix=False)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    assert "mean ranks over 2 tasks" in " ".join(text.split())
    assert "standard deviations of single scores" in text
    assert "ours and published c2st" in text
    assert "strongest published c2st; classifier mlp-10d (sbibm), samples 10000" in " ".join(text.split())
    assert "REJ-ABC" in text
    assert "left out, because not comparable with ours" in text


def test_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, {"a": 0.6, "b": 0.7}, 1)
    show(tmp_path, ["csv"], noise=False, published=False, mix=False)
    printed = capsys.readouterr()
    assert [row["method"] for row in csv.DictReader(io.StringIO(printed.out))] == ["a", "b"] * 2
    assert printed.err.startswith("one seed:"), "what to know is said even where the table cannot hold it"
    show(tmp_path, ["json"], noise=False, published=True, mix=True)
    found = json.loads(capsys.readouterr().out)
    assert {*found} == {"leaderboard", "table", "ranks", "remarks", "limits", "findings", "unchecked"} | {
        "published",
        "published_remarks",
        "strongest",
    }
    assert found["published_remarks"][0].startswith("not comparable with ours, but shown")
    assert found["table"][0]["p"] is None


@pytest.mark.parametrize(
    ("forms", "published", "mix", "complaint"),
    [
        (["csv", "json"], False, False, "give one of --csv, --json"),
        ([], False, True, "give --published as well"),
        (["latex"], True, False, "it has no --latex"),
    ],
)
def test_requests_that_contradict(tmp_path: Path, forms: list[str], published: bool, mix: bool, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        show(tmp_path, forms, False, published, mix)


def test_p_values_are_never_zero() -> None:
    assert p_value(0.0) == "<.001"
