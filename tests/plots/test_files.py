"""Figures as files: every kind in every format, equal bytes, hostile names, and paths that cannot be written."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from torch.distributions import Independent, Normal

from ampbench.errors import UsageError
from ampbench.figures.style import FORMATS, folded, image, looks, shown
from ampbench.graph import Graph, density, simulator
from ampbench.plots import (
    calibration_plot,
    graph_plot,
    pair_plot,
    pair_plots,
    predictive_plot,
    save_figure,
    training_plot,
)
from ampbench.plots.budget import draw_budgets
from ampbench.plots.pareto import draw_pareto
from ampbench.plots.scores import scores

HOSTILE = ["$\\frac{", "_hidden", "a" * 300, "x$y$z^2_3", "\\textbf{x}", "\x1b[31m\u202e\n", "中文", "", "<svg>&]]>"]
ONE = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def pairs(names: list[str]) -> Figure:
    draws = torch.linspace(-1, 1, 250 * len(names)).reshape(250, -1).sin()
    return pair_plot(draws, names, draws + 0.1, draws[0], title=names[0])


def side_by_side(names: list[str]) -> Figure:
    draws = torch.linspace(-1, 1, 500).reshape(250, 2).cos()
    return pair_plots(dict.fromkeys(names[:2], draws), ["a", "b"], title=names[0])


def predictive(names: list[str]) -> Figure:
    return predictive_plot(torch.linspace(0, 1, 50 * 2).reshape(50, 2), torch.zeros(2), names[:2])


def calibration(names: list[str]) -> Figure:
    ranks = [(i + 0.5) / 60 for i in range(60)]
    return calibration_plot({name or "empty": dict.fromkeys(names, ranks) for name in names[:2]})


def training(names: list[str]) -> Figure:
    columns = {"step": [1, 2, 3], "held_out_score": [3.0, 1.0, float("nan")]}
    columns |= {f"family loss ({name})": [1.0, float("inf"), 2.0] for name in names}
    return training_plot(pd.DataFrame(columns), names[0])


def model(names: list[str]) -> Figure:
    known = [name for name in names if name]
    nodes = [density(known[0], ONE)]
    nodes += [simulator(name, torch.sin, [before]) for before, name in itertools.pairwise(known)]
    return graph_plot(Graph(*nodes), [known[-1]], title=names[0])


KINDS: dict[str, Callable[[list[str]], Figure]] = {
    "pairs": pairs,
    "side by side": side_by_side,
    "predictive": predictive,
    "calibration": calibration,
    "training": training,
    "graph": model,
}
PLAIN = ["a", "b_1", "c"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("kind", KINDS)
def test_equal_figures_are_equal_files(kind: str, suffix: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_figure(KINDS[kind](PLAIN), tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert len(one) > 3000
    assert one.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix])
    assert b"2026-" not in one, "no date"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one{suffix}", f"two{suffix}"]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_text(kind: str) -> None:
    """No name is mathematics, stops the drawing, or vanishes; warnings are errors here."""
    names = HOSTILE[:4] if kind in ("pairs", "training") else HOSTILE
    assert image(KINDS[kind](names), ".svg")


@pytest.mark.parametrize("name", HOSTILE)
def test_methods_of_any_name(frame: pd.DataFrame, name: str) -> None:
    first, task = frame[["method", "task"]].iloc[0]
    found = scores(frame.assign(method=frame["method"].replace(first, name or "x"))[frame["task"] == task])
    for draw in (draw_budgets, draw_pareto):
        figure = draw(found)
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert len(set(legend)) == len(legend) >= 2
        image(figure)


@pytest.mark.parametrize("name", HOSTILE)
def test_shown_names_are_short_and_no_mathematics(name: str) -> None:
    from matplotlib.cbook import is_math_text

    text = shown(name, 20)
    assert not is_math_text(text)
    assert not text.startswith("_")
    assert text.isprintable()
    assert len(name) <= 20 or "…" in text


def test_lines_are_not_broken_within_an_escape() -> None:
    for size in range(15, 25):
        assert r"\$" * 4 in folded("x" * size + r"\$" * 4 + "y" * 30, 0.0).replace("\n", "")
        assert not any(line.startswith("$") for line in folded("x" * size + r"\$" * 4, 0.0).splitlines())


def test_looks_differ() -> None:
    assert len(set(looks(map(str, range(70))).values())) == 70


def test_global_state_is_unchanged() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 33, "axes.grid": False, "lines.linewidth": 9}):
        strange = image(KINDS["training"](PLAIN))
        assert matplotlib.rcParams["font.size"] == 33
    assert image(KINDS["training"](PLAIN)) == strange, "a matplotlibrc has no effect"
    assert dict(matplotlib.rcParams) == before
    if "matplotlib.pyplot" in sys.modules:  # corner imports it
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x.gif", r"the suffix '\.gif' is none of \.png, \.svg, \.pdf"),
        ("x", r"the suffix '' is none of"),
        ("no/x.png", r"the folder .*no does not exist; make it first"),
        ("folder.png", r"it is a folder"),
    ],
)
def test_paths_that_cannot_be_written(path: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match=message):
        save_figure(Figure(), tmp_path / path)
    assert [each.name for each in tmp_path.iterdir()] == ["folder.png"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_figure(Figure(), tmp_path / "x.png")
    old = (tmp_path / "x.png").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left on device"):
        save_figure(KINDS["training"](PLAIN), tmp_path / "x.png")
    assert [each.name for each in tmp_path.iterdir()] == ["x.png"]
    assert (tmp_path / "x.png").read_bytes() == old


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (training, model, calibration, predictive):
        with pytest.raises(UsageError, match=r"matplotlib, which is not installed: pip install 'ampbench\[plots\]'"):
            draw(PLAIN)
