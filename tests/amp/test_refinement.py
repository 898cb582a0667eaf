"""Density-ratio resampling: it is exact where the ratio is exact, and is left out where the ratio says nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ampbench.amp import AMP
from ampbench.amp.chains import BottomUp
from ampbench.amp.comparisons import LocalComparison
from ampbench.amp.refinement import (
    CANDIDATES_PER_DRAW,
    CHECKS,
    MAX_CANDIDATES_AT_ONCE,
    PATIENCE,
    Resampled,
    inclusion,
    refine,
    refinement_steps,
    systematic,
)
from ampbench.amp.sites import Site
from ampbench.amp.sources import Simulations
from ampbench.graph import Factor, Graph, Simulator
from ampbench.interfaces import Conditional, Family, Tuples, UnfinishedFitError, fit
from ampbench.interfaces.tuples import UNKNOWN
from ampbench.registry import Registry
from ampbench_divergences.jsd import JSD

FACTOR = Factor("z", ("x",))
QUICK = "steps=40,checks=4,batch_size=64,family=implicit(width=16,depth=1)"
SHARE = 0.8
"""Of the family's draws, those at -1; the truth has half there."""


def modes(shape: tuple[int, ...], share: float) -> Tensor:
    """Draws at -1 and 1, a tenth wide."""
    return torch.where(torch.rand(shape) < share, -1.0, 1.0) + 0.1 * torch.randn(shape)


class Lopsided(Conditional):
    """Two modes, in place and as wide as they should be, with the wrong shares."""

    def forward(self, context: Tensor) -> Tensor:
        return modes((*context.shape[:-1], 1), SHARE)


class LopsidedFamily(Family):
    def __call__(self, features: int, context: int) -> Conditional:
        return Lopsided()


class Exact(nn.Module):
    """The log-ratio of equal shares and the wrong ones."""

    def forward(self, tuples: Tuples) -> Tensor:
        left = tuples.variable.squeeze(-1) < 0
        return torch.where(left, torch.tensor(0.5 / SHARE), torch.tensor(0.5 / (1 - SHARE))).log()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def bottom_up() -> BottomUp:
    return BottomUp({frozenset("x"): (FACTOR,)}, {"z": 1, "x": 1}, {"z": LopsidedFamily()})


@pytest.fixture
def comparison() -> LocalComparison:
    divergence = JSD(width=32, depth=1)
    return LocalComparison("(z | x)", Site(("z",), ("x",)), frozenset("x"), (FACTOR,), divergence, UNKNOWN)


def simulations(n: int) -> Simulations:
    values: Mapping[str, Tensor] = {"z": modes((n, 1), 0.5), "x": torch.randn(n, 1)}
    return Simulations(values, ("x",), 0.2, likelihood=False)


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=30), st.data())
def test_inclusion_probabilities(log_weights: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(log_weights)))
    log_w = torch.tensor(log_weights, dtype=torch.double)[:, None]
    pi = inclusion(log_w, n)
    assert float(pi.sum()) == pytest.approx(n)
    assert bool(((pi >= 0) & (pi <= 1)).all())
    below = (pi < 1).flatten() & (log_w - log_w.max() > -600).flatten()
    scaled = (pi.log() - log_w)[below]
    assert bool((scaled - scaled.mean()).abs().max() < 1e-6) if below.any() else True
    assert bool((pi[log_w.argsort(0).flatten()].diff(dim=0) >= -1e-12).all())


def test_systematic_sampling_keeps_each_as_often_as_it_should() -> None:
    pi = inclusion(2 * torch.randn(50, 3), 20)
    counts = torch.zeros(50, 3)
    for _ in range(2000):
        kept = systematic(pi)
        assert kept.shape == (20, 3)
        assert bool((kept.diff(dim=0) > 0).all())
        counts.scatter_add_(0, kept, torch.ones(20, 3))
    assert torch.allclose(counts / 2000, pi.float(), atol=5 * (0.25 / 2000) ** 0.5)


@pytest.mark.parametrize("n", [1, 2000, MAX_CANDIDATES_AT_ONCE // CANDIDATES_PER_DRAW + 1])
def test_an_exact_ratio_gives_modes_their_shares(bottom_up: BottomUp, comparison: LocalComparison, n: int) -> None:
    rows = max(1, 2000 // n)
    drawn = Resampled(bottom_up, comparison, Exact())({"x": torch.zeros(rows, 1)}, n)
    assert {name: value.shape for name, value in drawn.items()} == {"x": (n, rows, 1), "z": (n, rows, 1)}
    assert float((drawn["z"] < 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert n == 1 or len(drawn["z"].unique()) > 0.99 * n


def test_the_adversary_finds_the_shares_alone(bottom_up: BottomUp, comparison: LocalComparison) -> None:
    start = comparison.divergence.adversary(2)
    before = [weight.clone() for weight in start.parameters()]
    done: list[tuple[int, int]] = []
    found = refine(bottom_up, comparison, start, simulations(4000), 128, 600, lambda *step: done.append(step))
    assert found.adversary is not None
    assert all(torch.equal(weight, old) for weight, old in zip(start.parameters(), before, strict=True))
    assert done[-1] == (600, 600)
    assert [row["step"] for row in found.history] == list(range(0, 601, 15))
    drawn = Resampled(bottom_up, comparison, found.adversary)({"x": torch.randn(100, 1)}, 40)
    assert float((drawn["z"] < 0).float().mean()) == pytest.approx(0.5, abs=0.08)  # 3,200 simulations say 0.5 ± 0.01


def test_an_adversary_that_is_worse_than_none_is_not_believed(bottom_up: BottomUp, comparison: LocalComparison) -> None:
    nonsense = comparison.divergence.adversary(2)
    with torch.no_grad():
        nonsense.network.last.bias.fill_(5.0)
    assert refine(bottom_up, comparison, nonsense, simulations(200), 64, 1, lambda *_: None).adversary is None


def test_it_stops_once_it_learns_no_more(bottom_up: BottomUp, comparison: LocalComparison) -> None:
    """From 20 simulations it soon learns them by heart."""
    comparison = replace(comparison, divergence=JSD(refine=3))
    done: list[tuple[int, int]] = []
    start = comparison.divergence.adversary(2)
    found = refine(bottom_up, comparison, start, simulations(22), 20, 4000, lambda *step: done.append(step))
    losses = [row["held-out adversary loss"] for row in found.history]
    best = losses.index(min(losses)) if min(losses) < 2 * math.log(2) else 0
    assert len(losses) - 1 == best + PATIENCE * CHECKS / 3
    assert done[-1] == (found.history[-1]["step"], 4000)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ("divergence=jsd", 40),
        ("divergence=jsd(refine=0)", 0),
        ("divergence=kl(refine=2)", 80),
        ("divergence=hellinger", 0),
        ("divergence=energy,particles=2", 0),
        ("divergence=riesz,particles=2", 120),
        ("divergence=riesz(refine=0),particles=2", 0),
    ],
)
def test_how_long_it_may_go_on(
    registry: Registry, gaussian_graph: Graph, monkeypatch: pytest.MonkeyPatch, options: str, steps: int
) -> None:
    monkeypatch.setattr("ampbench.amp.refinement.PATIENCE", 9)
    method: AMP = registry.build("methods", f"amp:{QUICK},{options}")
    done: list[tuple[int, int]] = []
    found = fit(method, Simulator(gaussian_graph, ("x",), 200, seed=0), "cpu", lambda *step: done.append(step))
    assert done == [(step, 40 + steps) for step in range(1, 41 + steps)]
    losses = found.history.get("held-out adversary loss")
    assert (losses is None) == (steps == 0)
    if losses is not None:
        assert found.history.step[losses.notna()].iloc[-1] == 40 + steps


@pytest.mark.parametrize(("scope", "steps"), [("local", 0), ("global", 40)])
def test_one_adversary_has_to_judge_all(registry: Registry, chain: Graph, scope: str, steps: int) -> None:
    method: AMP = registry.build("methods", f"amp:{QUICK},scope={scope}")
    found = fit(method, Simulator(chain, ("x",), 200, seed=0))
    assert refinement_steps(found.chain_pair.comparisons, 40) == steps
    assert (found.refinement is not None) == (steps > 0)
    assert {name: value.shape for name, value in found.sample_variables(torch.zeros(1), 7).items()} == {
        "z2": (7, 1),
        "z1": (7, 1),
    }


class Breaking(JSD):
    """Its ratio is NaN, which nobody asks for while both players train."""

    def log_ratio(self, adversary: nn.Module, tuples: Tuples) -> Tensor:
        return adversary(tuples) * torch.nan


def test_what_was_trained_is_kept_if_it_breaks(registry: Registry, gaussian_graph: Graph) -> None:
    method: AMP = registry.build("methods", f"amp:{QUICK}")
    method.divergence = Breaking(width=16, depth=1)
    with pytest.raises(UnfinishedFitError, match="step 1") as caught:
        fit(method, Simulator(gaussian_graph, ("x",), 200, seed=0))
    assert caught.value.posterior.sample(torch.zeros(1), 5).shape == (5, 1)
