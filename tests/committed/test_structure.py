from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator
from ampbench.interfaces import fit

FOLDER = Path(__file__).parents[2] / "results" / "structure"
STUB = """
import sys, numpy as np
from pathlib import Path
folder, samples = Path(sys.argv[1]), int(sys.argv[sys.argv.index("--samples") + 1])
with np.load(folder / "observations.npz") as file:
    found = {size: np.repeat(file[size].mean(2).mean(1)[:, None, None], 2 + int(size), 2) for size in file}
found = {size: np.repeat(mean, samples, 1) for size, mean in found.items() if size not in sys.argv}
seconds = {f"sampling_{size}": np.array(2.0) for size in found}
np.savez(folder / "samples.npz", training=np.array([30.0, 40.0, 50.0]), **found, **seconds)
"""
"""An external method, which returns the mean of the observations for every variable, but not for sizes it is given."""


@pytest.fixture
def make(
    committed: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    module = committed("structure")
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.csv")
    yield module
    for script in FOLDER.glob("*.py"):  # their names are those of any script
        sys.modules.pop(script.stem, None)


class Exact:
    """The exact posterior, with other random numbers than the reference of the judge."""

    def __init__(self, task: object, samples: int) -> None:
        self.task, self.samples = task, samples

    def draw(self, graph: Graph, given: object, x: Tensor) -> Tensor:
        return self.task.reference(x, self.samples, 1000)  # type: ignore[attr-defined]


def test_the_exact_posterior_passes_the_judge(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    models = sys.modules["models"]
    monkeypatch.setattr(models, "SAMPLES", 1000)
    monkeypatch.setattr(models, "OBSERVATIONS", 1)
    model = models.StateSpaceModel((3,), 1000)
    found = model.judge(Exact(model.task(3), 1000), 3)
    assert abs(found["tuple"] - 0.5) < 0.06  # four standard errors of 1,000 test rows
    assert abs(found["joint"] - 0.5) < 0.06
    assert abs(found["kl"]) < 0.01


def test_many_tuples_at_the_largest_size_only(make: ModuleType) -> None:
    model = make.MODELS["lgssm"]
    assert [len(model.tuples(size)) for size in model.sizes] == [5, 5, 5, 20]
    assert len(make.MODELS["tree_4"].tuples(31)) == 19  # the root has no parent


@pytest.mark.parametrize("name", ["chain_50", "tree_3", "tree_4", "tree_6", "lgssm", "hierarchical"])
def test_every_configuration_can_be_built(make: ModuleType, name: str) -> None:
    pytest.importorskip("sbi", reason="npe needs sbi: pip install 'ampbench[sbi]'")
    for configuration in make.CONFIGURATIONS[name].values():
        if not configuration.external:
            for size in configuration.epochs or make.MODELS[name].sizes[:1]:
                assert "{" not in configuration.resolved(size)
                configuration.method(size)


def test_the_old_order_samples_children_first(make: ModuleType) -> None:
    """The sizes of all contexts are those of decision 24."""
    for name, before, now in (("tree_3", 83, 46), ("tree_4", 303, 110)):
        graph, observed = make.MODELS[name].flat(make.MODELS[name].sizes[0])
        old = make.CONFIGURATIONS["tree_3"]["old order"].graph(graph).inverse(observed)
        assert sum(len(factor.context) for factor in old) == before
        assert sum(len(factor.context) for factor in graph.inverse(observed)) == now
        assert old[-1].variable == graph.inverse(observed)[0].variable == "z"


def test_the_old_order_reaches_the_method(make: ModuleType) -> None:
    models, configuration = sys.modules["models"], make.CONFIGURATIONS["tree_3"]["old order"]
    quick = replace(configuration, spec=configuration.spec.replace("steps=800", "steps=2"))
    (each,) = make.train(models.TreeModel((1,), 300), quick, 0)
    order = {name: int(place) for name, place in each.fitted.posterior.state().items() if name.startswith("order")}
    assert [name.partition(".")[2] for name in sorted(order, key=order.__getitem__)] == ["z_2", "z_1", "z"]


def test_a_permutation_of_groups_permutes_their_features(make: ModuleType) -> None:
    embedded = sys.modules["embedded"]
    network = embedded.SetEmbedding(4)
    x, turn = torch.randn(3, 4, embedded.MEMBERS), torch.tensor([2, 0, 3, 1])
    before, after = network(x.flatten(1)), network(x[:, turn].flatten(1))
    torch.testing.assert_close(after[:, : embedded.WIDTH], before[:, : embedded.WIDTH])
    own = before[:, embedded.WIDTH :].unflatten(1, (4, embedded.OWN))
    torch.testing.assert_close(after[:, embedded.WIDTH :], own[:, turn].flatten(1))


def test_every_time_reaches_the_features(make: ModuleType) -> None:
    x = torch.randn(2, 7, requires_grad=True)
    sys.modules["embedded"].SeriesEmbedding(7)(x).sum().backward()
    assert x.grad is not None
    assert bool((x.grad != 0).all())


@pytest.mark.parametrize(("name", "label", "latents"), [("lgssm", "npe gru", 3), ("hierarchical", "npe set", 5)])
def test_npe_with_an_embedding(make: ModuleType, name: str, label: str, latents: int) -> None:
    pytest.importorskip("sbi", reason="npe needs sbi: pip install 'ampbench[sbi]'")
    model, configuration = make.MODELS[name], make.CONFIGURATIONS[name][label]
    method = replace(configuration, spec="npe:max_epochs=1", epochs={}).method(3)
    graph, observed = model.flat(3)
    posterior = fit(method, Simulator(graph, observed, 60, 0))
    assert posterior.sample(model.observations(3)[0], 4).shape == (4, latents)
    again = fit(method, Simulator(graph, observed, 60, 0))
    assert all(
        torch.equal(one, two) for one, two in zip(posterior.state().values(), again.state().values(), strict=True)
    )


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    (tmp_path / "stub.py").write_text(STUB)
    return tmp_path / "stub.py"


def test_an_external_method(make: ModuleType, stub: Path) -> None:
    model = sys.modules["models"].HierarchicalModel((3, 4), 20_000, ("y",))
    configuration = make.Configuration(str(stub), external=True)
    three, four = make.train(model, configuration, 0, sys.executable)
    assert (three.size, three.cpu, three.wall) == (3, 30.0, 40.0)
    assert four.measured == {"sampling_seconds": 0.4, "peak_mb": 50.0}
    for each in (three, four):
        graph, observed = model.flat(each.size)
        for x in model.observations(each.size):
            drawn = each.fitted.draw(graph, observed, x)
            assert drawn.shape == (sys.modules["models"].SAMPLES, 2 + each.size)
            torch.testing.assert_close(drawn[0, 0], x.mean())
    with pytest.raises(UsageError, match="no samples are stored for the observation"):
        three.fitted.draw(graph, observed, torch.zeros(15))


def test_faults_of_an_external_method(make: ModuleType, stub: Path) -> None:
    model = sys.modules["models"].HierarchicalModel((3, 4), 20_000, ("y",))
    with pytest.raises(UsageError, match=r"of shape \(5, 2000, 6\) for size 4, but has None"):
        list(make.train(model, make.Configuration(f"{stub} 4", external=True), 0, sys.executable))
    with pytest.raises(UsageError, match="give its interpreter"):
        list(make.train(model, make.Configuration(str(stub), external=True), 0))


def test_simulations_are_those_of_a_template(make: ModuleType, tmp_path: Path) -> None:
    model = sys.modules["models"].HierarchicalModel((3,), 20_000, ("y",))
    for seed, folder in ((0, tmp_path / "a"), (0, tmp_path / "b"), (1, tmp_path / "c")):
        folder.mkdir()
        sys.modules["external"].export(model, folder, seed)
    one, two, other = (np.load(tmp_path / name / "simulations.npz") for name in "abc")
    sizes = [one[name].shape[:2] for name in one if name.startswith("theta")]
    assert sum(n * groups for n, groups in sizes) <= 20_000
    assert all(3 <= groups <= 100 for _, groups in sizes)
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["mu_0"], other["mu_0"])


@pytest.mark.parametrize(("arguments", "asked"), [([], False), (["--bayesflow", "python"], True)])
def test_what_is_in_the_table_is_not_run_again(
    make: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: list[str], asked: bool
) -> None:
    ran = []

    def run(name: str, label: str, seed: int, python: str) -> list[dict[str, float | str]]:
        ran.append((label, python))
        return [dict.fromkeys(make.COLUMNS, 0.5) | {"model": name, "configuration": label, "seed": seed}]

    monkeypatch.setattr(make, "run", run)
    monkeypatch.setattr(sys, "argv", ["make.py", "hierarchical", *arguments])
    for _ in range(2):
        make.main()
    assert len(ran) == len(make.CONFIGURATIONS["hierarchical"]) - (not asked)
    assert (("bayesflow", "python") in ran) == asked


def test_the_page_shows_the_table() -> None:
    if not FOLDER.exists():
        pytest.skip("a source distribution leaves results/ out")
    shown = runpy.run_path(str(FOLDER / "page.py"))
    assert shown["PAGE"].read_text(encoding="utf-8") == shown["page"](), "run results/structure/page.py"
