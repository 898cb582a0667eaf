from __future__ import annotations

import pytest
import torch

from ampbench.amp.optimisation import WARM_UP_STEPS, Checkpoint, Descent, _rate, move_average
from ampbench.amp.sites import Site
from ampbench.errors import TrainingError
from ampbench.interfaces.history import history_frame

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


@pytest.mark.parametrize(("bad", "value"), [(torch.nan, "nan"), (torch.inf, "inf")])
def test_a_broken_gradient_is_named_before_anything_moves(bad: float, value: str) -> None:
    """The loss may be finite where its gradient is not, as that of a square root at zero."""
    weight = torch.nn.Parameter(torch.ones(1))
    weight.register_hook(lambda gradient: gradient * bad)
    with pytest.raises(TrainingError, match=f"norm of the adversary gradient became {value} in step 7"):
        Descent("adversary", [weight], 0.1, 100).descend({SITE: weight.sum()}, 7)
    assert torch.equal(weight, torch.ones(1))


def test_a_broken_loss_comes_before_its_gradient() -> None:
    """An infinite loss is named even where its gradient is finite, and before the gradient where it is not."""
    weight = torch.nn.Parameter(torch.zeros(1))
    for loss in (weight.sum() + torch.inf, weight.sum() / 0.0):
        with pytest.raises(TrainingError, match=r"the family loss at tuple \(a \| x\) became (nan|inf) in step 1"):
            Descent("family", [weight], 0.1, 100).descend({SITE: loss}, 1)


def test_a_row_shows_losses_gradient_and_rate() -> None:
    first, second, unused = (torch.nn.Parameter(torch.full((1,), value)) for value in (2.0, 1.0, 1.0))
    descent = Descent("family", [first, second, unused], 0.1, 100_000)
    rows = []
    for step in (1, 2):
        descent.descend({SITE: 3 * first.sum(), OTHER: 4 * second.sum()}, step)
        rows.append(descent.row())
    assert rows[0] == {
        "family loss (a | x)": 6.0,
        "family loss (b | a)": 4.0,
        "family gradient norm": 5.0,
        "family learning rate": pytest.approx(0.1 / WARM_UP_STEPS),
    }
    assert rows[1]["family learning rate"] == pytest.approx(0.2 / WARM_UP_STEPS)
    assert rows[1]["family loss (a | x)"] < 6


def test_a_player_without_parameters_has_losses_only() -> None:
    descent = Descent("adversary", [], 0.1, 100)
    assert descent.row() == {}
    descent.descend({SITE: torch.zeros(())}, 1)
    assert descent.row() == {"adversary loss (a | x)": 0.0}


def test_the_rate_rises_stays_and_falls() -> None:
    rates = [_rate(step, 4000) for step in range(4000)]
    assert rates[0] < 0.01
    assert all(rate == 1 for rate in rates[WARM_UP_STEPS:2000])
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
    families = torch.nn.Module()
    families.register_parameter("weight", torch.nn.Parameter(torch.zeros(1)))
    checkpoint = Checkpoint(families, patience=2)
    for step, score in enumerate([3.0, 1.0, 1.5, 2.0]):
        with torch.no_grad():
            families.weight.fill_(step)
        checkpoint.offer(families, score, step, {"family loss (a | x)": 0.5})
    assert checkpoint.best.weight.item() == 1
    assert checkpoint.stale
    with pytest.raises(TrainingError, match="held-out score became nan in step 9"):
        checkpoint.offer(families, float("nan"), 9, {})
    assert checkpoint.history[0] == {"step": 0, "held_out_score": 3.0, "family loss (a | x)": 0.5}
    assert len(checkpoint.history) == 4, "a row that broke is not noted"


def test_history_frame() -> None:
    rows = [
        {"step": 10, "held_out_score": 0.5, "family loss (a | x)": 1.0},
        {"step": 20, "held_out_score": 0.25, "family loss (a | x)": 2.0, "family loss (b | a)": 3.0},
    ]
    frame = history_frame(rows)
    assert list(frame) == ["step", "held_out_score", "family loss (a | x)", "family loss (b | a)"]
    assert frame["step"].tolist() == [10, 20]
    assert frame["family loss (b | a)"].isna().tolist() == [True, False]
    assert list(history_frame([])) == ["step", "held_out_score"]


def test_a_step_is_that_of_adam_whatever_the_strides_of_the_gradient() -> None:
    """The slope of the sum of Wᵀ A is Aᵀ, whose memory is not in the order of W's."""
    torch.manual_seed(0)
    slopes, start = torch.randn(3, 4), torch.randn(4, 3)
    here, there = (torch.nn.Parameter(start.clone()) for _ in range(2))
    descent = Descent("family", [here], 0.1, steps=10)
    adam = torch.optim.AdamW([there], 0.1 / WARM_UP_STEPS, betas=(0.0, 0.99), weight_decay=0.0)
    descent.descend({"x": (here.T * slopes).sum()}, step=1)
    there.grad = slopes.T.contiguous()
    adam.step()
    torch.testing.assert_close(here, there)
    assert not torch.equal(here, start)
