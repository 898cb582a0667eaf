r"""A prior that is learned from stored parameters, for simulations whose prior nobody declares.

The support is a box whose sides exceed the smallest and largest value of a component by the mean gap between values,
(max − min) / (n − 1), which is unbiased for a uniform distribution. Let z be the parameters in the coordinates

.. math:: z_i = \operatorname{logit}\frac{\theta_i - a_i}{b_i - a_i}

of the box [a, b]; they have a density on the real line that is a mixture of Gaussians, fitted by expectation
maximisation, with as many components as Schwarz's criterion prefers. No draw leaves the box, the density is normalised,
and dependent parameters keep their dependence.

It is an estimate. ``amp``, ``npe`` and ``rejection-abc`` need samples and the support only: their posterior is the one
under the distribution that the parameters came from. ``nle`` and ``nre`` multiply by the estimated density.

References:
    Schwarz 1978, *Estimating the dimension of a model*, Annals of Statistics 6, doi:10.1214/aos/1176344136.
    Dempster, Laird, Rubin 1977, *Maximum likelihood from incomplete data via the EM algorithm*, Journal of the Royal
    Statistical Society B 39, https://www.jstor.org/stable/2984875
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    MixtureSameFamily,
    MultivariateNormal,
    constraints,
)
from torch.nn.functional import logsigmoid

from ampbench.errors import StoredWarning, UsageError
from ampbench.graph.precision import stored

MAX_COMPONENTS = 8
"""Largest number of Gaussians."""
MIN_ROWS = 50
"""Smallest number of parameters from which a prior is learned."""
ROWS_PER_COMPONENT = 25
"""Parameters for each Gaussian, at least."""
REGULARISATION = 1e-6
"""Least variance of a Gaussian, relative to that of a component."""


class LearnedPrior(Distribution):
    """A mixture of Gaussians in logit coordinates of a box, with event shape (D,).

    Arguments:
        low, high: corners of the box, shape (D,).
        mixture: the distribution of the coordinates z, with event shape (D,), in double precision.

    Example:
        >>> mixture = MixtureSameFamily(Categorical(torch.ones(1)), MultivariateNormal(torch.zeros(1, 2), torch.eye(2)))
        >>> prior = LearnedPrior(torch.zeros(2), torch.ones(2), mixture)
        >>> prior.sample([3]).shape, prior.log_prob(torch.tensor([[0.5, 0.5], [0.5, 1.5]])).isfinite()
        (torch.Size([3, 2]), tensor([ True, False]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, low: Tensor, high: Tensor, mixture: MixtureSameFamily) -> None:
        self.low, self.high, self.mixture = low, high, mixture
        super().__init__(event_shape=low.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """The box."""
        return constraints.independent(constraints.interval(self.low, self.high), 1)

    def sample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw theta, shape ``(*sample_shape, D)``, in double precision."""
        z = self.mixture.sample(torch.Size(sample_shape))
        return self.low + (self.high - self.low) * torch.sigmoid(z)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(theta), shape ``(*,)``, for theta ``(*, D)``; minus infinity outside the box."""
        width = self.high - self.low
        share = (value.double() - self.low) / width
        inside = ((share > 0) & (share < 1)).all(-1)
        z = torch.logit(torch.where(inside[..., None], share, torch.full_like(share, 0.5)))
        slope = logsigmoid(z) + logsigmoid(-z) + width.log()
        found = self.mixture.log_prob(z) - slope.sum(-1)
        return torch.where(inside, found, -torch.inf).to(value.dtype)


def learn_prior(theta: Tensor) -> LearnedPrior:
    """Return a prior that is learned from parameters, shape (n, D).

    Raises:
        UsageError: there are fewer than :data:`MIN_ROWS` rows, a component is constant, or one holds whole numbers
            only, which may be a discrete variable.

    Warns:
        StoredWarning: always, with the bounds of the support.
    """
    theta = theta.double()
    _check_learnable(theta)
    low, high = _box(theta)
    warnings.warn(
        f"the prior was learned from {len(theta):,} stored parameters: a mixture of Gaussians in the box from "
        f"{_shown(low)} to {_shown(high)}, the range of the parameters. amp, npe and rejection-abc infer under the "
        "distribution that the parameters came from, whatever it is; nle and nre use this estimate of its density. "
        "Declare the prior if you know it",
        StoredWarning,
        stacklevel=2,
    )
    return LearnedPrior(low, high, _mixture(torch.logit((theta - low) / (high - low))))


def _box(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return the corners of the box; a draw within it is still within it after it was rounded as theta is."""
    low, high = theta.amin(0), theta.amax(0)
    gap = (high - low) / (len(theta) - 1)
    low, high, kind = low - gap, high + gap, stored(theta).dtype
    if kind == theta.dtype:
        return low, high
    infinity = torch.tensor(torch.inf, dtype=kind)
    return torch.nextafter(low.to(kind), -infinity), torch.nextafter(high.to(kind), infinity)


def _mixture(z: Tensor) -> MixtureSameFamily:
    """Return the mixture of Gaussians for coordinates (n, D) that Schwarz's criterion prefers."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    centre, scale = z.mean(0), z.std(0)
    rows = ((z - centre) / scale).numpy()
    counts = range(1, min(MAX_COMPONENTS, max(1, len(rows) // ROWS_PER_COMPONENT)) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next number of components may do without
        found = [GaussianMixture(k, reg_covar=REGULARISATION, random_state=0).fit(rows) for k in counts]
    best = min(found, key=lambda each: each.bic(rows))
    means, covariances = (torch.from_numpy(each) for each in (best.means_, best.covariances_))
    return MixtureSameFamily(
        Categorical(torch.from_numpy(best.weights_)),
        MultivariateNormal(centre + scale * means, covariances * scale[:, None] * scale),
    )


def _check_learnable(theta: Tensor) -> None:
    if len(theta) < MIN_ROWS:
        raise UsageError(
            f"a prior cannot be learned from {len(theta)} stored parameters, at least {MIN_ROWS} are needed; declare "
            "the prior that they were drawn from"
        )
    for number, column in enumerate(theta.T):
        if bool((column == column[0]).all()):
            raise UsageError(
                f"component {number} of theta is {float(column[0])} in all {len(theta):,} rows: there is nothing to "
                "infer; leave it out, or declare the prior"
            )
        if bool((column == column.round()).all()):
            raise UsageError(
                f"component {number} of theta holds whole numbers only, so that it is unclear whether it is discrete; "
                "declare the prior"
            )


def _shown(corner: Tensor) -> str:
    numbers = [f"{value:.4g}" for value in corner.tolist()]
    return f"({', '.join(numbers[:6])}{', …' if len(numbers) > 6 else ''})"
