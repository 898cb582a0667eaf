"""Stored references are what the tasks' samplers give, and say how they were made."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torch import Tensor
from torch.distributions import Independent, Normal
from typer.testing import CliRunner

from ampbench.cli.app import app
from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.metrics.references import build, reference_samples, reference_seed
from ampbench.registry import Registry
from ampbench_tasks import packaged

CHEAP = ["gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture", "two_moons"]
SETS = [*CHEAP, "bernoulli_glm", "lotka_volterra", "sir", "slcp"]


class Conjugate(Task, HasReference):
    """theta ~ N(0, 1), x ~ N(theta, 1)."""

    version = "1"
    source = "textbook"
    algorithm = "closed form"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"], size=1))

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        noise = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
        return self.check_observation(observation) / 2 + noise / 2**0.5


class Forward(Task):
    version = "1"
    source = "textbook"
    graph = Conjugate().graph


@pytest.mark.parametrize("name", SETS)
def test_stored_sets_are_whole_and_certified(registry: Registry, name: str) -> None:
    task = registry.build("tasks", name)
    info = json.loads(packaged.DATA.joinpath(name, "info.json").read_text())
    assert (info["task"], info["version"], info["samples"]) == (name, task.version, 10_000)
    assert {"algorithm", "source", "versions", "commit", "seeds", "checks"} <= set(info)
    assert not [row for row in info["checks"] if row["verdict"] == "failed"]
    judged = {row["check"] for row in info["checks"] if row["verdict"] == "ok"}  # some rows come to no verdict
    assert {"balance", "importance", "second sampler", "calibration"} <= judged
    for number, observation in task.observations().items():
        theta = task.shipped_reference(number)
        assert theta.shape == (10_000, len(observation.theta))
        assert bool(task.graph["theta"].support.check(theta).all())
        assert len(theta.unique(dim=0)) > 9900
        assert hashlib.sha256(theta.numpy().tobytes()).hexdigest() == info["sha256"][str(number)]
        assert info["seeds"][str(number)] == reference_seed(number)


@pytest.mark.parametrize("name", CHEAP)
def test_stored_sets_can_be_made_again(registry: Registry, name: str) -> None:
    task = registry.build("tasks", name)
    for number in (1, 10):
        again = task.reference(task.numbered(number).x, 10_000, reference_seed(number))
        assert torch.allclose(again, task.shipped_reference(number), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in SETS if name not in CHEAP])
def test_stored_sets_agree_with_fresh_draws(registry: Registry, name: str) -> None:
    task = registry.build("tasks", name)
    stored, fresh = task.shipped_reference(2), task.reference(task.numbered(2).x, 2000, seed=77)
    p_values = ks_2samp(stored.numpy(), fresh.numpy()).pvalue
    assert p_values.min() > 1e-3 / len(p_values)


def test_all_of_it_fits_in_a_wheel() -> None:
    assert sum(path.stat().st_size for path in Path(str(packaged.DATA)).rglob("*") if path.is_file()) < 30e6


def test_two_tasks_with_one_posterior_share_its_samples(registry: Registry) -> None:
    for first, second in (("slcp", "slcp_distractors"), ("bernoulli_glm", "bernoulli_glm_raw")):
        tasks: list[ShipsReference] = [registry.build("tasks", name) for name in (first, second)]
        assert torch.equal(tasks[0].shipped_reference(4), tasks[1].shipped_reference(4))


def test_stored_samples_come_first_and_fresh_ones_if_more_are_wanted(registry: Registry) -> None:
    task = registry.build("tasks", "two_moons")
    assert torch.equal(reference_samples(task, 3, 100), task.shipped_reference(3)[:100])
    assert reference_samples(task, 3, 10_001).shape == (10_001, 2)


def test_a_forward_only_task_has_no_reference() -> None:
    with pytest.raises(UsageError, match="forward-only"):
        reference_samples(Forward(), 1, 10)
    with pytest.raises(UsageError, match="no reference posterior"):
        build(Forward(), 10, Path("unused"), {}, [], lambda number: None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown observation 99"):
        reference_samples(Conjugate(), 99, 10)


def test_building_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    seen: list[int] = []
    for folder in ("first", "second"):
        build(Conjugate(), 50, tmp_path / folder, {"task": "conjugate"}, [{"check": "none"}], seen.append)
    for file in ("reference.npz", "info.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()
    assert seen == [*range(1, 11)] * 2
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["info.json", "reference.npz"]
    with np.load(tmp_path / "first" / "reference.npz", allow_pickle=False) as stored:
        expected = Conjugate().reference(Conjugate().observation(3).x, 50, reference_seed(3))
        assert np.array_equal(stored["3"], expected.numpy())


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["reference", *arguments])
    return result.exit_code, result.output if result.exception is None else f"{result.output}{result.exception}"


def test_export(tmp_path: Path, registry: Registry) -> None:
    path = tmp_path / "ref.npz"
    code, output = run("export", "two_moons", "--observation", "3", "--output", str(path))
    assert code == 0, output
    task = registry.build("tasks", "two_moons")
    with np.load(path, allow_pickle=False) as stored:
        assert stored["theta"].shape == (10_000, 2)
        assert np.array_equal(stored["theta"], task.shipped_reference(3).numpy())
        assert np.array_equal(stored["x"], task.numbered(3).x.numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["two_mons"], "did you mean 'two_moons'"),
        (["two_moons", "--observation", "11"], "unknown observation 11"),
        (["two_moons", "--samples", "0"], "0 samples asked for"),
    ],
)
def test_export_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    code, output = run("export", *arguments, "--output", str(tmp_path / "ref.npz"))
    assert code != 0
    assert message in output
    assert not (tmp_path / "ref.npz").exists()


def test_export_to_a_folder_that_is_not_there(tmp_path: Path) -> None:
    code, output = run("export", "two_moons", "--output", str(tmp_path / "no" / "ref.npz"))
    assert code != 0
    assert "does not exist; make it first" in output
