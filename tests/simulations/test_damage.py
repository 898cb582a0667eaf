"""Files of simulations, folders of batches and saved posteriors that are not what they seem: refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damaged_store import UNUSUAL, deep, seal
from torch.distributions import Independent, Normal

from ampbench import files, infer, npz, restore, save
from ampbench.errors import AmpbenchError, ResultsError, ResultsWarning, UsageError
from ampbench.interfaces import state as states
from ampbench.results import tensors
from ampbench.simulations import read_simulations
from ampbench.simulations.folder import Folder

PRIOR = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
ROWS = {"theta": np.zeros((4, 1), np.float32), "x": np.ones((4, 2), np.float32)}
IDENTITY = {"seed": 1, "source": {"x": "abc"}, "size": 10}


def simulate(theta: torch.Tensor) -> torch.Tensor:
    return theta + torch.randn_like(theta)


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet", "nc"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_simulations_that_are_no_file(tmp_path: Path, kind: str, suffix: str) -> None:
    if suffix in ("parquet", "nc"):
        pytest.importorskip({"parquet": "pyarrow", "nc": "xarray"}[suffix])
    path = tmp_path / f"simulations.{suffix}"
    UNUSUAL[kind](path)
    with pytest.raises(UsageError, match=r"cannot read simulations from '.*simulations\."):
        read_simulations(path)


def test_simulations_that_are_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is that of the numbers in memory; zeros take less of the file."""
    np.savez_compressed(tmp_path / "simulations.npz", theta=np.zeros((10**6, 1)), x=np.zeros((10**6, 1)))
    assert len(read_simulations(tmp_path / "simulations.npz")) == 10**6
    monkeypatch.setattr(npz.read_arrays, "__defaults__", (10**7, None))
    with pytest.raises(UsageError, match=r"its arrays have 16,000,000 bytes, more than 10,000,000"):
        read_simulations(tmp_path / "simulations.npz")


def test_a_dataset_that_is_too_large_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("h5netcdf")
    path = tmp_path / "simulations.nc"
    dataset = xarray.Dataset({name: (("sample", f"{name}_dim"), value) for name, value in ROWS.items()})
    dataset.to_netcdf(path, engine="h5netcdf")
    assert len(read_simulations(path)) == 4
    monkeypatch.setattr(files, "MAX_DATA_BYTES", path.stat().st_size)
    monkeypatch.setattr(xarray.DataTree, "nbytes", path.stat().st_size + 1)
    with pytest.raises(UsageError, match="its variables have"):
        read_simulations(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = Folder.open(tmp_path / "store", IDENTITY)
    made.put("1-0/0-4-x", ROWS)
    return made.path


def identity(change: dict[str, Any]) -> Callable[[Path], object]:
    return lambda path: path.write_text(seal(json.loads(path.read_text()) | change))


IDENTITIES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_text(""),
    "list": lambda path: path.write_text("[1]"),
    "deep": lambda path: path.write_text("[" * 10**5),
    "list of sources": identity({"source": [1]}),
    "no source": identity({"source": None}),
    "deep seed": identity({"seed": deep(400)}),
    "huge seed": identity({"seed": 10**400}),
    "long seed": identity({"seed": "x" * 10**6}),
    "huge size": identity({"size": 10**400}),
}


@pytest.mark.parametrize("damage", IDENTITIES)
def test_a_damaged_identity_of_a_folder(folder: Path, damage: str) -> None:
    IDENTITIES[damage](folder / "simulations.json")
    with pytest.raises(AmpbenchError, match="store") as caught:
        Folder.open(folder, IDENTITY)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_no_file_in_a_folder(folder: Path, kind: str) -> None:
    (path,) = folder.glob("*/*.npz")
    path.unlink()
    UNUSUAL[kind](path)
    opened = Folder.open(folder, IDENTITY)
    if kind in ("folder", "loop of links"):
        with (
            pytest.raises(ResultsError, match=path.name),
            pytest.warns(ResultsWarning) if kind == "folder" else nullcontext(),
        ):
            opened.read(["1-0/0-4-x"])
        return
    with pytest.warns(ResultsWarning, match=r"is damaged: it cannot be read: .*; its batch is simulated again"):
        assert opened.read(["1-0/0-4-x"]) == {}
    assert not path.exists()
    (folder / "simulations.json").unlink()
    UNUSUAL[kind](folder / "simulations.json")
    with pytest.raises(ResultsError, match=r"simulations\.json is damaged"):
        Folder.open(folder, IDENTITY)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "posterior.npz"
    save(infer(PRIOR, simulate, budget=100, method="amp:steps=5", progress=lambda *_: None), path)
    return path


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_posterior_that_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "posterior.npz"
    UNUSUAL[kind](path)
    with pytest.raises(UsageError, match=r"no posterior can be read from '.*posterior\.npz'"):
        restore(path, PRIOR, simulate)


NOTES: dict[str, Any] = {
    "list": [1],
    "number": 3,
    "no fields": {"method": "amp:steps=5"},
    "method of a number": {"method": 3},
    "budget of a text": {"budget": "100"},
    "huge budget": {"budget": 10**400},
    "sizes of a list": {"sizes": [1]},
    "negative size": {"sizes": {"theta": -1}},
    "shapes of numbers": {"shapes": {"x": 1}},
    "codes of texts": {"codes": ["a"]},
    "names of numbers": {"names": [1]},
    "deep codes": {"codes": deep(300)},
}


@pytest.mark.parametrize("kind", NOTES)
def test_damaged_notes_of_a_posterior(saved: Path, tmp_path: Path, kind: str) -> None:
    state = tensors.parse(saved.read_bytes())
    (name,) = (name for name, value in state.items() if value.dtype == torch.uint8)
    given = NOTES[kind]
    whole = states.read_text(state[name])
    state[name] = states.text(whole | given if isinstance(given, dict) and kind != "no fields" else given)
    path = tmp_path / "posterior.npz"
    path.write_bytes(tensors.dump(state))
    with pytest.raises(UsageError, match=r"posterior\.npz'"):
        restore(path, PRIOR, simulate)


STATES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "texts of numbers": lambda value: value[None],
    "one number": lambda value: torch.tensor(0.0),
    "integers": lambda value: torch.zeros(3, dtype=torch.int8),
    "nothing": lambda value: torch.zeros(0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATES)
def test_damaged_states_of_a_posterior(saved: Path, tmp_path: Path, kind: str) -> None:
    """Each tensor in turn: the posterior is refused by a UsageError, or is one, as if the tensor held other numbers."""
    state = tensors.parse(saved.read_bytes())
    path = tmp_path / "posterior.npz"
    for name, value in state.items():
        path.write_bytes(tensors.dump(state | {name: STATES[kind](value)}))
        with suppress(UsageError):
            restore(path, PRIOR, simulate)
