"""Frozen distributions of scipy as torch distributions over vectors.

Draws are those of numpy's global generator, which every run seeds, in double precision. The bounds of univariate
distributions are those that scipy names; an array of parameters is a vector of independent components.

References:
    Virtanen et al. 2020, *SciPy 1.0: fundamental algorithms for scientific computing in Python*, Nature Methods 17.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Dirichlet, constraints
from torch.distributions.constraints import Constraint

from ampbench.errors import GraphError
from ampbench.graph.law_faults import bounds_fault
from ampbench.graph.laws import Wrapper, without_gradient
from ampbench.graph.supports import between
from ampbench.seeding import seeded

VECTORS: dict[str, Constraint] = {
    "dirichlet_frozen": constraints.simplex,
    "gaussian_kde": constraints.real_vector,
    "multivariate_normal_frozen": constraints.real_vector,
    "multivariate_t_frozen": constraints.real_vector,
}
"""Multivariate distributions whose draws are vectors, with their supports."""


def is_of_scipy(prior: object) -> bool:
    """Return whether an object is a distribution, or a family of distributions, of ``scipy.stats``."""
    return any(base.__module__.startswith("scipy.stats") for base in type(prior).__mro__)


def from_scipy(prior: Any, what: str) -> ScipyLaw:
    """Return a frozen distribution of scipy as one over vectors of shape (D,).

    Arguments:
        prior: the frozen distribution.
        what: the culprit, for messages.

    Raises:
        GraphError: it is not frozen, draws no vectors, or does not exist.

    Example:
        >>> from scipy import stats
        >>> from_scipy(stats.expon(scale=2.0), "the prior").log_prob(torch.tensor([[2.0]]))
        tensor([-1.6931], dtype=torch.float64)
    """
    bases = {base.__name__ for base in type(prior).__mro__}
    if bases & {"rv_generic", "multi_rv_generic"}:
        name = getattr(prior, "name", type(prior).__name__.removesuffix("_gen"))
        raise GraphError(
            f"{what} is the family {name!r} of scipy, not a distribution; call it with its parameters, as in "
            "scipy.stats.gamma(2.0)"
        )
    if hasattr(prior, "support"):
        return _univariate(prior, what, "DiscreteDistribution" in bases or not hasattr(prior, "logpdf"))
    name = type(prior).__name__
    if name not in VECTORS:
        raise GraphError(
            f"{what} is {name.removesuffix('_frozen')!r} of scipy, whose draws are neither numbers, nor real vectors, "
            "nor points of a simplex; give a list of independent priors, one for each free number, and compute "
            "the rest in the simulator"
        )
    law = ScipyLaw(prior, VECTORS[name], None)
    size, rank = law.event_shape[0], getattr(getattr(prior, "cov_object", None), "rank", None)
    if rank is not None and rank < size:
        raise GraphError(
            f"{what} has no density: its covariance has rank {rank} in {size} dimensions; give a covariance of full "
            "rank, and compute the dependent components in the simulator"
        )
    return law


def _univariate(prior: Any, what: str, is_discrete: bool) -> ScipyLaw:
    with np.errstate(invalid="ignore"):  # of infinite parameters
        low, high = (np.array(each, dtype=float) for each in prior.support())
    if low.ndim > 1:
        raise GraphError(
            f"{what} draws arrays of shape {low.shape}, but a vector (D,) is needed; give parameters of shape (D,)"
        )
    if np.isnan(low).any() or np.isnan(high).any():
        fault = "parameters that are not allowed; they must be finite, and scales positive"
    elif is_discrete and not all(np.all((each == np.round(each)) | np.isinf(each)) for each in (low, high)):
        fault = f"values from {low} to {high} that are not whole; give a law of whole numbers, and scale its draws"
    else:
        fault = bounds_fault(low, high, is_discrete)
    if fault:
        raise GraphError(f"{what} does not exist: {_written(prior)} of scipy has {fault}")
    support = between(low.reshape(-1).tolist(), high.reshape(-1).tolist(), is_discrete)
    return ScipyLaw(prior, constraints.independent(support, 1), low.shape)


def _written(prior: Any) -> str:
    """Return a distribution as it is written, such as ``uniform(1, scale=0)``."""
    if not hasattr(prior, "dist"):
        return repr(prior)
    given = [str(each) for each in prior.args] + [f"{name}={value}" for name, value in prior.kwds.items()]
    return f"{prior.dist.name}({', '.join(given)})"


class ScipyLaw(Wrapper):
    """A frozen distribution of scipy, with event shape (D,).

    Arguments:
        law: the frozen distribution.
        support: of its draws, with event dimension 1.
        shape: of the parameters of a univariate distribution, () or (D,); None if draws are vectors.
    """

    def __init__(self, law: Any, support: Constraint, shape: tuple[int, ...] | None) -> None:
        self.law = law
        self.shape = shape
        with seeded(0):
            size = self._draw(2).shape[1]
        super().__init__(size, support)

    def __deepcopy__(self, memo: dict[int, Any]) -> ScipyLaw:
        """Return a copy, which shares a distribution that scipy copies wrongly; these have no in-place methods."""
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self) | ({} if self._miscopied else {"law": copy.deepcopy(self.law, memo)}))
        return twin

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle writes.

        Raises:
            TypeError: scipy's copies have other parameters, as those of ``scipy.stats.Normal`` in scipy 1.17.
        """
        if self._miscopied:
            raise TypeError(
                f"scipy does not copy {self.law!r} with its parameters, so that it cannot be pickled; take a frozen "
                "distribution instead, such as scipy.stats.norm(0, 2)"
            )
        return vars(self)

    @property
    def _miscopied(self) -> bool:
        return not hasattr(self.law, "rvs") and not hasattr(self.law, "resample")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D), in double precision, from numpy's global generator."""
        shape = torch.Size(sample_shape)
        return torch.tensor(self._draw(shape.numel())).reshape(*shape, *self.event_shape)

    def _draw(self, n: int) -> np.ndarray:
        """Draw values, shape (n, D)."""
        if hasattr(self.law, "resample"):
            drawn = self.law.resample(n, seed=np.random).T
        elif hasattr(self.law, "rvs"):
            drawn = self.law.rvs(size=(n, *(self.shape or ())), random_state=np.random)
        else:
            drawn = self.law.sample((n,), rng=np.random.default_rng(np.random.randint(2**31)))
        return np.asarray(drawn, dtype=float).reshape(n, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at values (*, D); see :func:`ampbench.graph.laws.without_gradient`."""
        rows = without_gradient(value).double().reshape(-1, *self.event_shape)
        found = torch.tensor(np.array(self._log_prob(rows), dtype=float)).reshape(len(rows), -1).sum(1)
        return found.to(value.device).reshape(value.shape[:-1])

    def _log_prob(self, rows: Tensor) -> Any:
        values = rows.numpy()
        if self.shape is not None:
            values = values.reshape(-1, *self.shape)
            return self.law.logpmf(values) if self.support.is_discrete else self.law.logpdf(values)
        if isinstance(self.support, type(constraints.simplex)):  # scipy refuses sums that differ from 1 by 1e-9
            return Dirichlet(torch.as_tensor(self.law.alpha), validate_args=False).log_prob(rows).numpy()
        return self.law.logpdf(values.T if hasattr(self.law, "resample") else values)
