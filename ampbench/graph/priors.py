r"""Priors as people have them, as torch distributions over vectors of shape (D,).

:func:`as_distribution` takes

- a torch distribution over vectors, as it is; a number, or a batch (D,) of numbers, is a vector of these;
- a list of priors, which are independent, :math:`p(\theta) = \prod_k p_k(\theta_k)`, and the ``MultipleIndependent`` of
  sbi; every block keeps its own support;
- frozen distributions of scipy (:mod:`ampbench.graph.scipy_priors`);
- other objects with ``sample`` and ``log_prob``, whose support is where the density is positive, unless they name one;
- the ``RestrictedPrior`` of sbi, whose support is where its classifier accepts.

Everything else is refused with what was seen, what is expected and the next step, and so are distributions that do not
exist, such as a uniform law between equal or exchanged bounds.

References:
    Tejero-Cantero et al. 2020, *sbi: a toolkit for simulation-based inference*, doi:10.21105/joss.02505.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints
from torch.distributions.constraints import Constraint

from ampbench.errors import GraphError, SupportWarning
from ampbench.faults import named, pass_interruption
from ampbench.graph.law_faults import fault_of
from ampbench.graph.laws import Accepted, Custom, Mixture, Product, Vectors, drawn_by
from ampbench.graph.scipy_priors import from_scipy, is_of_scipy
from ampbench.graph.supports import with_bounds
from ampbench.graph.torch_supports import components_differ, corrected, mixture_in, support_of
from ampbench.seeding import seeded

PROBES = 3
"""Draws that show the shape of an object with ``sample``."""
EXPECTED = (
    "give a torch distribution such as Independent(Normal(torch.zeros(2), torch.ones(2)), 1), a frozen distribution of "
    "scipy such as scipy.stats.gamma(2.0), an object with sample and log_prob, or a flat list of these"
)
MATRICES = (
    "give a list of independent priors of its free numbers, such as LogNormal for the diagonal and Normal for the rest "
    "of a Cholesky factor, and compute the matrix in the simulator"
)
DECLARE = "declare it: Graph(density('theta', prior, support=constraints.interval(0, 1)), …) for infer_graph"


def as_distribution(prior: Any, what: str = "the prior", support: Constraint | None = None) -> Distribution:
    """Return a prior as a torch distribution with batch shape () and event shape (D,); itself if it is a good one.

    Arguments:
        prior: see the module.
        what: the culprit, for messages.
        support: of theta, if it is declared; by default that of the prior.

    Raises:
        GraphError: the prior is of another type, draws matrices, does not exist, or has no support.

    Warns:
        SupportWarning: nothing says in which region the draws of an object lie.

    Example:
        >>> from torch.distributions import Gamma, Uniform
        >>> prior = as_distribution([Uniform(0.0, 1.0), Gamma(torch.ones(2), torch.ones(2))])
        >>> prior.event_shape, prior.log_prob(torch.tensor([0.5, 1.0, 2.0]))
        (torch.Size([3]), tensor(-3.))
    """
    if isinstance(prior, list | tuple):
        return _product(prior, what, support)
    if is_of_scipy(prior):
        return from_scipy(prior, what)
    if inspect.isclass(prior) or not callable(getattr(prior, "sample", None)):
        raise GraphError(f"{what} is {_seen(prior)}, not a torch Distribution; {_next_step(prior)}")
    if _is_of_sbi(prior, "MultipleIndependent"):
        return _product(prior.dists, what, support)
    if _is_of_sbi(prior, "OneDimPriorWrapper", "PytorchReturnTypeWrapper"):
        return as_distribution(prior.prior, what, support)
    if _is_of_sbi(prior, "RestrictedPrior"):
        return Accepted(as_distribution(prior._prior, what, support), prior._accept_reject_fn)
    if not isinstance(prior, Distribution):
        return _custom(prior, what, support)
    if fault := fault_of(prior):
        raise GraphError(f"{what} does not exist: {fault}; a prior needs finite parameters and a positive width")
    return _custom(prior, what, support) if _hides_shape(prior, what) else _vectors(prior, what, support)


def _product(priors: Sequence[Any], what: str, support: Constraint | None) -> Distribution:
    """Return independent priors as one; a list of one prior is that prior."""
    part = None if support is None else constraints.real_vector  # the declared one counts
    if not priors:
        raise GraphError(f"{what} is an empty {type(priors).__name__}; {EXPECTED}")
    laws = []
    for i, each in enumerate(priors):
        if isinstance(each, list | tuple):
            raise GraphError(f"{what}: entry {i} is itself a {type(each).__name__} of {len(each)}; {EXPECTED}")
        laws.append(as_distribution(each, f"{what}: entry {i}", part))
    return laws[0] if len(laws) == 1 else Product(laws)


def _vectors(prior: Distribution, what: str, support: Constraint | None) -> Distribution:
    """Return a torch distribution over vectors."""
    batch, event = prior.batch_shape, prior.event_shape
    if len(batch) == 1 and not event:
        return _vectors(Independent(prior, 1), what, support)
    if len(event) > 1 or len(batch) > 1 or (event and batch.numel() > 1) or not (batch + event).numel():
        raise GraphError(
            f"{what}, of type {_name(prior)}, has batch shape {tuple(batch)} and event shape {tuple(event)}, but a "
            "vector (batch shape (), event shape (D,)) is needed; " + _instead(prior)
        )
    try:
        found = support_of(prior)
    except NotImplementedError as error:
        if support is None and _names_support(prior):
            raise GraphError(f"{what}: {error}; leave the transform to the simulator, or {DECLARE}") from error
        if support is None:
            _warn(prior, what)
        return Vectors(prior, support)
    mixture = mixture_in(prior)
    if mixture is not None and components_differ(mixture):
        return Mixture(mixture, _of_vectors(found))
    if len(event) == 1 and not batch:
        return prior if corrected(prior) is None else Vectors(prior, found)
    return Vectors(prior, _of_vectors(with_bounds(found, _flat)))


def _flat(_: str, bound: Any) -> Any:
    return bound.reshape(-1) if isinstance(bound, Tensor) and bound.ndim else bound


def _of_vectors(support: Constraint) -> Constraint:
    return support if support.event_dim else constraints.independent(support, 1)


def _custom(prior: Any, what: str, support: Constraint | None) -> Distribution:
    """Return an object with ``sample`` and ``log_prob`` as a distribution over vectors."""
    if not callable(getattr(prior, "log_prob", None)):
        raise GraphError(
            f"{what} is {_seen(prior)} without log_prob; give it one, or infer without a density by 'amp' or 'npe': "
            "infer_graph(Graph(simulator('theta', lambda n: prior.sample((n,))), …), …)"
        )
    drawn = _probe(prior, what)
    shape, is_numpy = torch.Size(drawn.shape[1:]), not isinstance(drawn, Tensor)
    if len(shape) > 1 or not shape.numel():
        raise GraphError(
            f"{what} is {_seen(prior)} whose sample(({PROBES},)) returned the shape {tuple(drawn.shape)}, but "
            f"({PROBES}, D) is needed; " + MATRICES
        )
    named = getattr(prior, "support", None) if _names_support(prior) else None
    found = support or (named if isinstance(named, Constraint) else None)
    if found is None:
        _warn(prior, what)
    law = Custom(prior, shape, found and _of_vectors(found), is_numpy)
    _check_density(law, torch.as_tensor(drawn).reshape(PROBES, -1), what)
    return law


def _probe(prior: Any, what: str) -> Any:
    """Return a few draws of an object: a tensor or array whose first dimension counts them."""
    try:
        with seeded(0):
            drawn = drawn_by(prior, PROBES)
    except BaseException as error:
        pass_interruption(error)
        raise GraphError(
            f"{what} is {_seen(prior)} whose sample(({PROBES},)) failed ({named(error)}); {EXPECTED}"
        ) from error
    if not isinstance(drawn, Tensor | np.ndarray) or drawn.shape[:1] != (PROBES,):
        shape = f" of shape {tuple(drawn.shape)}" if isinstance(drawn, Tensor | np.ndarray) else ""
        raise GraphError(
            f"{what} is {_seen(prior)} whose sample(({PROBES},)) returned {_name(drawn)}{shape}, but a tensor or array "
            f"of shape ({PROBES}, D) is needed"
        )
    return drawn


def _check_density(law: Custom, drawn: Tensor, what: str) -> None:
    """Raise :class:`GraphError` unless the log density at draws is one finite number for each."""
    try:
        found = law.log_prob(drawn)
    except BaseException as error:
        pass_interruption(error)
        raise GraphError(
            f"{what} is {_seen(law.law)} whose log_prob failed at {PROBES} draws ({named(error)}); it "
            f"must take values of shape (n, D) and return (n,)"
        ) from error
    if not bool(found.isfinite().all()):
        raise GraphError(
            f"{what} is {_seen(law.law)} whose log_prob is {found.tolist()} at its draws {drawn.tolist()}, but must be "
            "finite there"
        )


def _warn(prior: Any, what: str) -> None:
    warnings.warn(
        f"{what} is {_seen(prior)} without a support; it is taken to be where log_prob is greater than minus infinity. "
        f"If log_prob is finite where the prior has no draws, posteriors go there: give it a property 'support', or "
        f"{DECLARE}",
        SupportWarning,
        stacklevel=2,
    )


def _names_support(prior: Any) -> bool:
    try:
        return isinstance(prior.support, Constraint) and not constraints.is_dependent(prior.support)
    except (NotImplementedError, AttributeError):
        return False


def _hides_shape(prior: Distribution, what: str) -> bool:
    """Return whether a distribution claims to draw numbers, but draws vectors."""
    return not prior.batch_shape and not prior.event_shape and _probe(prior, what).ndim > 1


def _is_of_sbi(prior: Any, *names: str) -> bool:
    return any(base.__module__.startswith("sbi.") and base.__name__ in names for base in type(prior).__mro__)


def _name(prior: Any) -> str:
    return type(prior).__name__


def _seen(prior: Any) -> str:
    """Say what was given."""
    if prior is None:
        return "None"
    if inspect.isclass(prior):
        return f"the class {prior.__name__}"
    if isinstance(prior, str):
        return f"the text {prior!r}"
    if isinstance(prior, Tensor | np.ndarray):
        return f"{_name(prior)} of shape {tuple(prior.shape)}"
    return f"a {_name(prior)}"


def _next_step(prior: Any) -> str:
    """Say how to get from what was given to a prior."""
    if inspect.isclass(prior):
        return f"make an object of it, with its parameters; {EXPECTED}"
    if isinstance(prior, Mapping):
        return "give its values as a list, list(prior.values()), in the order in which the simulator takes them"
    if isinstance(prior, Tensor | np.ndarray):
        return f"for draws (n, D) of a prior take scipy.stats.gaussian_kde(draws.T); {EXPECTED}"
    return EXPECTED


def _instead(prior: Distribution) -> str:
    """Say how to get from a distribution of matrices, or a batch of vectors, to one of vectors."""
    if len(prior.event_shape) == 1 and len(prior.batch_shape) == 1:
        return "give the distributions of the batch as a list"
    base = prior.base_dist if isinstance(prior, Independent) else prior
    if not base.event_shape:
        return "give parameters of shape (D,) with D > 0, and reshape theta in the simulator"
    return MATRICES
