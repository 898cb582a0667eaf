"""The probe of a simulator in a child process, which may hang or crash; see :mod:`ampbench.graph.probe`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from ampbench.errors import SimulationError, SimulationWarning
from ampbench.graph import Graph, probe_simulators
from ampbench.interfaces import Limits
from ampbench.running.calls import CallError, StartStep, call_in_child

MAX_ROWS = 500
"""Largest number of simulations of a probe, rounded up."""


def probe_in_child(
    read: Callable[[], Graph], seed: int, budget: int, size: int, limits: Limits, tolerant: bool = False
) -> None:
    """Probe the simulators of a model in a child process.

    Arguments:
        read: returns the model; picklable.
        seed, budget: of the run.
        size: simulations in a batch, for which the limits hold; the probe may take the time of as many batches as it
            has simulations for.
        limits: of a batch.
        tolerant: whether simulations may fail.

    Raises:
        SimulationError: as :func:`ampbench.graph.probe_simulators` does, or the simulator hung or ended its process.

    Warns:
        SimulationWarning: as :func:`ampbench.graph.probe_simulators` does.
    """
    seconds = None if limits.seconds is None else limits.seconds * (1 + MAX_ROWS / size)
    try:
        texts = call_in_child(
            partial(_probe, read, seed, budget, tolerant), replace(limits, seconds=seconds), needs_main=False
        )
    except CallError as error:
        raise SimulationError(str(error)) from error
    for text in texts:
        warnings.warn(text, SimulationWarning, stacklevel=2)


def _probe(read: Callable[[], Graph], seed: int, budget: int, tolerant: bool, start: StartStep) -> list[str]:
    start("the probe of the simulator")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SimulationWarning)
        probe_simulators(read(), seed, budget, tolerant=tolerant)
    return [str(each.message) for each in caught if issubclass(each.category, SimulationWarning)]
