"""Stored simulations are read from every kind of source, with one meaning, or refused by name."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.simulations import read_simulations, read_variables

THETA = np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0], [0.4, 4.0]])
X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0], [10.0, 11.0, 12.0]])


def frame(theta: list[str], x: list[str]) -> pd.DataFrame:
    return pd.DataFrame(np.concatenate([THETA, X], axis=1), columns=[*theta, *x])


def npz(folder: Path) -> Path:
    np.savez(folder / "runs.npz", theta=THETA, x=X)
    return folder / "runs.npz"


def csv(folder: Path) -> Path:
    frame(["theta_1", "theta_2"], ["x_1", "x_2", "x_3"]).to_csv(folder / "runs.csv", index=False)
    return folder / "runs.csv"


def parquet(folder: Path) -> Path:
    pytest.importorskip("pyarrow")
    frame(["theta[0]", "theta[1]"], ["x[0]", "x[1]", "x[2]"]).to_parquet(folder / "runs.parquet")
    return folder / "runs.parquet"


def dataset() -> Any:
    xarray = pytest.importorskip("xarray")
    return xarray.Dataset({"theta": (("sample", "parameter"), THETA), "x": (("sample", "datum"), X)})


def netcdf(folder: Path) -> Path:
    dataset().to_netcdf(folder / "runs.nc")
    return folder / "runs.nc"


def arviz(folder: Path) -> Path:
    xarray = pytest.importorskip("xarray")
    rows = ("chain", "draw")
    prior = {name: (rows, THETA[:, i].reshape(2, 2)) for i, name in enumerate(("beta", "gamma"))}
    groups = {"prior": prior, "prior_predictive": {"cases": ((*rows, "day"), X.reshape(2, 2, 3))}}
    tree = xarray.DataTree.from_dict({name: xarray.Dataset(each) for name, each in groups.items()})
    tree.to_netcdf(folder / "tree.nc")
    return folder / "tree.nc"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "numpy": lambda folder: (THETA, X),
    "torch, single precision": lambda folder: (torch.tensor(THETA, dtype=torch.float32), torch.tensor(X)),
    "torch with gradients": lambda folder: (torch.tensor(THETA, requires_grad=True), torch.tensor(X)),
    "lists": lambda folder: [THETA.tolist(), X.tolist()],
    "frames": lambda folder: (pd.DataFrame(THETA), pd.DataFrame(X.astype(int))),
    "columns of objects": lambda folder: (pd.DataFrame(THETA).astype(object), X),
    "big-endian": lambda folder: (THETA.astype(">f8"), X.astype(">i2")),
    "unsigned": lambda folder: (THETA, X.astype(np.uint8)),
    "mapping": lambda folder: {"theta": THETA, "x": X},
    "frame": lambda folder: frame(["theta0", "theta1"], ["x0", "x1", "x2"]),
    "frame, out of order": lambda folder: frame(["theta_1", "theta_2"], ["x.1", "x.2", "x.3"]).iloc[:, [4, 1, 2, 0, 3]],
    "frame, other names of data": lambda folder: frame(["theta[0]", "theta[1]"], ["day 1", "day 2", "day 3"]),
    "npz": npz,
    "npz by its text": lambda folder: str(npz(folder)),
    "csv": csv,
    "parquet": parquet,
    "netcdf": netcdf,
    "dataset": lambda folder: dataset(),
    "arviz": arviz,
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_has_one_meaning(kind: str, tmp_path: Path) -> None:
    found = read_simulations(SOURCES[kind](tmp_path))
    torch.testing.assert_close(found.values["theta"].double(), torch.tensor(THETA), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.values["x"].double(), torch.tensor(X), rtol=0, atol=0)
    assert len(found) == 4


def test_columns_are_named_by_the_user() -> None:
    table = frame(["beta", "gamma"], ["a", "b", "id"])
    found = read_simulations(table, parameters=["gamma", "beta"], observed=["b", "a"])
    assert torch.equal(found.values["theta"], torch.tensor(THETA[:, ::-1].copy()))
    assert torch.equal(found.values["x"], torch.tensor(X[:, [1, 0]]))
    assert found.names == ("gamma", "beta")
    assert read_simulations(table, parameters=["beta", "gamma"]).values["x"].shape == (4, 3)
    assert read_simulations(frame(["theta1", "theta2"], ["x1", "x2", "x3"])).names == ()


def test_rows_of_images_are_flattened() -> None:
    found = read_simulations((THETA[:, 0], X.reshape(4, 1, 3)))
    assert (found.values["theta"].shape, found.values["x"].shape) == ((4, 1), (4, 3))


def test_variables_of_a_graph_are_read(tmp_path: Path) -> None:
    table = frame(["mu", "theta_1"], ["y[0]", "y[1]", "y[2]"])
    table.to_csv(tmp_path / "a.csv", index=False)
    for source in (table, tmp_path / "a.csv", {"mu": THETA[:, 0], "theta_1": THETA[:, 1], "y": X}):
        found = read_variables(source, ("mu", "theta_1", "y"))
        assert torch.equal(found.values["y"], torch.tensor(X))
        assert found.values["mu"].shape == (4, 1)
    with pytest.raises(UsageError, match="no column for variable 'z'"):
        read_variables(table, ("z",))
    with pytest.raises(UsageError, match="a mapping with an array for each"):
        read_variables((THETA, X), ("mu", "y"))


def with_nan(values: np.ndarray) -> np.ndarray:
    spoilt = values.copy()
    spoilt[2, 1] = np.nan
    return spoilt


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "rows": (lambda: (THETA, X[:3]), "theta has 4 rows, x has 3 rows"),
    "NaN": (
        lambda: (THETA, with_nan(X)),
        "x has NaN or infinite values in 1 of 4 rows; the first is nan in row 2, comp",
    ),
    "infinite": (
        lambda: (THETA / 0.0, X),
        "theta has NaN or infinite values in 4 of 4 rows; the first is inf in row 0",
    ),
    "NaN in a column": (lambda: pd.DataFrame({"theta": [1.0, np.nan], "x": [0, 1]}), "theta has NaN .* in row 1"),
    "NA": (lambda: pd.DataFrame({"theta": [1.5, 2.5], "x": [pd.NA, 1]}), "x has NaN .* in row 0"),
    "None": (lambda: ([[1.0], [None]], X[:2]), "theta has NaN .* in row 1"),
    "dates": (lambda: (pd.to_datetime(["2020-01-01"]), X[:1]), "not of real numbers"),
    "text": (lambda: (np.array([["a"]] * 4), X), "theta is a ndarray of <U1, not of real numbers"),
    "digits": (lambda: (THETA.astype(str), X), "not of real numbers"),
    "complex": (lambda: (THETA * 1j, X), "not of real numbers"),
    "ragged": (lambda: ([[1.0], [1.0, 2.0]], X[:2]), "theta is a list that is no array of numbers"),
    "a number": (lambda: (3.0, X), "theta is a float of shape .*, which has no row"),
    "no rows": (lambda: (THETA[:0], X[:0]), "which has no row of numbers"),
    "no components": (lambda: (THETA[:, :0], X), "which has no row of numbers"),
    "three arrays": (lambda: (THETA, X, X), r"give the pair \(theta, x\)"),
    "no columns of theta": (lambda: frame(["a", "b"], ["x1", "x2", "x3"]), "none of which is called theta"),
    "a gap": (lambda: frame(["theta_1", "theta_3"], ["x1", "x2", "x3"]), "number 2 is missing"),
    "a late start": (lambda: frame(["theta_2", "theta_3"], ["x1", "x2", "x3"]), "number 1 is missing"),
    "twice": (lambda: frame(["theta_1", "theta1"], ["x1", "x2", "x3"]), "two columns 'theta_1' and 'theta1'"),
    "whole and parts": (lambda: frame(["theta", "theta1"], ["x1", "x2", "x3"]), "and also 'theta1'"),
    "an index": (lambda: frame(["theta0", "theta1"], ["Unnamed: 0", "a", "b"]), "the column 'Unnamed: 0' beside"),
    "unknown columns": (lambda: frame(["theta0", "theta1"], ["x1", "x2", "time"]), "the column 'time' beside"),
    "no data": (lambda: pd.DataFrame(THETA, columns=["theta0", "theta1"]), "no column of data x"),
    "equal names": (lambda: frame(["theta", "x"], ["x", "a", "b"]), "two columns are called 'x'"),
    "a suffix": (lambda: "runs.xlsx", r"whose suffix is '.xlsx'; known are .npz, .csv"),
    "no file": (lambda: Path("nowhere.npz"), "no file 'nowhere.npz'"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_unclear_is_refused(kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(UsageError, match=message):
        read_simulations(make())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (["beta", "q"], "no column 'q'"),
        (["beta"], "'beta' is named among"),
        (["gamma", "gamma"], "names the column 'gamma' twice"),
        ("gamma", "parameters is the text 'gamma'; give a list"),
    ],
)
def test_wrong_names_of_columns_are_refused(parameters: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_simulations(frame(["beta", "gamma"], ["a", "b", "c"]), parameters, observed=["beta", "a"])


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".nc"])
def test_damaged_files_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"runs{suffix}"
    path.write_bytes(b"\x00\x01 not what it says")
    with pytest.raises(UsageError, match=f"runs{suffix}"):
        read_simulations(path)


@pytest.mark.parametrize(
    ("suffix", "missing", "extra"), [(".nc", "xarray", "arviz"), (".parquet", "pyarrow", "parquet")]
)
def test_a_missing_library_is_named(
    suffix: str, missing: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"runs{suffix}"
    path.write_bytes(b"")
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] in (missing, "fastparquet"):
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=rf"needs {missing}.*pip install 'ampbench\[{extra}\]'"):
        read_simulations(path)


def test_whole_tensors_are_not_shared() -> None:
    theta: Tensor = torch.tensor(THETA)
    found = read_simulations((theta, X))
    theta.mul_(100)
    assert torch.equal(found.values["theta"], torch.tensor(THETA))
