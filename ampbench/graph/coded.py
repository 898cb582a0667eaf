"""Observed variables in network coordinates, joined: for methods whose networks or distances read x as one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.graph.coordinates import Coordinates
from ampbench.graph.gaps import check_evidence, coordinates_of
from ampbench.graph.model import Graph, join, split
from ampbench.graph.precision import warn_if_rounded


@dataclass(frozen=True, eq=False)
class CodedEvidence:
    """The coordinates of joined observed variables; those with gaps are followed by their masks.

    Attributes:
        coordinates: of each observed variable, in topological order.

    Example:
        >>> from torch.distributions import constraints
        >>> x = torch.tensor([[0.0, torch.nan], [2.0, torch.nan]])
        >>> CodedEvidence({"x": coordinates_of(x, constraints.real, gaps=True)}).encode(x).shape
        torch.Size([2, 4])
    """

    coordinates: Mapping[str, Coordinates]

    @classmethod
    def of(
        cls,
        graph: Graph,
        values: Mapping[str, Tensor],
        alike: Callable[[int], Tensor | None] = lambda components: None,
    ) -> CodedEvidence:
        """Return the coordinates of observed variables from their training values, (n, D_i) each.

        Arguments:
            graph: the model.
            values: by the name of each observed variable, in topological order.
            alike: which of D_i components have one location and scale; see :class:`Coordinates`.
        """
        return cls(
            {
                name: coordinates_of(value, graph[name].support, graph[name].gaps, alike(value.shape[1]))
                for name, value in values.items()
            }
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The number of components of each variable."""
        return {name: each.features for name, each in self.coordinates.items()}

    def encode(self, values: Tensor) -> Tensor:
        """Map joined values (*, L) to joined coordinates (*, L′)."""
        parts = split(values, self.sizes)
        return join({name: each.encode(parts[name]) for name, each in self.coordinates.items()}, parts)

    def check(self, observation: Tensor) -> None:
        """Check the gaps and the precision of an observation (L,).

        Raises:
            UsageError: see :func:`ampbench.graph.gaps.check_evidence`.

        Warns:
            SimulationWarning: a component has a gap, or a value, for the first time.
            PrecisionWarning: see :func:`ampbench.graph.precision.warn_if_rounded`.
        """
        parts = split(observation, self.sizes)
        check_evidence(parts, self.coordinates)
        for name, part in parts.items():
            warn_if_rounded(f"the observation of {name!r}", part, self.coordinates[name].dtype == torch.float64)
