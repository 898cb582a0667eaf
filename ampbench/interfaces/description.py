"""Descriptions of posteriors: the method, its budget, and the variables with their sizes and names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, component_names, join, split
from ampbench.graph.failures import Report
from ampbench.graph.prior import LatentPrior, parameter_names
from ampbench.seeding import seeded

SHOWN_VARIABLES = 5
"""Largest number of variables that the text of a posterior lists."""


@dataclass(frozen=True, eq=False)
class Description:
    """The description of a posterior: method, budget and variables.

    Attributes:
        method: the method's spec.
        budget: number of simulations that the method was allowed.
        graph: the model.
        observed: names of the observed variables, in topological order.
        sizes: number of components of each variable that is known.
        shapes: of observed variables whose simulations have more than one dimension, such as images.
        precise: names of variables that are in double precision; None if nothing was simulated yet.
        tolerant: whether simulations may fail, so that predictions have NaN where they do.
        codes: of simulations that failed, shape (2, L); None if none was coded. See :mod:`ampbench.graph.failures`.
    """

    method: str
    budget: int
    graph: Graph
    observed: tuple[str, ...]
    sizes: Mapping[str, int]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    precise: frozenset[str] | None = None
    tolerant: bool = False
    codes: Tensor | None = None

    @classmethod
    def of(cls, source: Simulator, method: str) -> Description:
        """Return the description of a posterior that was fitted to a simulator.

        Sizes are those of the simulations; where there are none, those of the graph and of a draw of the prior.
        """
        graph, sizes = source.graph, dict(source.sizes)
        declared = {node.name: node.size for node in graph.nodes if node.size is not None}
        if not graph.axes and not sizes.keys() | declared.keys() >= set(source.latents):
            with seeded(0):  # the prior is drawn to see the sizes
                sizes |= LatentPrior(graph, source.latents).sizes
        sizes = declared | sizes
        precise = source.precise if source.sizes else None
        shapes = {name: shape for name, shape in source.shapes.items() if name in source.observed and len(shape) != 1}
        return cls(
            method,
            source.budget,
            graph,
            source.observed,
            sizes,
            shapes,
            precise,
            source.failed != "error",
            source.codes if source.failures else None,
        )

    @property
    def latents(self) -> tuple[str, ...]:
        """Names of the latent variables, in topological order."""
        return self.graph.latents(self.observed)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the components of theta; see :func:`ampbench.graph.prior.parameter_names`.

        Raises:
            UsageError: variables are repeated, so that theta has no single size.
        """
        if self.graph.axes:
            raise UsageError(
                f"{', '.join(self.latents)} have repeats along {', '.join(axis.name for axis in self.graph.axes)}, so "
                "that theta has no fixed components; call sample_variables(evidence, n)"
            )
        return parameter_names(self.graph, self.latents)

    def observed_names(self, features: int) -> tuple[str, ...]:
        """Return names of the L components of an observation: those that nodes give, or ``x[0]``, ``x[1]``, ….

        Raises:
            UsageError: the sizes of several variables are not known.
        """
        sizes = {name: self.sizes[name] for name in self.observed if name in self.sizes}
        if len(sizes) < len(self.observed):
            if len(self.observed) > 1:
                raise UsageError(f"the sizes of {', '.join(self.observed)} are not known; give size=D to each node")
            sizes = {self.observed[0]: features}
        named = (self.graph[name].names or component_names({name: size}) for name, size in sizes.items())
        return tuple(chain.from_iterable(named))

    @property
    def features(self) -> int | None:
        """L, the number of components of an observation; None if it is not known, or variables are repeated."""
        if self.graph.axes:
            return None
        sizes = [self.sizes.get(name) for name in self.observed]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of an observation: (L,), or that of the only observed variable, such as (28, 28)."""
        own = self.shapes.get(self.observed[0]) if len(self.observed) == 1 else None
        return own or (() if self.features is None else (self.features,))

    @property
    def dtype(self) -> torch.dtype:
        """The precision of observations; double if it is not known."""
        double = self.precise is None or not self.precise.isdisjoint(self.observed)
        return torch.float64 if double else torch.get_default_dtype()

    def simulate(self, theta: Tensor) -> Tensor:
        """Return one simulation for each row of theta, shape ``(*, D)``: ``(*, L)``, or ``(*, 28, 28)`` of images.

        Raises:
            SimulationError: the simulator returned something unusable, or NaN where simulations may not fail.
        """
        rows = theta.reshape(-1, theta.shape[-1])
        latents = split(rows, {name: self.sizes[name] for name in self.latents})
        x = join(
            self.graph.sample(len(rows), latents, double=self.precise or (), report=Report(self.tolerant)),
            self.observed,
        )
        shape = self.shape if math.prod(self.shape) == x.shape[1] else x.shape[1:]
        return x.reshape(*theta.shape[:-1], *shape)

    def notes(self) -> dict[str, Any]:
        """Return what a file keeps of this description, beside the model: numbers and texts."""
        names = [] if self.graph.axes else list(self.names)
        return {
            "method": self.method,
            "budget": self.budget,
            "sizes": dict(self.sizes),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "tolerant": self.tolerant,
            "codes": None if self.codes is None else self.codes.tolist(),
            "precise": None if self.precise is None else sorted(self.precise),
            "names": names if any(self.graph[name].names for name in self.latents) else [],
        }

    def with_notes(self, notes: Mapping[str, Any]) -> Description:
        """Return this description with what :meth:`notes` kept; itself without notes."""
        if not notes:
            return self
        shapes = {name: tuple(shape) for name, shape in notes["shapes"].items()}
        precise = None if notes["precise"] is None else frozenset(notes["precise"])
        return replace(
            self,
            budget=notes["budget"],
            sizes=notes["sizes"],
            shapes=shapes,
            precise=precise,
            tolerant=notes["tolerant"],
            codes=None if notes["codes"] is None else torch.tensor(notes["codes"]),
        )

    def facts(self) -> dict[str, str]:
        """Return method, budget and variables as texts, by what they are."""
        return {
            "method": self.method,
            "budget": f"{self.budget:,} simulations",
            "inferred": self._listed(self.latents),
            "given": self._listed(self.observed),
        }

    def __str__(self) -> str:
        return (
            f"{self.method}, fitted with a budget of {self.budget:,} simulations: {self._listed(self.latents)} given "
            f"{self._listed(self.observed)}"
        )

    def _listed(self, names: tuple[str, ...]) -> str:
        shown = [f"{name} {self._size(name)}" for name in names[:SHOWN_VARIABLES]]
        more = len(names) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def _size(self, name: str) -> str:
        if axes := self.graph[name].along:
            return f"(along {', '.join(axis.name for axis in axes)})"
        own = self.graph[name].names
        size = "×".join(map(str, self.shapes.get(name, (self.sizes.get(name, "?"),))))
        return f"({size}: {', '.join(own)})" if own and len(own) <= SHOWN_VARIABLES else f"({size})"
