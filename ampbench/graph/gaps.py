r"""Gaps: entries of an observed variable that are missing, as NaN, such as a trial that was not run.

A gap is data, not a failure: the simulator decides which entries are missing, and methods infer
:math:`p(\theta \mid x)` given the values that are there and the pattern of the gaps. In network coordinates the
variable is

.. math:: \Bigl( m \odot \frac{T^{-1}(x) - \mu}{\sigma},\; m \Bigr), \qquad m_d = 1 \text{ if } x_d \text{ is there},

with the mask m, and with μ, σ of the values that are there. A row without any value, and infinite values, are failures.

References:
    Wang et al. 2024, *Missing data in amortized simulation-based neural posterior estimation*,
    doi:10.1371/journal.pcbi.1012184.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor
from torch.distributions import constraints

from ampbench.errors import SimulationWarning, UsageError
from ampbench.graph.coordinates import Coordinates, is_code, moments
from ampbench.graph.precision import stored
from ampbench.graph.supports import elementwise

MIN_VALUES = 20
"""Smallest number of values of a component for a location and scale of its own."""


def unusable(values: Tensor, gaps: bool) -> Tensor:
    """Return which rows of values (n, D) are failures, booleans (n,).

    Example:
        >>> rows = torch.tensor([[0.0, torch.nan], [torch.nan, torch.nan], [0.0, torch.inf]])
        >>> unusable(rows, gaps=True).tolist(), unusable(rows, gaps=False).tolist()
        ([False, True, True], [True, True, True])
    """
    return values.isinf().any(1) | values.isnan().all(1) if gaps else ~torch.isfinite(values).all(1)


def filled(values: Tensor) -> Tensor:
    """Return values (n, D) with a number of the same component in place of gaps; 0 if a component has no number.

    Ranges and roundness of the components stay as they are.
    """
    if not values.is_floating_point() or not len(values):
        return values
    gaps = values.isnan()
    lowest = torch.where(gaps, torch.inf, values).amin(0)
    return torch.where(gaps, torch.where(lowest.isfinite(), lowest, 0.0), values)


def stored_with_gaps(values: Tensor, double: bool = False) -> Tensor:
    """Return values (n, D) in the precision that they need; see :func:`ampbench.graph.precision.stored`."""
    return values.to(stored(filled(values), double).dtype)


def inside(support: constraints.Constraint, values: Tensor) -> Tensor:
    """Return which components of values (n, D) lie in an elementwise support, or are gaps."""
    return elementwise(support).check(values) | values.isnan()


@final
class GappedCoordinates(Coordinates):
    """The coordinates of a variable with gaps; see :class:`ampbench.graph.coordinates.Coordinates`.

    A component with fewer than :data:`MIN_VALUES` values gets the location and scale of all components together.

    Arguments:
        values: training values, shape (n, D), NaN at gaps.
        support: the support of a component.
        alike: a number for each component, shape (D,): components with one number get one location and scale.

    Attributes:
        seen: which components had a value, and which had a gap, in training, they or one that is alike: booleans,
            shape (2, D).

    Example:
        >>> x = torch.tensor([[0.0, torch.nan], [2.0, torch.nan]])
        >>> coordinates = GappedCoordinates(x, constraints.real)
        >>> coordinates.encode(torch.tensor([1.0, torch.nan])).tolist()
        [0.0, 0.0, 1.0, 0.0]
    """

    seen: Tensor

    def __init__(self, values: Tensor, support: constraints.Constraint, alike: Tensor | None = None) -> None:
        there = ~values.isnan()
        super().__init__(filled(values), support)
        together = torch.zeros(values.shape[1], dtype=torch.long) if alike is None else alike
        own = torch.arange(values.shape[1]) if alike is None else alike
        self.seen = torch.stack([_anywhere(there.any(0), own), _anywhere((~there).any(0), own)])
        if is_code(support):
            return
        free = self._bijection.inv(filled(values))
        enough = there.sum(0) >= MIN_VALUES
        (location, scale), (common, width) = moments(free, there, own), moments(free, there, together)
        self.location, self.scale = torch.where(enough, location, common), torch.where(enough, scale, width)

    @classmethod
    def restored(
        cls, location: Tensor, scale: Tensor, whole: bool, support: constraints.Constraint, seen: Tensor
    ) -> GappedCoordinates:
        """Return coordinates with given location and scale, shape (D,) each; see :meth:`Coordinates.at`."""
        made = cls.at(location, scale, whole, support)
        made.seen = seen.bool()
        return made

    @property
    def size(self) -> int:
        """2D, the number of coordinates: values and mask."""
        return 2 * len(self.location)

    @property
    def features(self) -> int:
        """D, the number of components of a value."""
        return len(self.location)

    def encode(self, values: Tensor) -> Tensor:
        """Map values (*, D), NaN at gaps, to coordinates (*, 2D): values with 0 at gaps, and the mask."""
        u, there = super().encode(values), ~values.isnan()
        return torch.cat([torch.where(there, u, 0.0), there.to(u)], dim=-1)

    def decode(self, coordinates: Tensor) -> Tensor:
        """Map coordinates (*, 2D) to values (*, D), NaN at gaps."""
        u, mask = coordinates.chunk(2, dim=-1)
        return torch.where(mask > 0, super().decode(u), torch.nan)

    def check(self, name: str, values: Tensor) -> None:
        """Warn of components of an observation (D,) that never had a value, or never had a gap, in training.

        Warns:
            SimulationWarning: the message names the component and the next step.
        """
        here = torch.stack([~values.isnan(), values.isnan()]).cpu()
        for new, (state, always) in zip(here & ~self.seen, (("a value", "missing"), ("a gap", "there")), strict=True):
            if components := new.nonzero().flatten().tolist():
                i, *others = components
                more = f" (and {len(others)} more, such as component {others[0]})" if others else ""
                warnings.warn(
                    f"the observation of {name!r} has {state} at component {i}{more}, which was {always} in all "
                    "simulations: the posterior is an extrapolation; let the simulator make gaps as in the "
                    "observation, or raise the budget",
                    SimulationWarning,
                    stacklevel=3,
                )


def _anywhere(found: Tensor, alike: Tensor) -> Tensor:
    """Return whether a component, or one with its number, has a property, shape (D,)."""
    return found.new_zeros(len(found)).index_put((alike,), found, accumulate=True)[alike]


def check_evidence(observed: Mapping[str, Tensor], coordinates: Mapping[str, Coordinates]) -> None:
    """Check the gaps of an observation: one tensor (D_i,) for each observed variable.

    Raises:
        UsageError: a variable is all gaps, or has NaN although it was declared without gaps.

    Warns:
        SimulationWarning: see :meth:`GappedCoordinates.check`.
    """
    for name, values in observed.items():
        of = coordinates[name]
        if isinstance(of, GappedCoordinates):
            if bool(values.isnan().all()):
                raise UsageError(f"the observation of {name!r} has no value: all {len(values)} components are NaN")
            of.check(name, values)
        elif bool(values.isnan().any()):
            component = int(values.isnan().nonzero()[0])
            raise UsageError(
                f"the observation of {name!r} holds NaN: component {component}; only a variable that is declared with "
                "gaps=True may have missing entries"
            )


def coordinates_of(
    values: Tensor, support: constraints.Constraint, gaps: bool, alike: Tensor | None = None
) -> Coordinates:
    """Return the coordinates of a variable from its training values (n, D); see :class:`Coordinates`."""
    return GappedCoordinates(values, support, alike) if gaps else Coordinates(values, support, alike)


def names_with_gaps(coordinates: Mapping[str, Coordinates], names: Iterable[str]) -> tuple[str, ...]:
    """Return those of the names whose variables have gaps."""
    return tuple(name for name in names if isinstance(coordinates[name], GappedCoordinates))
