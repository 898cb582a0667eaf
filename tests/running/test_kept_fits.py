"""Fits that are kept: none is made twice, and none is believed that is not what it was."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal

from ampbench import hookimpl
from ampbench.errors import ResultsError
from ampbench.graph import Simulator
from ampbench.interfaces import CanRestore, HasDensity, HasState, Method, Posterior, Progress, Task
from ampbench.interfaces.events import Event, Fitting, Note
from ampbench.registry import Plugin
from ampbench.registry import load as load_plugins
from ampbench.results import Run, load, upkeep
from ampbench.results.record import Origin
from ampbench.results.store import Store
from ampbench.running import jobs, runner, sweep
from ampbench.running.context import Services
from ampbench.running.plan import plan

FITS: list[int] = []
BROKEN: list[Tensor] = []
"""Observations at which sampling raises."""


class Regression(Method, CanRestore):
    """Least squares, component by component: in one process LAPACK's last digits are not always the same.

    Arguments:
        fault: of the state: ``raises`` or ``no tensor``.
    """

    def __init__(self, fault: str = "") -> None:
        self.fault = fault

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        FITS.append(simulator.seed)
        values = simulator.sample(simulator.remaining)
        x, theta = values["x"], values["theta"]
        return Line(self, (x * theta).sum(0) / x.square().sum(0))

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        assert simulator.budget == 0
        return Line(self, state["slope"])


class Line(Posterior, HasState, HasDensity):
    def __init__(self, method: Regression, slope: Tensor) -> None:
        self.method, self.slope = method, slope

    def state(self) -> Mapping[str, Tensor]:
        if self.method.fault == "raises":
            raise RuntimeError("no state today")
        return {"slope": 3 if self.method.fault == "no tensor" else self.slope}  # type: ignore[dict-item]

    def sample(self, observation: Tensor, n: int) -> Tensor:
        if any(torch.equal(observation, each) for each in BROKEN):
            raise RuntimeError("not this one")
        return observation * self.slope + 0.1 * torch.randn(n, 2)

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return Normal(context * self.slope, 0.1).log_prob(value).sum(-1)


REGISTRY = load_plugins()
REGISTRY.register(
    Plugin("test", "test", "0", "test"), SimpleNamespace(methods=hookimpl(lambda: {"regression": Regression}))
)
TASK: Task = REGISTRY.build("tasks", "two_moons")


@pytest.fixture(autouse=True)
def _nothing_is_broken() -> None:
    FITS.clear()
    BROKEN.clear()


def runs(method: str = "regression", **more: object) -> list[Run]:
    asked = {"tasks": ["two_moons"], "metrics": ["mmd"], "budgets": [50], "samples": 40, "observations": [1, 2, 3]}
    asked |= {"methods": [method], **more}
    return sweep.runs(sweep.check(asked, "test"), REGISTRY)


def execute(folder: Path, method: str = "regression", **more: object) -> list[Event]:
    heard, store = list[Event](), Store(folder)
    runner.execute(jobs.pending(runs(method, **more), store), Services(REGISTRY, store, "cpu", heard.append))
    return heard


def notes(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Note)]


def content(folder: Path) -> pd.DataFrame:
    """All but the clock, which a repetition does not repeat."""
    return load(folder).drop(columns=["finished", "sample_seconds", "metric_seconds", "fit_seconds"])


def test_an_observation_that_is_asked_for_later_costs_no_fit(tmp_path: Path) -> None:
    execute(tmp_path / "at once")
    execute(tmp_path / "later", observations=[2])
    store = Store(tmp_path / "later")
    assert [planned.state for planned in plan(runs(), store).runs] == ["fitted", "done", "fitted"]
    assert not any(planned.refit for planned in plan(runs(), store).runs[::2])
    heard = execute(tmp_path / "later")
    assert FITS == [0, 0], "one for each folder"
    assert not any(isinstance(event, Fitting) for event in heard)
    assert content(tmp_path / "later").equals(content(tmp_path / "at once"))
    assert load(tmp_path / "later")["fit_seconds"].nunique() == 1, "that of the fit"
    for key in store.all_keys():
        assert store.samples(key).tobytes() == Store(tmp_path / "at once").samples(key).tobytes()


def test_a_metric_that_asks_the_posterior_later_costs_no_fit(tmp_path: Path) -> None:
    execute(tmp_path / "at once", metrics=["mmd", "nltp"])
    execute(tmp_path / "later")
    execute(tmp_path / "later", metrics=["mmd", "nltp"])
    assert FITS == [0, 0], "one for each folder"
    assert load(tmp_path / "later")["nltp"].dropna().tolist() == load(tmp_path / "at once")["nltp"].tolist()
    shutil.rmtree(tmp_path / "later" / "fits")
    execute(tmp_path / "later", metrics=["nltp"])
    failed = load(tmp_path / "later").query("status == 'failed'")
    assert failed["error"].str.contains("of the posterior nothing is kept").tolist() == [True] * 3


def test_a_failed_observation_costs_no_fit(tmp_path: Path) -> None:
    BROKEN.append(TASK.numbered(3).x)
    execute(tmp_path)
    assert load(tmp_path)["status"].tolist() == ["ok", "ok", "failed"]
    BROKEN.clear()
    execute(tmp_path)
    assert load(tmp_path)["status"].tolist() == ["ok"] * 3
    assert FITS == [0]


@pytest.mark.parametrize("more", [{"samples": 20}, {"metrics": ["bias"]}, {"seeds": [0], "observations": [2]}])
def test_what_does_not_determine_a_fit(tmp_path: Path, more: Mapping[str, object]) -> None:
    execute(tmp_path, observations=[1])
    execute(tmp_path, **more)
    assert FITS == [0]


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("seed", 1),
        ("budget", 51),
        ("resolved", "other"),
        ("task", "other"),
        ("task_version", "2"),
        ("packages", ("b",)),
    ],
)
def test_what_determines_a_fit(what: str, value: object) -> None:
    (run, *_) = runs()
    assert replace(run, **{what: value}).origin_key != run.origin_key  # type: ignore[arg-type]


def test_a_fit_belongs_to_the_versions_that_made_it(tmp_path: Path) -> None:
    """As samples do: those of another version are left where they are, and it is fitted anew."""
    (run,) = runs(observations=[1])
    Store(tmp_path).put_fit(replace(run, packages=("torch==0.4.*",)), {"slope": torch.ones(2)}, ORIGIN)
    execute(tmp_path)
    assert FITS == [0]
    assert upkeep.check(Store(tmp_path)).fits == 2


ORIGIN = Origin(1.0, 50, "cpu", {"torch": "2"}, "abc")


def kept(folder: Path) -> tuple[Path, Path]:
    """How the only fit came about, and its state."""
    (about,), (state,) = (list((folder / "fits").glob(f"*.{kind}")) for kind in ("json", "npz"))
    return about, state


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "empty": lambda about, state: state.write_bytes(b""),
    "torn": lambda about, state: state.write_bytes(state.read_bytes()[:-9]),
    "a flipped bit": lambda about, state: flip(state),
    "a torn description": lambda about, state: about.write_text(about.read_text()[:40]),
    "another time": lambda about, state: about.write_text(
        about.read_text().replace('"simulations": 50', '"simulations": 5')
    ),
    "of another fit": lambda about, state: about.rename(about.with_stem("0" * 20)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_fit_is_reported_and_made_again(tmp_path: Path, damage: str) -> None:
    execute(tmp_path / "whole")
    execute(tmp_path / "r", observations=[1])
    about, state = kept(tmp_path / "r")
    before = state.read_bytes()
    DAMAGES[damage](about, state)
    (found, *_) = upkeep.check(Store(tmp_path / "r")).damages
    assert found.path.parent.name == "fits"
    assert plan(runs(), Store(tmp_path / "r")).runs[1].state == "missing"
    heard = execute(tmp_path / "r")
    assert FITS == [0, 0, 0]
    if damage != "of another fit":
        assert any("is damaged" in note and "the kept fit is left aside" in note for note in notes(heard))
        assert not upkeep.check(Store(tmp_path / "r")).damages
    assert state.read_bytes() == before
    pd.testing.assert_frame_equal(content(tmp_path / "r"), content(tmp_path / "whole"))


def test_a_fit_without_its_state_is_made_again(tmp_path: Path) -> None:
    execute(tmp_path, observations=[1])
    kept(tmp_path)[1].unlink()
    assert not upkeep.check(Store(tmp_path)).damages
    execute(tmp_path)
    assert FITS == [0, 0]


def test_a_state_that_is_refused(tmp_path: Path) -> None:
    """As by another commit of the same version, whose networks are built otherwise; it gives way to the new one."""
    Store(tmp_path).put_fit(runs()[0], {"weight": torch.ones(2)}, ORIGIN)
    (note,) = notes(execute(tmp_path, observations=[1]))
    assert note.endswith("the kept fit cannot be restored, and is left aside: KeyError: 'slope'")
    assert notes(execute(tmp_path)) == []
    assert FITS == [0]
    assert (load(tmp_path)["status"] == "ok").all()


@pytest.mark.parametrize(("fault", "reason"), [("raises", "no state today"), ("no tensor", "'slope' is a int, not a")])
def test_a_fit_that_cannot_be_kept(tmp_path: Path, fault: str, reason: str) -> None:
    """It costs the next observation a fit, and nothing else."""
    (note,) = notes(execute(tmp_path, f"regression:fault={fault}", observations=[1]))
    assert "the fit cannot be kept: " in note
    assert reason in note
    execute(tmp_path, f"regression:fault={fault}")
    assert FITS == [0, 0]
    assert (load(tmp_path)["status"] == "ok").all()
    assert upkeep.check(Store(tmp_path)).fits == 0


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "fits").write_text("in the way")
    with pytest.raises(ResultsError, match=r"cannot write .*fits"):
        execute(tmp_path)


def test_cleaning_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept fits stay until they are named; what nothing refers to goes when it is old."""
    execute(tmp_path)
    store = Store(tmp_path)
    about, state = kept(tmp_path)
    stray = store.fits / f"{'0' * 64}.npz"
    shutil.copy(state, stray)
    assert upkeep.collect(store) == [], "it is young"
    monkeypatch.setattr(upkeep, "GRACE_PERIOD_S", -1.0)
    assert upkeep.collect(store) == [stray]
    found = upkeep.check(store)
    assert (found.fits, found.fit_bytes) == (1, sum(path.stat().st_size for path in (about, state)))
    assert set(upkeep.collect(store, fits=True, dry=True)) == {state, about}
    assert set(upkeep.collect(store, fits=True)) == {state, about}
    assert (upkeep.check(store).fits, upkeep.check(store).good) == (0, 3)
    assert execute(tmp_path) == [], "results need no fit"


def test_merging(tmp_path: Path) -> None:
    """A fit goes along, unless it is damaged."""
    execute(tmp_path / "a", observations=[1])
    execute(tmp_path / "b", observations=[1], seeds=[1])
    flip(kept(tmp_path / "b")[1])
    done = upkeep.merge([Store(tmp_path / "a"), Store(tmp_path / "b")], Store(tmp_path / "c"))
    assert [damage.path for damage in done.damages] == [kept(tmp_path / "b")[1]]
    execute(tmp_path / "c", seeds=[0, 1])
    assert FITS == [0, 1, 1]
    assert kept(tmp_path / "a")[1].read_bytes() in [path.read_bytes() for path in (tmp_path / "c" / "fits").iterdir()]
