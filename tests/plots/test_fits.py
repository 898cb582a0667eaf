"""Calibration and training: closed forms of bands and curves, and stored fits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Independent, Normal

import ampbench
from ampbench.errors import UsageError
from ampbench.plots import calibration_plot, posterior_ranks, training_plot
from ampbench.plots.calibration import Calibrated, band, distribution, draw_calibration
from ampbench.plots.pairs import Pairs, of_files
from ampbench.plots.stored import calibration_of_assessment, calibration_of_folder

PRIOR = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)


def test_the_band_is_that_of_the_test() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = generator.uniform(size=60) ** generator.uniform(0.6, 1.4)
        x, f = distribution(values)
        outside = np.abs(f - x).max() > band(60, 4)
        assert outside == (kstest(values, "uniform", method="exact").pvalue < 0.05 / 4)


def test_curves_are_distribution_and_coverage() -> None:
    ranks = [0.1, 0.2, 0.9, 0.5]
    left, right = calibration_plot({"fit": {"a": ranks}}).axes
    x, deviation = left.lines[1].get_data()
    assert deviation == pytest.approx(distribution(ranks)[1] - x)
    levels, coverage = right.lines[1].get_data()
    for level in (0.05, 0.3, 0.7, 0.95):
        expected = np.mean(np.abs(2 * np.array(ranks) - 1) <= level)
        assert coverage[np.searchsorted(levels, level) - 1] == pytest.approx(expected)


def test_of_many_parameters_the_worst_are_coloured() -> None:
    good = [(i + 0.5) / 100 for i in range(100)]
    fit = {f"p{i}": good for i in range(20)} | {"bad": [value**3 for value in good]}
    names = [text.get_text() for text in calibration_plot({"fit": fit}).legends[0].get_texts()]
    assert "bad" in names
    assert "15 others, with smaller deviations" in names


def test_without_ranks_coverage_is_drawn() -> None:
    figure = draw_calibration({"old": Calibrated(200, coverage={0.5: 0.4, 0.9: 0.8})})
    points = [line.get_data() for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert [(float(x[0]), float(y[0])) for x, y in points] == [(0.5, 0.4), (0.9, 0.8)]


@pytest.mark.parametrize("ranks", [{}, {"a": []}, {"a": [0.5], "b": [0.1, 0.2]}, {"a": [math.nan]}, {"a": [1.5]}])
def test_what_are_no_ranks(ranks: dict[str, list[float]]) -> None:
    with pytest.raises(UsageError, match="are no numbers from 0 to 1"):
        calibration_plot({"fit": ranks})


def test_ranks_of_a_posterior() -> None:
    posterior = ampbench.infer(PRIOR, lambda t: t + 0.5 * torch.randn_like(t), budget=200, method="rejection-abc")
    ranks = posterior_ranks(posterior, 50)
    assert ranks == posterior_ranks(posterior, 50)
    assert list(ranks) == ["theta[0]", "theta[1]"]
    assert all(len(each) == 50 and 0 <= min(each) <= max(each) <= 1 for each in ranks.values())


def test_an_old_folder_has_coverage_only(tmp_path: Path) -> None:
    content = {"held_out": 60, "fault": "none found", "p": 0.5, "coverage": {"50": 0.5, "90": 0.8}, "outside": ""}
    (tmp_path / "calibration.json").write_text(json.dumps(content))
    (tmp_path / "request.json").write_text(json.dumps({"method": "npe"}))
    label, found = calibration_of_folder(tmp_path)
    assert (label, found.ranks, found.coverage) == (f"npe, {tmp_path.name}", {}, {0.5: 0.5, 0.9: 0.8})
    (tmp_path / "calibration.json").write_text(json.dumps(content | {"ranks": {"a": [2.0]}}))
    with pytest.raises(UsageError, match=r"ranks\.a is 2\.0"):
        calibration_of_folder(tmp_path)


def test_assessments_are_read(tmp_path: Path) -> None:
    good = {"method": "amp", "budget": 1000, "error": "", "coverage_50": 0.5, "coverage_90": 0.9}
    bad = {"method": "npe", "budget": 1000, "error": "no sbi"}
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"held_out": 50, "fits": [good, bad], "ranks": {"amp, budget 1,000": {"a": [0.5] * 50}}})
    )
    found, remarks = calibration_of_assessment(path)
    assert found == {"amp, budget 1,000": Calibrated(50, {"a": [0.5] * 50}, {0.5: 0.5, 0.9: 0.9})}
    assert remarks == ["npe, budget 1,000 failed: no sbi"]
    for text in ("[]", "{", '{"fits": [{}]}', '{"fits": 3, "held_out": 1}'):
        path.write_text(text)
        with pytest.raises(UsageError, match="no output of 'ampbench assess --json'"):
            calibration_of_assessment(path)


def test_training_curves_are_the_columns() -> None:
    history = pd.DataFrame(
        {
            "step": [10, 20, 30],
            "held_out_score": [3.0, 1.0, 2.0],
            "adversary loss (a | x)": [1.0, math.inf, 0.5],
            "adversary gradient norm": [1.0, 0.1, 0.01],
            "family learning rate": [math.nan] * 3,
        }
    )
    figure = training_plot(history)
    titles = {axis.get_title(): axis for axis in figure.axes}
    assert list(titles) == ["held-out score", "loss of the adversaries", "gradient norm"]
    score = titles["held-out score"]
    assert score.lines[0].get_ydata().tolist() == [3.0, 1.0, 2.0]
    assert score.lines[1].get_xdata()[0] == 20, "the lowest score"
    assert titles["loss of the adversaries"].lines[0].get_xdata().tolist() == [10, 30]
    assert titles["gradient norm"].get_yscale() == "log"
    told = " ".join(text.get_text().replace("\n", " ") for text in figure.texts)
    assert "adversary loss (a | x): 1 infinite values left out" in told
    assert "family learning rate: no value" in told


@pytest.mark.parametrize("history", [pd.DataFrame(), pd.DataFrame({"loss": [1.0]}), pd.DataFrame({"step": [1]})])
def test_what_is_no_history(history: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match=r"no step|no finite number"):
        training_plot(history)


def test_samples_of_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", theta=np.array([[1.0, 2.0], [math.nan, 0.0], [3.0, 4.0]]))
    (tmp_path / "b.csv").write_text("u,'-v\n1,2\n3,4\n")
    found = of_files([tmp_path / "a.npz", tmp_path / "b.csv"])
    assert found.names == ("u", "-v")
    assert {label: each.tolist() for label, each in found.samples.items()} == {
        "a.npz": [[1.0, 2.0], [3.0, 4.0]],
        "b.csv": [[1.0, 2.0], [3.0, 4.0]],
    }
    assert found.remarks == (f"{tmp_path / 'a.npz'}: 1 of 3 rows are NaN or infinite, and left out",)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"1 2", "it is no .npz, no .csv"),
        ("a.npz", b"PK", "no samples can be read"),
        ("a.csv", b"a,b\n1,x\n", "no samples can be read"),
        ("missing.csv", None, "no samples can be read"),
    ],
)
def test_files_without_samples(name: str, content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        of_files([tmp_path / name])
    np.savez(tmp_path / "posterior.npz", families=np.zeros(3))
    with pytest.raises(UsageError, match="has no array theta"):
        of_files([tmp_path / "posterior.npz"])


def test_components_are_chosen_by_name_or_number() -> None:
    found = Pairs({"a": torch.arange(60.0).reshape(3, 20)}, tuple(f"t{i}" for i in range(20)), truth=torch.arange(20.0))
    chosen = found.choosing("t19, 0")
    assert chosen.names == ("t19", "t0")
    assert chosen.samples["a"].tolist() == [[19.0, 0.0], [39.0, 20.0], [59.0, 40.0]]
    assert chosen.truth is not None
    assert chosen.truth.tolist() == [19.0, 0.0]
    assert found.choosing("").remarks == ("the first 12 of 20 components are drawn; choose by --components",)
    with pytest.raises(UsageError, match="no component '20'; there are: t0, t1"):
        found.choosing("20")
    with pytest.raises(UsageError, match="20 components chosen; choose 1 to 12"):
        found.choosing(",".join(found.names))
    with pytest.raises(UsageError, match="2 true parameters"):
        found.with_truth("1,2")
