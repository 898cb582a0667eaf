"""Priors of every kind, by name: one for every distribution of torch, and those of other types."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch import distributions as td
from torch.distributions import (
    Beta,
    Categorical,
    Dirichlet,
    Distribution,
    Exponential,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    Poisson,
    TransformedDistribution,
    Uniform,
    constraints,
)
from torch.distributions import transforms as tt

O, Z = torch.ones(2), torch.zeros(2)  # noqa: E741
TWO = Categorical(torch.ones(2))
STARTS = torch.tensor([0.0, 3.0])

TORCH: dict[str, Callable[[], Distribution]] = {
    "Bernoulli": lambda: td.Bernoulli(0.4 * O),
    "Beta": lambda: Beta(2 * O, O),
    "Binomial": lambda: td.Binomial(4, 0.4 * O),
    "Categorical": lambda: Categorical(torch.ones(2, 3)),
    "Cauchy": lambda: td.Cauchy(Z, O),
    "Chi2": lambda: td.Chi2(3 * O),
    "ContinuousBernoulli": lambda: td.ContinuousBernoulli(0.4 * O),
    "Dirichlet": lambda: Dirichlet(torch.ones(3)),
    "Exponential": lambda: Exponential(O),
    "FisherSnedecor": lambda: td.FisherSnedecor(5 * O, 8 * O),
    "Gamma": lambda: Gamma(2 * O, O),
    "GeneralizedPareto": lambda: td.GeneralizedPareto(Z, O, torch.tensor([-0.3, 0.2])),
    "Geometric": lambda: td.Geometric(0.4 * O),
    "Gumbel": lambda: td.Gumbel(Z, O),
    "HalfCauchy": lambda: td.HalfCauchy(O),
    "HalfNormal": lambda: td.HalfNormal(O),
    "Independent": lambda: Independent(Normal(Z, O), 1),
    "InverseGamma": lambda: td.InverseGamma(3 * O, O),
    "Kumaraswamy": lambda: td.Kumaraswamy(2 * O, O),
    "Laplace": lambda: td.Laplace(Z, O),
    "LogNormal": lambda: td.LogNormal(Z, O),
    "LogisticNormal": lambda: td.LogisticNormal(Z, O),
    "LowRankMultivariateNormal": lambda: td.LowRankMultivariateNormal(Z, torch.ones(2, 1), O),
    "MixtureSameFamily": lambda: MixtureSameFamily(TWO, Independent(Gamma(torch.ones(2, 2), torch.ones(2, 2)), 1)),
    "Multinomial": lambda: td.Multinomial(3, torch.ones(2)),
    "MultivariateNormal": lambda: MultivariateNormal(Z, torch.tensor([[1.0, 0.5], [0.5, 1.0]])),
    "NegativeBinomial": lambda: td.NegativeBinomial(3 * O, 0.4 * O),
    "Normal": lambda: Normal(Z, O),
    "OneHotCategorical": lambda: td.OneHotCategorical(torch.ones(3)),
    "OneHotCategoricalStraightThrough": lambda: td.OneHotCategoricalStraightThrough(torch.ones(3)),
    "Pareto": lambda: td.Pareto(O, 5 * O),
    "Poisson": lambda: Poisson(3 * O),
    "RelaxedBernoulli": lambda: td.RelaxedBernoulli(torch.tensor(1.0), 0.4 * O),
    "RelaxedOneHotCategorical": lambda: td.RelaxedOneHotCategorical(torch.tensor(1.0), torch.ones(3)),
    "StudentT": lambda: td.StudentT(5 * O, Z, O),
    "TransformedDistribution": lambda: TransformedDistribution(Uniform(Z, O), [tt.AffineTransform(2.0, -3.0)]),
    "Uniform": lambda: Uniform(Z, 2 * O),
    "VonMises": lambda: td.VonMises(Z, O),
    "Weibull": lambda: td.Weibull(O, 2 * O),
}
"""A prior for every class of torch that draws vectors."""
NO_VECTORS: dict[str, tuple[Callable[[], Distribution], str]] = {
    "Distribution": (lambda: Distribution(validate_args=False), r"sample\(\(3,\)\) failed"),
    "ExponentialFamily": (lambda: td.ExponentialFamily(validate_args=False), r"sample\(\(3,\)\) failed"),
    "LKJCholesky": (lambda: td.LKJCholesky(3), r"event shape \(3, 3\).* give a list of independent priors"),
    "Wishart": (lambda: td.Wishart(4.0, torch.eye(2)), r"event shape \(2, 2\).* give a list of independent priors"),
}
OTHERS: dict[str, Callable[[], Any]] = {
    "number": lambda: Normal(0.0, 1.0),
    "bounded number": lambda: Uniform(2.0, 3.0),
    "number without interval": lambda: td.GeneralizedPareto(1.0, 1.0, 0.5),
    "batch of one vector": lambda: MultivariateNormal(torch.zeros(1, 2), torch.eye(2)),
    "batch of one bounded vector": lambda: Independent(Uniform(torch.zeros(1, 2), torch.ones(1, 2)), 1),
    "list": lambda: [Normal(0.0, 1.0), Uniform(2.0, 3.0), Exponential(torch.ones(2)), Dirichlet(torch.ones(3))],
    "list of simplexes": lambda: [Dirichlet(torch.ones(2)), Dirichlet(torch.ones(3))],
    "list of boxes": lambda: [Uniform(0.0, 1.0), Uniform(2.0, 3.0)],
    "tuple": lambda: (Normal(0.0, 1.0), Normal(Z, O)),
    "list of counts": lambda: [Poisson(3.0), td.Bernoulli(0.4), stats.poisson(3)],
    "list of libraries": lambda: [Normal(0.0, 1.0), stats.gamma(2.0), ArrayPrior()],
    "mixture of numbers": lambda: MixtureSameFamily(TWO, Normal(STARTS, O)),
    "mixture of simplexes": lambda: MixtureSameFamily(TWO, Dirichlet(1 + torch.ones(2, 3))),
    "mixture with a gap": lambda: MixtureSameFamily(TWO, Uniform(STARTS, STARTS + 1)),
    "mixtures of bounds": lambda: MixtureSameFamily(Categorical(torch.ones(2, 2)), td.Pareto(1 + torch.eye(2), 5.0)),
    "boxes": lambda: MixtureSameFamily(TWO, Independent(Uniform(torch.eye(2), 1 + torch.eye(2)), 1)),
    "rising image": lambda: TransformedDistribution(Uniform(Z, O), [tt.AffineTransform(1.0, 2 * O), tt.ExpTransform()]),
    "falling image": lambda: TransformedDistribution(Normal(Z, O), [tt.ExpTransform(), tt.AffineTransform(2.0, -3.0)]),
    "images": lambda: TransformedDistribution(Exponential(O), [tt.AffineTransform(0.0, torch.tensor([1.0, -1.0]))]),
    "stick-breaking": lambda: TransformedDistribution(Independent(Normal(Z, O), 1), [tt.StickBreakingTransform()]),
    "scipy number": lambda: stats.gamma(2.0, scale=3.0),
    "scipy vector": lambda: stats.uniform([0, 2], [1, 3]),
    "scipy half bounded": lambda: stats.truncnorm(-1, np.inf, loc=2.0),
    "scipy bit": lambda: stats.bernoulli(0.3),
    "scipy counts": lambda: stats.randint(2, np.array([5, 6])),
    "scipy integers": lambda: stats.skellam(2, 3),
    "scipy normal": lambda: stats.multivariate_normal([0.0, 1.0], [[1.0, 0.5], [0.5, 1.0]]),
    "scipy normal number": lambda: stats.multivariate_normal(0.0),
    "scipy t": lambda: stats.multivariate_t([0.0, 1.0], df=5),
    "scipy Dirichlet": lambda: stats.dirichlet([1.0, 2.0, 3.0]),
    "scipy kernels": lambda: stats.gaussian_kde(np.random.default_rng(0).normal(size=(2, 30))),
    "object of arrays": lambda: ArrayPrior(),
    "object of sizes": lambda: SizePrior(),
    "object of numbers": lambda: NumberPrior(),
    "class that hides its shape": lambda: HiddenShape(),
}
if hasattr(stats, "Normal"):  # since scipy 1.15
    OTHERS["scipy object"] = lambda: stats.Normal(mu=0.0, sigma=[1.0, 2.0])


class ArrayPrior:
    """Uniform on a square, in numpy, with a support."""

    support = constraints.independent(constraints.unit_interval, 1)

    def sample(self, sample_shape: Any = ()) -> np.ndarray:
        return np.random.uniform(size=(*sample_shape, 2))

    def log_prob(self, value: np.ndarray) -> np.ndarray:
        assert isinstance(value, np.ndarray)
        return np.zeros(len(value))


class SizePrior(ArrayPrior):
    """Its ``sample`` takes a number."""

    def sample(self, n: int) -> np.ndarray:  # type: ignore[override]
        return np.random.uniform(size=[n, 2])


class NumberPrior(ArrayPrior):
    """Its draws are numbers."""

    support = constraints.unit_interval  # type: ignore[assignment]

    def sample(self, sample_shape: Any = ()) -> np.ndarray:
        return np.random.uniform(size=tuple(sample_shape))


class HiddenShape(Distribution):
    """Uniform on a square, as a distribution that names a support, but not its event shape."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    support = constraints.independent(constraints.unit_interval, 1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return torch.rand(*sample_shape, 2)

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.zeros(value.shape[:-1])


class Disc(Distribution):
    """Uniform on a disc, without a support; ``log_prob`` says where it is, or fails, or does not say."""

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention

    def __init__(self, outside: str) -> None:
        self.outside = outside
        super().__init__(event_shape=torch.Size([2]), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        radius, angle = torch.rand(*sample_shape, 1).sqrt(), 2 * math.pi * torch.rand(*sample_shape, 1)
        return torch.cat([radius * angle.cos(), radius * angle.sin()], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        inside = value.norm(dim=-1) <= 1
        if self.outside == "error" and not bool(inside.all()):
            raise ValueError("outside")
        level = -math.log(math.pi) + torch.zeros(value.shape[:-1])
        return level if self.outside == "density" else torch.where(inside, level, -torch.inf)


A_LIST = OTHERS["list"]()
