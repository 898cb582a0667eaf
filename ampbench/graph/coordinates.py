r"""Unconstrained, standardised coordinates for every variable.

Families and adversaries work on

.. math:: u = \frac{T^{-1}(x) - \mu}{\sigma}

with :math:`T` the bijection from the real line onto the variable's support (``torch.distributions.biject_to``) and
:math:`\mu, \sigma` the mean and standard deviation of :math:`T^{-1}(x)` over the training simulations. Samples
therefore always lie in the support, and because f-divergences are invariant under bijections the objective is
unchanged. Bits and one-hot vectors stay as they are, because discrete families produce them; other discrete values are
only standardised. Whole numbers are rounded on the way back, where 3 would be 2.9999998 and outside the support; the
gradient passes straight through.

Values in double precision, which are those that rounding would spoil (:mod:`ampbench.graph.precision`), are mapped in
double precision; their coordinates, of order 1, are in default precision like all others.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.distributions import biject_to, constraints
from torch.distributions.transforms import Transform, identity_transform

from ampbench.graph.supports import Restricted, elementwise

MAX_COORDINATE = 20.0
"""Largest magnitude of u where the support is bounded; a value on the boundary would have an infinite coordinate."""


class Coordinates:
    """The bijection between the values of a variable and the coordinates that are the input of networks.

    It works on the device of its arguments.

    Arguments:
        values: training values, shape (n, D), from which location and scale are computed.
        support: the support of the variable.
        alike: a number for each component, shape (D,): components with one number get one location and scale, so that
            permutations of them stay permutations. None: each component has its own.

    Example:
        >>> x = torch.rand(100, 2)
        >>> coordinates = Coordinates(x, constraints.unit_interval)
        >>> u = coordinates.encode(x)
        >>> bool(u.mean().abs() < 1e-5), bool(torch.allclose(coordinates.decode(u), x, atol=1e-5))
        (True, True)
    """

    def __init__(self, values: Tensor, support: constraints.Constraint, alike: Tensor | None = None) -> None:
        self._respect(support)
        self.whole = support.is_discrete and torch.equal(values, values.round())
        free = self._bijection.inv(values)
        if is_code(support):
            self.location, self.scale = torch.zeros_like(free[0]), torch.ones_like(free[0])
            return
        if alike is not None:
            self.location, self.scale = moments(free, torch.ones_like(free, dtype=torch.bool), alike)
            return
        spread = free.std(0) if len(free) > 1 else torch.ones_like(free[0])
        self.location = free.mean(0)
        self.scale = torch.where(spread > 0, spread, torch.ones_like(spread))

    @classmethod
    def at(cls, location: Tensor, scale: Tensor, whole: bool, support: constraints.Constraint) -> Self:
        """Return coordinates with given location and scale, shape (D′,) each; ``whole`` ones decode to integers."""
        made = cls.__new__(cls)
        made._respect(support)
        made.location, made.scale, made.whole = location, scale, whole
        return made

    def _respect(self, support: constraints.Constraint) -> None:
        self._support = support
        self._bijection: Transform = identity_transform if support.is_discrete else biject_to(support)
        self._bounded = not _is_identity(self._bijection)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of values."""
        return self.location.dtype

    @property
    def size(self) -> int:
        """D′, the number of coordinates."""
        return len(self.location)

    @property
    def features(self) -> int:
        """D, the number of components of a value."""
        return len(self.decode(torch.zeros(self.size)))

    def encode(self, values: Tensor) -> Tensor:
        """Map values (*, D) to coordinates (*, D′); D′ = D unless the support is a simplex."""
        values = values.to(self.dtype)
        free = (self._bijection.inv(values) - self.location.to(values)) / self.scale.to(values)
        return self._limited(free).to(torch.get_default_dtype())

    def decode(self, coordinates: Tensor) -> Tensor:
        """Map coordinates (*, D′) to values (*, D) inside the support."""
        u = self._limited(coordinates)
        u = u.to(torch.promote_types(u.dtype, self.dtype))
        values = self._bijection(u * self.scale.to(u) + self.location.to(u))
        return values.round() + (values - values.detach()) if self.whole else values  # adds an exact 0

    def log_slope(self, values: Tensor) -> Tensor:
        """Return log |det du/dx|, shape (*,), at values (*, D); minus infinity outside the support.

        It converts a density of the coordinates to one of the values; for discrete variables, probabilities are
        unchanged.
        """
        values = values.to(self.dtype)
        inside = _every(self._support.check(values), values)
        safe = torch.where(inside[..., None], values, self.decode(torch.zeros(self.size).to(values)))
        scale = self.scale.to(values)
        free = self.encode(safe) * scale + self.location.to(values)
        slope = self._bijection.log_abs_det_jacobian(free, self._bijection(free))
        slope = slope.sum(-1) if slope.ndim == values.ndim else slope
        total = slope.new_zeros(()) if self._support.is_discrete else -slope - scale.log().sum()
        return torch.where(inside, total, -torch.inf)

    def _limited(self, coordinates: Tensor) -> Tensor:
        return coordinates.clamp(-MAX_COORDINATE, MAX_COORDINATE) if self._bounded else coordinates


def moments(values: Tensor, there: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """Return location and scale of the values that are there, shape (D,) each; 0 and 1 where there are none.

    Arguments:
        values: shape (n, D).
        there: which of them are there, booleans (n, D).
        alike: a number for each component, shape (D,): components with one number are taken together.

    Example:
        >>> values = torch.tensor([[1.0, 3.0, 7.0]])
        >>> [each.tolist() for each in moments(values, values < 7, torch.tensor([0, 0, 1]))]
        [[2.0, 2.0, 0.0], [1.4142135381698608, 1.4142135381698608, 1.0]]
    """
    kept = torch.where(there, values, 0.0)
    groups = kept.new_zeros(int(alike.max()) + 1)
    number = groups.index_add(0, alike, there.sum(0).to(kept))
    location = (groups.index_add(0, alike, kept.sum(0)) / number.clamp_min(1))[alike]
    squares = torch.where(there, values - location, 0.0).square().sum(0)
    spread = (groups.index_add(0, alike, squares) / (number - 1).clamp_min(1)).sqrt()[alike]
    constant = spread <= 2 * torch.finfo(spread.dtype).eps * location.abs()
    return location, torch.where(constant, torch.ones_like(spread), spread)


def _every(inside: Tensor, values: Tensor) -> Tensor:
    """Return whether all components satisfy a constraint, shape (*,), given its check of values (*, D)."""
    return inside.all(-1) if inside.ndim == values.ndim else inside


def is_code(support: constraints.Constraint) -> bool:
    """Return whether the values of a support are bits or one-hot vectors."""
    base = getattr(support, "base_constraint", support)
    return isinstance(base, type(constraints.boolean) | type(constraints.one_hot))  # unpickled ones are other objects


def is_partly_discrete(support: constraints.Constraint) -> bool:
    """Return whether some components of a support are discrete and others are continuous.

    Example:
        >>> is_partly_discrete(constraints.cat([constraints.positive, constraints.nonnegative_integer], -1, [1, 1]))
        True
    """
    support = elementwise(support)
    if isinstance(support, Restricted):
        return is_partly_discrete(support.whole)
    parts = getattr(support, "cseq", ())  # of constraints.cat and constraints.stack
    return len({part.is_discrete for part in parts}) > 1 or any(map(is_partly_discrete, parts))


def _is_identity(bijection: Transform) -> bool:
    """Return whether a bijection is the identity, because the support is the whole real line."""
    base = getattr(bijection, "base_transform", bijection)
    return base is identity_transform or getattr(base, "parts", None) == []
