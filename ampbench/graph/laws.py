"""Distributions over vectors that are made of others: reshaped, joined, restricted and mixed ones, and objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily, constraints
from torch.distributions.constraints import Constraint

from ampbench.errors import GraphError, SamplingError
from ampbench.graph.copies import own
from ampbench.graph.supports import Restricted, elementwise, joined
from ampbench.graph.torch_supports import support_of
from ampbench.seeding import seeded

MAX_TRIES_PER_DRAW = 10_000
"""Draws of a prior, for each draw that a restriction accepts, after which sampling ends with an error."""
SHARE_DRAWS = 100_000
"""Draws by which the accepted share of a restricted prior is estimated: a standard error of 0.003 at a share of 0.5."""


class Wrapper(Distribution):
    """A distribution over vectors, event shape (D,), with a support that is given.

    Arguments:
        size: D.
        support: of the draws; None if it is where the density is positive.
    """

    arg_constraints: dict[str, Constraint] = {}  # noqa: RUF012 — torch's convention
    has_rsample = False

    def __init__(self, size: int, support: Constraint | None) -> None:
        self._support = Restricted(constraints.real_vector, self) if support is None else support
        super().__init__(event_shape=torch.Size([size]), validate_args=False)

    @property
    def support(self) -> Constraint:
        """The support of draws."""
        return self._support


class Vectors(Wrapper):
    """A distribution of D numbers in all, as one over vectors.

    Arguments:
        law: a distribution of batch shape () or (1,) and event shape (D,), or of a number.
        support: of the draws; None if it is where the density is positive.
    """

    def __init__(self, law: Distribution, support: Constraint | None) -> None:
        self.law = law
        super().__init__((law.batch_shape + law.event_shape).numel(), support)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D)."""
        return self.law.sample(torch.Size(sample_shape)).reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at values (*, D)."""
        shaped = value.reshape([*value.shape[:-1], *self.law.batch_shape, *self.law.event_shape])
        return self.law.log_prob(shaped).reshape(value.shape[:-1])


class Product(Wrapper):
    """Independent blocks, joined to one vector.

    Arguments:
        laws: distributions over vectors, one for each block.
    """

    def __init__(self, laws: Sequence[Distribution]) -> None:
        self.laws = list(laws)
        self.sizes = [law.event_shape[0] for law in laws]
        parts = [elementwise(support_of(law)) for law in laws]
        if all(part is parts[0] and not part.event_dim for part in parts):  # such as constraints.real
            parts, sizes = parts[:1], [sum(self.sizes)]
        else:
            sizes = self.sizes
        super().__init__(sum(self.sizes), joined(parts, sizes))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D)."""
        return torch.cat([law.sample(torch.Size(sample_shape)) for law in self.laws], -1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the sum of the log densities of the blocks, shape (*,), at values (*, D)."""
        blocks = zip(self.laws, value.split(self.sizes, -1), strict=True)
        return torch.stack([law.log_prob(block) for law, block in blocks]).sum(0)


class Accepted(Wrapper):
    r"""A prior restricted to a region, :math:`p(\theta \mid \theta \in A) = p(\theta) / p(A)`, by rejection.

    p(A) is estimated by :data:`SHARE_DRAWS` draws of a seed of its own when a density is first asked for.

    Arguments:
        prior: over vectors.
        accepts: from values (n, D) to booleans (n,).
    """

    def __init__(self, prior: Distribution, accepts: Callable[[Tensor], Any]) -> None:
        self.prior = prior
        self.accepts = accepts
        super().__init__(prior.event_shape[0], Restricted(support_of(prior), self))

    def _inside(self, values: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.as_tensor(self.accepts(values)).reshape(len(values)).bool()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D).

        Raises:
            SamplingError: the region holds less than 1 in :data:`MAX_TRIES_PER_DRAW` draws.
        """
        n = torch.Size(sample_shape).numel()
        kept, found, tries = [], 0, 0
        while found < n:
            drawn = self.prior.sample(torch.Size([max(n - found, 100)]))
            kept.append(drawn[self._inside(drawn)])
            found, tries = found + len(kept[-1]), tries + len(drawn)
            if tries > MAX_TRIES_PER_DRAW * (found + 1):
                raise SamplingError(
                    f"{found} of {tries} draws of the prior are in the region to which it is restricted; widen it"
                )
        joined_draws = torch.cat(kept) if kept else torch.zeros(0, *self.event_shape)
        return joined_draws[:n].reshape(*sample_shape, *self.event_shape)

    @cached_property
    def share(self) -> Tensor:
        """The share of draws of the prior that is accepted, p(A)."""
        with seeded(0):
            return self._inside(self.prior.sample(torch.Size([SHARE_DRAWS]))).float().mean()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at values (*, D); minus infinity outside the region."""
        inside = self._inside(value.reshape(-1, *self.event_shape)).reshape(value.shape[:-1])
        return torch.where(inside, self.prior.log_prob(value) - self.share.log(), -torch.inf)


class Mixture(Wrapper):
    """A mixture whose components have different supports; torch's own refuses draws that one component excludes.

    Arguments:
        law: a distribution of D numbers in all: a mixture of vectors or numbers, or independent mixtures of numbers.
        hull: the smallest product of intervals that holds the supports of the components, with event dimension 1.
    """

    def __init__(self, law: MixtureSameFamily, hull: Constraint) -> None:
        self.law = law
        self._component = own(law.component_distribution)
        _accept_all_values(self._component)
        super().__init__((law.batch_shape + law.event_shape).numel(), Restricted(hull, self))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D)."""
        return self.law.sample(torch.Size(sample_shape)).reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at values (*, D)."""
        each = value.reshape([*value.shape[:-1], *self.law.batch_shape, 1, *self.law.event_shape])
        inside = support_of(self._component).check(each)
        densities = torch.where(inside, self._component.log_prob(each), -torch.inf)
        mixed = (densities + self.law.mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)
        return mixed.reshape(*value.shape[:-1], -1).sum(-1)


def _accept_all_values(law: Distribution) -> None:
    """Let a distribution, and those that it is made of, compute densities outside of the support."""
    law._validate_args = False
    for inner in vars(law).values():
        if isinstance(inner, Distribution):
            _accept_all_values(inner)


class Custom(Wrapper):
    """An object with ``sample`` and ``log_prob``, in torch or numpy.

    Arguments:
        law: the object; ``sample((n,))``, or else ``sample(n)``, draws (n, *shape).
        shape: of a draw, () or (D,).
        support: of the draws; None if it is where the density is positive.
        is_numpy: whether it draws arrays.
    """

    def __init__(self, law: Any, shape: torch.Size, support: Constraint | None, is_numpy: bool) -> None:
        self.law = law
        self.shape = shape
        self.is_numpy = is_numpy
        super().__init__(shape.numel(), support)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Draw values, shape (*sample_shape, D)."""
        drawn = drawn_by(self.law, torch.Size(sample_shape).numel())
        return torch.as_tensor(drawn).reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (*,), at values (*, D); see :func:`without_gradient`."""
        rows = value.reshape(-1, *self.shape)
        found = self.law.log_prob(without_gradient(rows).numpy() if self.is_numpy else rows)
        return torch.as_tensor(found, device=value.device).reshape(value.shape[:-1])


def drawn_by(law: Any, n: int) -> Any:
    """Return n draws of an object; its ``sample`` takes a shape or a number."""
    try:
        return law.sample(torch.Size([n]))
    except TypeError:
        return law.sample(n)


def without_gradient(values: Tensor) -> Tensor:
    """Return values on the CPU for a density in numpy; raises :class:`GraphError` if a gradient is asked for."""
    if values.requires_grad:
        raise GraphError(
            "a prior of scipy or numpy has no gradient, which this method needs; give a distribution of torch, or take "
            "another method"
        )
    return values.cpu()
