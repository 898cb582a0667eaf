"""``ampbench plot`` on committed records, stored samples, folders and models."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the plots need matplotlib and corner: pip install 'ampbench[plots]'")
pytest.importorskip("corner", reason="the plots need matplotlib and corner: pip install 'ampbench[plots]'")

from ampbench.cli.app import main
from ampbench.results.store import Store

COMMITTED = Path(__file__).parents[2] / "results" / "without_density"
RUNS = "plot pairs --results store --task two_moons --observation 1"
MODEL = """
import torch
from torch.distributions import Independent, Normal
from ampbench.graph import Graph, density, simulator
prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
simulate = torch.sin
graph = Graph(density("a", prior), density("b", prior), simulator("x", torch.add, ["a", "b"]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the committed runs of one observation, with samples, and a module with a model."""
    generator = np.random.default_rng(0)
    for record in Store(COMMITTED).records():
        if record.run.observation == 1:
            size = 2 if record.run.task == "two_moons" else 5
            Store(tmp_path / "store").put(record, generator.normal(size=(record.run.samples, size)))
    (tmp_path / "plotted_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "plotted_model", raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, line: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ampbench", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("line", "output"),
    [
        (RUNS, "pairs.png"),
        (f"{RUNS} --method amp:divergence=jsd,family=implicit --components 1 -o p.svg", "p.svg"),
        (f"plot budget --results {COMMITTED} -o b.pdf", "b.pdf"),
        (f"plot pareto --results {COMMITTED} --task slcp", "pareto.png"),
        ("plot graph diamond", "graph.png"),
        ("plot graph plotted_model:simulate --prior plotted_model:prior -o g.SVG", "g.SVG"),
        ("plot graph plotted_model:graph --observed x --only a", "graph.png"),
    ],
)
def test_a_file_and_its_name(
    folder: Path, line: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, line) == 0
    assert capsys.readouterr().out.splitlines()[0] == output
    assert (folder / output).stat().st_size > 3000


def test_json(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "plot budget --results store --json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["output"] == "budget.png"
    assert any(remark.startswith("one seed: ") for remark in found["remarks"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("plot pairs --results store", "select one by: --task slcp or two_moons"),
        (f"{RUNS} --components 7", "no component '7'; there are: theta[0], theta[1]"),
        (f"{RUNS} --truth 1", "1 true parameters '1', where 2 finite numbers should be"),
        (f"plot pairs --results {COMMITTED} --task slcp --observation 1", "only its numbers were kept"),
        ("plot pairs x.csv --task slcp", "give one of them"),
        ("plot pairs x.csv", "no samples can be read from x.csv"),
        ("plot budget --results store --metric nope", "no stored run has the metric 'nope'; there are: c2st"),
        ("plot budget --results store --budget 7", "no stored run has budget '7'; there are: 100000"),
        ("plot pareto --results nowhere", "there is no results directory 'nowhere'"),
        ("plot budget --results store -o x.gif", "none of .png, .svg, .pdf"),
        ("plot budget --results store -o no/x.png", "the folder no does not exist"),
        ("plot calibration --results store --task slcp", "its fit is not kept"),
        ("plot calibration store", "holds no calibration.json"),
        ("plot training --results store --task slcp", "neither ranks nor training curves"),
        ("plot training store", "is no folder of 'ampbench infer'"),
        ("plot graph nowhere", "unknown task 'nowhere'"),
        ("plot graph plotted_model:simulate", "needs a prior"),
        ("plot graph plotted_model:simulate --observed x", "not an ampbench.graph.Graph"),
        ("plot graph plotted_model:graph --observed y", "unknown variable 'y'"),
        ("plot graph lgssm:length=50 --unfolded", "at most 60 are drawn"),
    ],
)
def test_errors_name_the_culprit_and_write_nothing(
    folder: Path, line: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name for path in folder.iterdir()}
    assert run(monkeypatch, line) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert {path.name for path in folder.iterdir()} - before <= {"__pycache__"}
