from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch


@pytest.fixture
def make(committed: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = committed("local_against_global")
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.csv")
    return module


def test_the_posterior_of_the_chain(make: ModuleType) -> None:
    """cov(z_s, z_t) = a^|s − t|, cov(z_t, x) = a^(t − 1), var(x) = 1 + 0.5²; then condition on x."""
    model, x = make.chain(4), 0.7
    t = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)  # the order of the components: the prior's root first
    assert make.latents(model) == ["z_4", "z_3", "z_2", "z_1"]
    cross = 0.9 ** (t - 1)
    mean, covariance = model.posterior(torch.tensor([x]))
    torch.testing.assert_close(mean, cross * x / 1.25, rtol=1e-6, atol=0)
    torch.testing.assert_close(covariance, 0.9 ** (t[:, None] - t).abs() - cross[:, None] * cross / 1.25)


def test_a_local_tuple_of_the_chain_holds_two_variables(make: ModuleType) -> None:
    assert make.places(make.chain(3)) == [("z_1", "x"), ("z_2", "z_1"), ("z_3", "z_2")]
    assert [len(scope) for scope in make.places(make.chain(50))] == [2] * make.PLACES


def test_the_components_of_a_tuple(make: ModuleType) -> None:
    model = make.chain(3)
    theta = torch.tensor([[30.0, 20.0, 10.0]])
    assert make.part(model, theta, ("z_2", "z_1")).tolist() == [[20.0, 10.0]]
    assert make.part(model, theta, ("z_1", "x")).tolist() == [[10.0]]


def test_c2st_knows_equal_and_different_samples(make: ModuleType) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 1000, 2, generator=generator)
    assert 0.44 < make.c2st(a, b) < 0.56  # four standard errors
    assert make.c2st(a, b + 2.0) > 0.88  # the best rule errs in 1 − Φ(√2) = 0.079


def test_the_exact_posterior_passes_the_judge(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make.chain(2)
    exact = make.Wrong(model, lambda samples: samples)
    torch.manual_seed(0)
    monkeypatch.setattr(make, "SAMPLES", 1000)
    assert abs(make.judge(model, exact)["tuple"] - 0.5) < 0.03


def test_what_is_in_the_table_is_not_run_again(make: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(graph: str, model: object, method: str, seconds: float | None) -> dict[str, float | str]:
        asked.append((graph, method, seconds))
        return dict.fromkeys(make.COLUMNS, 0.5) | {"graph": graph, "method": method, "cpu_seconds": 12.0}

    monkeypatch.setattr(make, "run", run)
    for _ in range(2):
        make.fill("tree", ["local", "npe"])
    assert asked == [("tree", "local", None), ("tree", "npe", 12.0)]
    assert [row["method"] for row in make.rows()] == ["local", "npe"]


def test_the_flat_model_is_the_same(make: ModuleType) -> None:
    model = make.chain(3)
    torch.manual_seed(0)
    values = make.flat(model).sample(20_000)
    joined = torch.cat([values["z"], values["x"]], 1).double()
    torch.testing.assert_close(joined.T.cov(), model.joint[1], rtol=0, atol=0.06)  # five standard errors of a variance
