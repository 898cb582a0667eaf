from __future__ import annotations

import pytest
import torch

from ampbench.chains import BottomUp
from ampbench.errors import TrainingError
from ampbench.optimisation import WARM_UP, Checkpoint, Descent, _rate, move_average
from ampbench.tuples import Site

SITE, OTHER = Site(("a",), ("x",)), Site(("b",), ("a",))


def test_only_its_own_player_moves() -> None:
    mine, other = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    descent = Descent("family", [mine], 0.1, 100)
    descent.descend({SITE: (mine * other).sum()}, 1)
    assert not torch.equal(mine, torch.ones(2))
    assert torch.equal(other, torch.ones(2))
    assert other.grad is None


def test_no_parameters_nothing_to_do() -> None:
    Descent("adversary", [], 0.1, 100).descend({SITE: torch.zeros(())}, 1)


def test_the_broken_tuple_is_named() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    losses = {SITE: weight.sum(), OTHER: weight.sum() * torch.nan}
    with pytest.raises(TrainingError, match=r"the family loss at tuple \(b \| a\) became nan in step 7"):
        Descent("family", [weight], 0.1, 100).descend(losses, 7)


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [_rate(step, 4000) for step in range(4000)]
    assert rates[0] < 0.01
    assert all(rate == 1 for rate in rates[WARM_UP:2000])
    assert rates[2000:] == sorted(rates[2000:], reverse=True)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_move_average() -> None:
    average, current = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = 0.9 * average.weight + 0.1 * current.weight
    move_average(average, current, 0.9, step=10_000)
    assert torch.allclose(average.weight, expected)
    move_average(average, current, 0.999, step=0)
    assert torch.equal(average.weight, current.weight), "the start is forgotten"


def test_checkpoint_keeps_the_best() -> None:
    families = BottomUp((), {}, lambda features, context: None)
    families.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    checkpoint = Checkpoint(families, patience=2)
    for step, score in enumerate([3.0, 1.0, 1.5, 2.0]):
        with torch.no_grad():
            families.weight.fill_(step)
        checkpoint.offer(families, score, step, {"family": {SITE: torch.tensor(0.5)}})
    assert checkpoint.best.weight.item() == 1
    assert checkpoint.stale
    with pytest.raises(TrainingError, match="held-out score became nan in step 9"):
        checkpoint.offer(families, float("nan"), 9, {})
    assert checkpoint.history[0] == {"step": 0, "held_out_score": 3.0, "family (a | x)": 0.5}
