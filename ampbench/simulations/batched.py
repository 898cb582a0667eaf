"""A simulator that runs in batches; see :mod:`ampbench.simulations.batches`."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import joblib
import numpy as np
import torch
from torch import Tensor

from ampbench.errors import SimulationError, UsageError
from ampbench.faults import describe
from ampbench.graph import Failed, Graph, Simulator, probe_simulators
from ampbench.graph.failures import Report
from ampbench.graph.outputs import Layout
from ampbench.seeding import derive, seeded
from ampbench.simulations.batches import Arrays, Batch, Batches
from ampbench.simulations.identity import roots
from ampbench.simulations.probing import probe_in_child


class BatchedSimulator(Simulator):
    """A simulator that runs in batches; the numbers depend on the size of a batch, and on no other setting of it.

    Its numbers are not those of :class:`Simulator` with this seed, since every batch has a stream of its own.

    Arguments:
        graph, observed, budget, seed, failed, codes: see :class:`Simulator`.
        batches: size, number of child processes, and folder.

    Raises:
        UsageError: the model cannot be sent to a child process.
    """

    def __init__(
        self,
        graph: Graph,
        observed: Iterable[str],
        budget: int,
        seed: int,
        batches: Batches,
        failed: Failed = "error",
        codes: Tensor | None = None,
    ) -> None:
        super().__init__(graph, observed, budget, seed, failed, codes)
        self.batches = batches
        self._read: Callable[[], Graph] = batches.read or (portable(graph) if batches.workers else lambda: graph)

    def renewed(self, seed: int) -> Simulator:
        """Return a simulator of this kind with another seed; see :meth:`Simulator.renewed`."""
        return BatchedSimulator(self.graph, self.observed, self.budget, seed, self.batches, self.failed, self.codes)

    def probe(self) -> None:
        """Probe the simulators before the first batch, in a child process if there are workers.

        See :func:`ampbench.graph.probe_simulators` for what it raises and warns of.
        """
        how, tolerant = self.batches, self.failed != "error"
        if how.begun:
            return
        if how.workers:
            probe_in_child(self._read, self.seed, self.budget, how.size, how.limits, tolerant)
        else:
            probe_simulators(self.graph, self.seed, self.budget, tolerant=tolerant)

    def _draw(
        self, n: int, given: Mapping[str, Tensor] | None, sizes: Mapping[str, int], report: Report
    ) -> dict[str, Tensor]:
        firsts = range(0, n, self.batches.size)
        made = [self._batch(number, first, n, given or {}, sizes) for number, first in enumerate(firsts)]
        values = joined(self.batches.simulate(made, self._read))
        if self.graph.axes:
            return values
        report.layouts.update((name, Layout(tuple(value.shape[1:]))) for name, value in values.items())
        values = {name: value.flatten(1) for name, value in values.items()}
        for name, value in values.items():
            if name not in (given or {}):
                self.graph[name].warn_if_rounded(value)
        return self.graph.sample(n, values, double=self._double, report=report)

    def _batch(self, number: int, first: int, n: int, given: Mapping[str, Tensor], sizes: Mapping[str, int]) -> Batch:
        rows = min(self.batches.size, n - first)
        part = {name: value[first : first + rows] for name, value in given.items()}
        purpose = (self.seed, "simulations", self._calls, "batch", number)
        known = {**part, **self._parameters(rows, part, derive(*purpose, "parameters"))}
        arrays = {name: np.ascontiguousarray(value.detach().cpu().numpy()) for name, value in known.items()}
        key = f"{self.seed:014x}-{self._calls}/{number:06d}-{rows}-{_mark(part, sizes)}"
        return Batch(number, rows, derive(*purpose), arrays, dict(sizes), key, self.failed != "error")

    def _parameters(self, rows: int, given: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Draw the latents that no simulator precedes, which costs no simulation."""
        names = [name for name in roots(self.graph) if name in self.latents]
        if not names:
            return {}
        above = self.graph.ancestral(names)
        with seeded(seed):
            drawn = above.sample(rows, {name: given[name] for name in above.names if name in given}, double=above.names)
        return {name: drawn[name] for name in names}


def _mark(given: Mapping[str, Tensor], sizes: Mapping[str, int]) -> str:
    """Return a hash of the values that a method proposed, which a folder cannot know from the seed."""
    digest = hashlib.sha256(repr(sorted(sizes.items())).encode())
    for name in sorted(given):
        digest.update(name.encode() + given[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def joined(parts: list[Arrays]) -> dict[str, Tensor]:
    """Return the rows of all batches, by variable.

    Raises:
        SimulationError: batches have different numbers of components.
    """
    for name, first in parts[0].items():
        for number, part in enumerate(parts):
            if part[name].shape[1:] != first.shape[1:]:
                raise SimulationError(
                    f"node {name!r} returned rows of shape {part[name].shape[1:]} in batch {number + 1}, but "
                    f"{first.shape[1:]} in the first; a simulator must return as many numbers for every theta, and a "
                    "store must belong to one simulator"
                )
    return {name: torch.cat([torch.from_numpy(part[name]).clone() for part in parts]) for name in parts[0]}


def portable(graph: Graph) -> Callable[[], Graph]:
    """Return a function that makes the graph in another process; lambdas and closures are sent by value.

    Raises:
        UsageError: a conditional refers to something that no other process can have, such as an open file.
    """
    try:
        content = pickle.dumps(joblib.wrap_non_picklable_objects(graph, keep_wrapper=False))
    except Exception as error:  # every object may raise its own
        raise UsageError(
            f"the simulator cannot be sent to a child process: {describe(error)}. Let it be a function at the top "
            "level of a module, which opens files and connections when it is called; or leave workers out, which "
            "simulates in this process"
        ) from error
    return partial(pickle.loads, content)
