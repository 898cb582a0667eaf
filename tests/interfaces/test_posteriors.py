from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import joblib
import numpy as np
import pytest
import torch
from pandas import DataFrame
from torch import Tensor
from torch.distributions import Gamma, Independent, Normal

import ampbench
from ampbench.devices import usable_device
from ampbench.errors import GraphError, UsageError
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasDensity, Method, Posterior, Progress, fit
from ampbench.interfaces.observations import observations
from ampbench.interfaces.summaries import summary_table
from ampbench.seeding import seeded


def normal(size: int) -> Independent:
    return Independent(Normal(torch.zeros(size), torch.ones(size)), 1)


class Conjugate(Method):
    """The exact posterior of theta ~ N(0, 1), x_i ~ N(theta, 1), of an observation that has any number of trials."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        simulator.sample(10)
        return ExactPosterior()


class ExactPosterior(Posterior, HasDensity):
    seen: ClassVar[list[tuple[int, ...]]] = []

    def sample(self, observation: Tensor, n: int) -> Tensor:
        self.seen.append(tuple(observation.shape))
        return self._law(observation).sample((n,))

    def log_prob(self, value: Tensor, context: Tensor) -> Tensor:
        return self._law(context).log_prob(value).sum(-1)

    def _law(self, x: Tensor) -> Normal:
        precision = 1 + x.shape[-1]
        return Normal((x.sum(-1) / precision)[..., None], precision**-0.5)


def noisy(theta: Tensor) -> Tensor:
    return theta + torch.randn(len(theta), 3)


MODEL = Graph(density("theta", normal(1)), simulator("x", noisy, ["theta"]))


@pytest.fixture
def posterior() -> Posterior:
    return fit(Conjugate(), Simulator(MODEL, ["x"], 10, 0))


def test_an_implementation_sees_one_observation_at_a_time(posterior: Posterior) -> None:
    ExactPosterior.seen.clear()
    assert posterior.sample([[0, 1, 2], [3, 4, 5]], 7).shape == (2, 7, 1)
    assert ExactPosterior.seen == [(3,), (3,)]


def test_a_density_in_other_types(posterior: Posterior) -> None:
    assert isinstance(posterior, HasDensity)
    theta, x = torch.randn(4, 1), torch.tensor([1.0, 2.0, 3.0])
    expected = posterior.log_prob(theta, x.expand(4, -1))
    for given in (x, x[None], [1, 2, 3], np.array([1.0, 2.0, 3.0])):
        assert torch.allclose(posterior.log_prob(theta, given), expected)
    assert torch.allclose(posterior.log_prob(theta.tolist(), x), expected)
    assert torch.allclose(posterior.log_prob(theta[0], x), expected[0])
    with pytest.raises(UsageError, match="2 observations; give one, or one for each row"):
        posterior.log_prob(theta, torch.zeros(2, 3))


def test_images_keep_their_shape(posterior: Posterior) -> None:
    description = posterior.known
    shaped = copy.copy(description)
    object.__setattr__(shaped, "sizes", {"theta": 1, "x": 6})
    object.__setattr__(shaped, "shapes", {"x": (2, 3)})
    image = torch.arange(6.0)
    for given, count in ((image, 1), (image.reshape(2, 3), 1), (image.reshape(1, 2, 3), 1), (torch.zeros(4, 2, 3), 4)):
        rows, several = observations(given, shaped)
        assert rows.shape == (count, 6)
        assert several == (count > 1)
    for bad in (torch.zeros(3, 2), torch.zeros(4, 3, 2), torch.zeros(5), torch.zeros(2, 2, 2, 3)):
        with pytest.raises(UsageError, match=r"expected \(2, 3\), \(6,\) or \(m, 2, 3\) for m observations"):
            observations(bad, shaped)


@pytest.mark.parametrize("options", [{}, {"store": "runs", "batch": 100}])
def test_an_image_from_simulator_to_prediction(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def simulate(theta: Tensor) -> Tensor:
        return theta[:, None] * torch.ones(2, 3) + 0.1 * torch.randn(len(theta), 2, 3)

    posterior = ampbench.infer(normal(1), simulate, budget=200, method="rejection-abc:accept=20", **options)
    image = torch.full((2, 3), 0.5)
    with seeded(0):
        expected = posterior.sample(image, 5)
    ampbench.save(posterior, tmp_path / "posterior.npz")
    for each in (posterior, ampbench.restore(tmp_path / "posterior.npz", normal(1), simulate)):
        for given in (image, image.tolist(), image.flatten(), {"x": image}):
            with seeded(0):
                assert torch.equal(each.sample(given, 5), expected)
        assert each.predict(torch.stack([image, image]), 4).shape == (2, 4, 2, 3)
        assert "given x (2×3)" in str(each)


def test_summary_and_prediction_have_the_values_of_closed_forms(posterior: Posterior) -> None:
    """Given x = (1, 2, 3), theta is N(1.5, 1/4), and a new trial N(1.5, 5/4)."""
    with seeded(0):
        table = posterior.summary([1, 2, 3], 20000)
        predicted = posterior.predict([1, 2, 3], 20000)
    row = table.loc["theta"]
    assert row["mean"] == pytest.approx(1.5, abs=0.02)
    assert row["sd"] == pytest.approx(0.5, abs=0.02)
    assert row["97.5 %"] == pytest.approx(1.5 + 1.96 * 0.5, abs=0.05)
    assert predicted.shape == (20000, 3)
    assert float(predicted.mean()) == pytest.approx(1.5, abs=0.03)
    assert float(predicted.var()) == pytest.approx(1.25, abs=0.05)
    correlation = np.corrcoef(predicted.T.numpy())[0, 1]
    assert correlation == pytest.approx(0.25 / 1.25, abs=0.05)
    assert posterior.predict(torch.zeros(2, 3), 4).shape == (2, 4, 3)
    with pytest.raises(UsageError, match="2 observations are given"):
        posterior.summary(torch.zeros(2, 3))


def test_names_are_used_everywhere() -> None:
    prior = Independent(Gamma(torch.ones(2), torch.ones(2)), 1)
    posterior = ampbench.infer(
        prior, lambda t: t + torch.randn_like(t), budget=200, method="amp:steps=5", names=["rate", "size"]
    )
    assert list(posterior.summary([1.0, 1.0], 50).index) == ["rate", "size"]
    expected = "amp:steps=5, fitted with a budget of 200 simulations: theta (2: rate, size) given x (2)"
    assert expected in str(posterior)
    assert "observed" not in repr(posterior)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], r"has 1 names \(a\) for 2 components"),
        (["a", "a"], "has the name 'a' of a component twice"),
        (["a", 3], "has the name 3 of a component"),
        ("ab", "has the names 'ab'; give a list"),
    ],
)
def test_wrong_names(names: Any, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        density("theta", normal(2), names=names)


def test_a_posterior_without_description(posterior: Posterior) -> None:
    bare = ExactPosterior()
    assert bare.sample([0, 0], (4,)).shape == (4, 1)
    assert repr(bare) == "<ExactPosterior>"
    with pytest.raises(UsageError, match="has no description"):
        bare.summary([0.0, 0.0])


@pytest.mark.parametrize("write", [pickle.dumps, torch.save, joblib.dump, copy.deepcopy])
def test_writing_a_posterior_with_named_functions(posterior: Posterior, write: Callable[..., Any]) -> None:
    with seeded(0):
        expected = posterior.sample(torch.zeros(3), 4)
    if write is copy.deepcopy:
        again = copy.deepcopy(posterior)
    elif write is pickle.dumps:
        again = pickle.loads(pickle.dumps(posterior))
    else:
        file = io.BytesIO()
        write(posterior, file)
        file.seek(0)
        again = torch.load(file, weights_only=False) if write is torch.save else joblib.load(file)
    with seeded(0):
        assert torch.equal(again.sample(torch.zeros(3), 4), expected)
    assert str(again) == str(posterior)


def test_a_lambda_cannot_be_pickled_but_copied() -> None:
    graph = Graph(density("theta", normal(1)), simulator("x", lambda t: t + torch.randn(len(t), 3), ["theta"]))
    posterior = fit(Conjugate(), Simulator(graph, ["x"], 10, 0))
    with pytest.raises(UsageError, match=r"cannot be pickled: .* ampbench\.save"):
        pickle.dumps(posterior)
    for each in (copy.deepcopy(posterior), copy.copy(posterior)):
        assert each.sample(torch.zeros(3), 4).shape == (4, 1)


CHILD = """
import pickle, sys, torch
posterior = pickle.load(open("posterior.pickle", "rb"))
torch.manual_seed(0)
print(posterior.sample([0.5, 0.5], 3).flatten().tolist())
"""


@pytest.mark.parametrize("method", ["amp:steps=5", "rejection-abc", "npe:max_epochs=2"])
def test_another_process_reads_a_pickled_posterior(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With bounded, discrete and unbounded parameters, whose supports are recognised after pickling too."""
    if method.startswith("npe"):
        pytest.importorskip("sbi")
    (tmp_path / "mymodel.py").write_text(
        "import torch\nfrom torch.distributions import *\n"
        "prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)\n"
        "def simulate(theta):\n    return theta + torch.randn_like(theta)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import mymodel

    posterior = ampbench.infer(mymodel.prior, mymodel.simulate, budget=200, method=method)
    (tmp_path / "posterior.pickle").write_bytes(pickle.dumps(posterior))
    torch.manual_seed(0)
    expected = posterior.sample([0.5, 0.5], 3).flatten().tolist()
    found = subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(expected)
    sys.modules.pop("mymodel")


def test_a_saved_posterior_keeps_method_and_names(tmp_path: Path) -> None:
    prior, path = normal(2), tmp_path / "posterior.npz"
    posterior = ampbench.infer(prior, torch.abs, budget=200, method="amp:steps=5,family=gaussian", names=["a", "b"])
    ampbench.save(posterior, path)
    again = ampbench.restore(path, prior, torch.abs)
    assert str(again) == str(posterior)
    assert list(again.summary([0.1, 0.2], 5).index) == ["a", "b"]


@pytest.mark.parametrize("device", ["gpu", "", "cuda:99", "mps", "meta", "privateuseone"])
def test_a_device_that_cannot_be_used(device: str) -> None:
    with pytest.raises(UsageError) as found:
        usable_device(device)
    assert repr(device) in str(found.value)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 200
    with pytest.raises(UsageError, match="ampbench doctor"):
        ampbench.infer(normal(1), torch.abs, budget=20, method="amp:steps=5", device=device)


def test_the_summary_of_one_draw_has_no_spread() -> None:
    table = summary_table(torch.ones(1, 2), ["a", "b"])
    assert isinstance(table, DataFrame)
    assert table["sd"].isna().all()
    assert (table["50 %"] == 1).all()
