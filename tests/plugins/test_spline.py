"""The rational-quadratic spline against zuko's, in double precision, and its limits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from zuko.transforms import MonotonicRQSTransform

from ampbench.seeding import seeded
from ampbench_families.spline import BOUND, RationalQuadraticSpline


def drawn(pieces: int, scale: float) -> tuple[Tensor, Tensor]:
    """Return free parameters (400, 3, 3K − 1) and values (400, 3), inside and outside of the interval."""
    with seeded(pieces):
        free = scale * torch.randn(400, 3, 3 * pieces - 1, dtype=torch.float64)
        return free.requires_grad_(True), (4 * torch.randn(400, 3, dtype=torch.float64)).requires_grad_(True)


@pytest.mark.parametrize("pieces", [2, 8])
@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0])
def test_values_and_gradients_are_those_of_zuko(pieces: int, scale: float) -> None:
    free, x = drawn(pieces, scale)
    here, there = (
        RationalQuadraticSpline(free),
        MonotonicRQSTransform(*free.split([pieces, pieces, pieces - 1], dim=-1)),
    )
    for found, expected in (
        (here(x), there(x)),
        (here.log_abs_det_jacobian(x, x), there.log_abs_det_jacobian(x, x)),
        (here.inv(x), there.inv(x)),
    ):
        torch.testing.assert_close(found, expected)
        slopes, wanted = (torch.autograd.grad(each.sum(), [free, x], retain_graph=True) for each in (found, expected))
        torch.testing.assert_close(slopes, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_inverse_and_slope(scale: float) -> None:
    """Also with parameters so large that their bound decides: the slope is that of the function."""
    free, x = drawn(8, scale)
    spline = RationalQuadraticSpline(free)
    y, log_slope = spline.call_and_ladj(x)
    torch.testing.assert_close(spline(spline.inv(y)), y, rtol=0, atol=1e-9)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(slope.log(), log_slope, rtol=1e-6, atol=1e-6)
    outside = x.abs() > BOUND
    assert outside.any()
    assert torch.equal(y[outside], x[outside])
    assert not log_slope[outside].any()


def test_one_spline_for_many_values_and_many_for_one() -> None:
    with seeded(0):
        one, many, x = torch.randn(23), torch.randn(6, 4, 23), torch.randn(6, 4)
    for free, value in ((one, x), (many, x[0]), (many, x[0, 0])):
        y, log_slope = RationalQuadraticSpline(free).call_and_ladj(value)
        assert y.shape == log_slope.shape == (6, 4)
        rows = zip(free.expand(6, 4, 23).reshape(-1, 23), value.expand(6, 4).flatten(), strict=True)
        assert torch.allclose(y.flatten(), torch.stack([RationalQuadraticSpline(row)(each) for row, each in rows]))


def test_not_a_number_stays_one() -> None:
    assert torch.isnan(RationalQuadraticSpline(torch.zeros(5))(torch.tensor(torch.nan)))
