"""L-C2ST on a Gaussian model, whose posterior is known at every observation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ampbench.assess.fits import IsolatedWorker
from ampbench.assess.lc2st import lc2st
from ampbench.graph import Graph
from ampbench.interfaces import Limits
from ampbench.running.calls import CallError

pytest.importorskip("sbi")

THETA = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
X = THETA + torch.randn(400, 2, generator=torch.Generator().manual_seed(1))


def draw(x: Tensor, n: int, narrow: bool) -> Tensor:
    """Draw (n, ..., 2) of the exact posterior N(x / 2, 1 / 2), or too narrow where x is positive."""
    noise = 0.5**0.5 * torch.randn(n, *x.shape, generator=torch.Generator().manual_seed(2))
    scale = torch.where(x[..., :1] > 0, 0.3, 1.0) if narrow else torch.ones(())
    return x / 2 + scale * noise


def p_value(narrow: bool, at: float) -> float:
    observation = torch.tensor([at, 0.0])
    draws, here = draw(X, 1, narrow)[0], draw(observation, 300, narrow)
    return lc2st(THETA, X, draws, observation, here, trials=59, seed=0)


def test_an_exact_posterior_passes() -> None:
    assert p_value(narrow=False, at=1.0) > 0.05


def test_a_fault_shows_most_where_it_is() -> None:
    """The classifier is smooth, so that it spreads a little beyond."""
    assert p_value(narrow=True, at=1.0) == 1 / 60 < p_value(narrow=True, at=-1.0)


AT = torch.tensor([0.3, -0.2])
FEW = (THETA[:60], X[:60], draw(X[:60], 1, False)[0], AT, draw(AT, 50, False), 9)


def test_the_seed_decides() -> None:
    assert lc2st(*FEW, seed=3) == lc2st(*FEW, seed=3)


def no_model() -> tuple[Graph, tuple[str, ...]]:
    raise AssertionError("the test needs no model")


def test_in_a_process_of_its_own_it_says_the_same_and_has_a_time_limit() -> None:
    assert IsolatedWorker(no_model, Limits(), "cpu").lc2st(*FEW, seed=3) == lc2st(*FEW, seed=3)
    with pytest.raises(CallError, match=r"the test at your observation took longer than the 0\.01 s allowed"):
        IsolatedWorker(no_model, Limits(seconds=0.01), "cpu").lc2st(*FEW, seed=3)
