"""Simulators: a graph with a budget and a seed. A method has no other source of simulations.

Every draw is counted here, failed ones included, and a draw beyond the budget is refused, so that all methods have
equal budgets.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from ampbench.counts import count, whole
from ampbench.errors import BudgetExceeded, GraphError, SimulationError, SimulationWarning, UsageError
from ampbench.graph.failures import (
    Failed,
    Report,
    check_failed,
    choose_codes,
    coded,
    describe_failed,
    succeeded,
    warn_if_reached,
)
from ampbench.graph.model import Graph, join, split
from ampbench.graph.outputs import Layout
from ampbench.seeding import derive, seeded


class Simulator:
    """A graph from which at most ``budget`` simulations can be drawn.

    Arguments:
        graph: the model.
        observed: names of the variables that will be observed.
        budget: how many ancestral samples may be drawn in all.
        seed: the draws are a function of the seed and of the calls made so far.
        failed: what becomes of simulations with NaN or infinite values: ``error``, ``drop`` or ``code``; see
            :mod:`ampbench.graph.failures`.
        codes: for ``code``, the intervals of the codes of the observed variables, joined, shape (2, L); None chooses
            them by the simulations that are drawn first.

    Attributes:
        spent: how many simulations were drawn, failed ones included.
        failures: how many of them failed.
        codes: the intervals of the codes, shape (2, L); None before they are chosen.

    Raises:
        GraphError: ``observed`` names no variable, an unknown one, or leaves nothing to infer; or a latent has gaps.
        UsageError: budget or seed is no whole number, the budget is negative, ``failed`` is unknown, or not ``error``
            for a graph with repeated variables, in which NaN means a missing repeat, or ``code`` for a variable with
            gaps.

    Example:
        >>> import torch
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.graph import density, simulator
        >>> prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> graph = Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))
        >>> source = Simulator(graph, observed=["x"], budget=10, seed=0)
        >>> source.sample(8)["x"].shape, source.spent, source.remaining
        (torch.Size([8, 1]), 8, 2)
        >>> source.sample(3)
        Traceback (most recent call last):
        ampbench.errors.BudgetExceeded: 3 simulations asked for, but only 2 of the budget of 10 remain
    """

    def __init__(
        self,
        graph: Graph,
        observed: Iterable[str],
        budget: int,
        seed: int,
        failed: Failed = "error",
        codes: Tensor | None = None,
    ) -> None:
        self.graph = graph
        self.observed = graph.check(observed)
        self.latents = graph.latents(self.observed)
        self.budget = count("budget", budget, least=0)
        self.seed = whole("seed", seed)
        self.failed = check_failed(failed)
        self.codes = codes
        self.spent = 0
        self.failures = 0
        self._layouts: dict[str, Layout] = {}
        self._calls = 0
        self._sizes: dict[str, int] = {}
        self._double: set[str] = set()
        if not self.observed or not self.latents:
            raise GraphError(
                f"nothing to infer: observed {self.observed or '()'} and latent {self.latents or '()'} variables; "
                "name at least one of each"
            )
        if graph.axes and failed != "error":
            raise UsageError(
                f"failed={failed!r} cannot be told from missing repeats in a graph with repeated variables "
                f"({', '.join(axis.name for axis in graph.axes)}); let the simulator return a finite code, or take the "
                "flat graph, Graph.ground(sizes)"
            )
        if hidden := [name for name in self.latents if graph[name].gaps]:
            raise GraphError(f"node {hidden[0]!r} has gaps, but is not observed; observe it, or drop gaps")
        if self.gaps and failed == "code":
            raise UsageError(
                f"failed='code' cannot replace values of {self.gaps[0]!r}, in which NaN is a missing entry; take "
                "failed='drop', which leaves out simulations without any value"
            )

    @property
    def gaps(self) -> tuple[str, ...]:
        """The observed variables whose entries may be missing."""
        return tuple(name for name in self.observed if self.graph[name].gaps)

    @property
    def remaining(self) -> int:
        """The number of simulations that can still be drawn."""
        return self.budget - self.spent

    def renewed(self, seed: int) -> Simulator:
        """Return a simulator of the same kind, model and budget, with another seed; nothing was drawn from it yet."""
        return Simulator(self.graph, self.observed, self.budget, seed, self.failed, self.codes)

    @property
    def sizes(self) -> Mapping[str, int]:
        """The number of components of each variable, once it was drawn."""
        return MappingProxyType(self._sizes)

    @property
    def precise(self) -> frozenset[str]:
        """Names of the variables that were in double precision in a draw."""
        return frozenset(self._double)

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """By variable, the shape in which a draw was returned, such as (28, 28); (L,) for a vector.

        It is known after the first call, and for variables that are not repeated. Draws are flattened row by row.
        """
        flat = {} if self.graph.axes else {name: (size,) for name, size in self._sizes.items()}
        return MappingProxyType(flat | {name: layout.shape for name, layout in self._layouts.items()})

    def sample(
        self,
        n: int,
        given: Mapping[str, Tensor] | None = None,
        sizes: Mapping[str, int] = MappingProxyType({}),
    ) -> dict[str, Tensor]:
        """Draw n ancestral samples; fewer are returned if some fail and ``failed`` is ``drop``.

        Each costs one simulation; if variables are repeated, each costs as many as the largest number of repeats of a
        variable, so that budgets are comparable between sizes.

        Arguments:
            n: number of draws.
            given: values (n, D) of some variables, such as parameters proposed by a sequential method.
            sizes: the size of every axis, by its name; axes with a single size need none.

        Returns:
            One tensor (n, D_i) per variable; (n, R_1, …, D_i) if it is repeated. It is in double precision if rounding
            would lose information in this call or did in an earlier one.

        Raises:
            BudgetExceeded: fewer than n simulations are left; nothing is drawn.
            SimulationError: the simulator returned something unusable, or no draw succeeded; the draws count all the
                same.

        Warns:
            SimulationWarning: some draws failed; the message says how many.
        """
        values = self._counted(n, given, sizes)
        if self.failed == "error" or bool((good := succeeded(values, self.gaps)).all()):
            return self._coded(values)
        if not bool(good.any()):
            raise SimulationError(
                f"{describe_failed(values, self.gaps)}: 0 are left, but at least 1 are needed; raise the budget, or "
                "repair the simulator"
            )
        usable = self._coded(values) if self.failed == "code" else {name: value[good] for name, value in values.items()}
        warnings.warn(f"{describe_failed(values, self.gaps)}; {self._consequence}", SimulationWarning, stacklevel=2)
        return usable

    def require(self, values: Mapping[str, Tensor], least: int) -> dict[str, Tensor]:
        """Return draws if there are at least so many.

        Raises:
            SimulationError: there are fewer, since simulations failed; the message has the numbers.
        """
        left = len(next(iter(values.values())))
        if left < least:
            raise SimulationError(
                f"{self.failures} of {self.spent} simulations ({self.failures / max(self.spent, 1):.1%}) failed: "
                f"{left} are left, but at least {least} are needed; raise the budget, or repair the simulator"
            )
        return dict(values)

    def attempt(self, n: int, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Draw n ancestral samples as :meth:`sample` does, but keep failed ones in their rows, without a warning.

        Returns:
            One tensor (n, D_i) per variable. If ``failed`` is ``drop``, failed values are NaN or infinite.
        """
        return self._coded(self._counted(n, given, MappingProxyType({})))

    def warn_of_failures(self) -> None:
        """Warn of all simulations that failed so far, if there are any.

        Warns:
            SimulationWarning: the message has their number and share.
        """
        if self.failures:
            told = f"{self.failures} of {self.spent} simulations ({self.failures / self.spent:.1%}) failed"
            warnings.warn(f"{told}; {self._consequence}", SimulationWarning, stacklevel=2)

    def _counted(self, n: int, given: Mapping[str, Tensor] | None, sizes: Mapping[str, int]) -> dict[str, Tensor]:
        """Draw and count n ancestral samples."""
        n = whole("n", n)
        if n < 1:
            raise SimulationError(f"{n} simulations asked for; ask for at least one")
        cost = n * self.graph.draws(sizes)
        if cost > self.remaining:
            raise BudgetExceeded(
                f"{cost} simulations asked for, but only {self.remaining} of the budget of {self.budget} remain"
            )
        self.spent += cost
        self._calls += 1
        report = Report(tolerant=self.failed != "error")
        values = self._draw(n, given, sizes, report)
        self._check_sizes(values, report)
        self._double.update(name for name, value in values.items() if value.dtype != torch.get_default_dtype())
        self.failures += 0 if self.failed == "error" else int((~succeeded(values, self.gaps)).sum())
        return values

    def _draw(
        self, n: int, given: Mapping[str, Tensor] | None, sizes: Mapping[str, int], report: Report
    ) -> dict[str, Tensor]:
        """Draw n ancestral samples, which are counted already."""
        with seeded(derive(self.seed, "simulations", self._calls)):
            drawn = self.graph.sample(n, given, sizes, self._double, report)
        return {name: value.detach() for name, value in drawn.items()}

    def _check_sizes(self, values: Mapping[str, Tensor], report: Report) -> None:
        """Raise :class:`SimulationError` if a variable has other components than in an earlier call."""
        for name, value in values.items():
            if self._sizes.setdefault(name, value.shape[-1]) != value.shape[-1]:
                raise SimulationError(
                    f"node {name!r} returned {value.shape[-1]} components, but {self._sizes[name]} in an earlier call"
                )
        for name, layout in report.layouts.items():
            if self._layouts.setdefault(name, layout) != layout:
                raise SimulationError(
                    f"node {name!r} returned draws of {layout}, but of {self._layouts[name]} "
                    "in an earlier call; let all calls return one layout"
                )

    def _coded(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Replace failed values by codes, which are chosen now unless they are known."""
        if self.failed != "code":
            return values
        for name in self.latents:
            if bad := int((~succeeded({name: values[name]})).sum()):
                raise SimulationError(
                    f"the latent variable {name!r} failed in {bad} of {len(values[name])} simulations: a code would be "
                    "a parameter to infer; take failed='drop'"
                )
        if self.codes is None:
            chosen = [choose_codes(name, values[name], self.graph[name].support) for name in self.observed]
            self.codes = torch.cat(chosen, dim=1)
        warn_if_reached(self.observed, join(values, self.observed), self.codes)
        parts = split(self.codes, {name: values[name].shape[1] for name in self.observed})
        whole = {name: self.graph[name].support.is_discrete for name in parts}
        with seeded(derive(self.seed, "codes", self._calls)):
            return values | {name: coded(values[name], codes, whole[name]) for name, codes in parts.items()}

    @property
    def _consequence(self) -> str:
        return "they are left out" if self.failed == "drop" else "their values are replaced by codes"
