from __future__ import annotations

import pytest
import torch

pytest.importorskip("sbi", reason="the sbi baselines need sbi: pip install 'ampbench[sbi]'")

from ampbench.api import fit
from ampbench.errors import UsageError
from ampbench.graph import Graph
from ampbench.seeding import seeded
from ampbench.simulator import Simulator
from ampbench.testing import MethodConformance
from ampbench_sbi.npe import NPE

pytestmark = pytest.mark.filterwarnings("ignore")  # sbi's own


class TestNPE(MethodConformance):
    def make(self) -> NPE:
        return NPE(density_estimator="maf", max_epochs=2)


def test_conjugate_gaussian(gaussian_graph: Graph, capsys: pytest.CaptureFixture[str]) -> None:
    """theta | x is N(x / 2, 1 / 2); nothing is printed."""
    posterior = fit(NPE("maf", max_epochs=30), Simulator(gaussian_graph, ["x"], 2000, seed=0))
    with seeded(0):
        samples = posterior.sample(torch.tensor([1.0]), 4000)
    assert abs(float(samples.mean()) - 0.5) < 0.15
    assert abs(float(samples.std()) - 0.5**0.5) < 0.15
    assert posterior.sample(torch.zeros(1, dtype=torch.float64), 3).dtype == torch.float32
    assert capsys.readouterr().out == ""
    with pytest.raises(UsageError, match=r"shape \(2,\), expected \(1,\)"):
        posterior.sample(torch.zeros(2), 3)


def test_several_latents(chain: Graph) -> None:
    posterior = fit(NPE("maf", max_epochs=2), Simulator(chain, ["x"], 300, seed=0))
    assert posterior.sample(torch.zeros(1), 5).shape == (5, 2)


def test_without_sbi(monkeypatch: pytest.MonkeyPatch, gaussian_graph: Graph) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sbi.inference", None)
    with pytest.raises(UsageError, match=r"method 'npe' needs sbi: pip install 'ampbench\[sbi\]'"):
        fit(NPE(), Simulator(gaussian_graph, ["x"], 10, seed=0))
