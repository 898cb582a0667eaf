"""The source of simulations of a run, from the arguments of :func:`ampbench.infer`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor
from torch.distributions import Distribution

from ampbench.counts import MAX_PARALLEL, count, whole
from ampbench.errors import UsageError
from ampbench.graph import Failed, Graph, Simulator, density, simulator
from ampbench.interfaces import Limits, Posterior, Progress, Sequential, silent
from ampbench.simulations.arrays import Simulations
from ampbench.simulations.batched import BatchedSimulator
from ampbench.simulations.batches import DEFAULT_SIZE, Batches
from ampbench.simulations.folder import Folder
from ampbench.simulations.identity import identity
from ampbench.simulations.learned_prior import learn_prior
from ampbench.simulations.stored import NEEDS_SIMULATOR, StoredSimulator


def model_of(
    prior: Distribution | None,
    simulate: Callable[..., Any] | None,
    simulations: Simulations | None = None,
    names: Sequence[str] = (),
    gaps: bool = False,
) -> Graph:
    """Return the graph of theta and x.

    Arguments:
        prior: of theta; None to learn it from the stored parameters.
        simulate: from theta to x; None if it is unknown, since there are stored simulations.
        simulations: stored simulations, or None.
        names: of the components of theta; by default those of the stored simulations.
        gaps: whether NaN in x is a missing entry.

    Raises:
        UsageError: prior or simulator are missing, or there are a simulator and stored simulations.

    Warns:
        StoredWarning: the prior was learned.
    """
    if simulations is not None and simulate is not None:
        raise UsageError(
            "a simulator and stored simulations were given; leave simulate out to use the stored ones, or simulations "
            "to use the simulator"
        )
    if simulations is None and (prior is None or simulate is None):
        missing = "a prior" if prior is None else "a simulator"
        raise UsageError(f"{missing} is missing: give prior and simulate, or simulations=(theta, x) that exist already")
    if simulations is not None:
        if gaps:
            raise UsageError("stored simulations hold finite values only; leave gaps out, or give a simulator")
        values = simulations.values
        declared = learn_prior(values["theta"]) if prior is None else prior
        return stored_model(declared, values["x"].shape[1], names, simulations.names)
    assert prior is not None
    assert simulate is not None
    return Graph(density("theta", prior, names=names), simulator("x", simulate, ["theta"], gaps=gaps))


def stored_model(prior: Distribution, features: int, names: Sequence[str] = (), columns: Sequence[str] = ()) -> Graph:
    """Return the graph of theta and x, whose simulator is unknown and cannot be called.

    Arguments:
        prior: of theta.
        features: L, the number of components of x.
        names: of the components of theta.
        columns: their names if there are no others; left out if the prior has another number of components, which the
            source of the stored simulations reports.
    """
    theta = density("theta", prior, names=names)
    if not names and theta.size == len(columns):
        theta = density("theta", prior, names=columns)
    return Graph(theta, simulator("x", _unknown, ["theta"], size=features))


def _unknown(theta: Tensor) -> NoReturn:
    raise UsageError(
        "simulations at given parameters were asked for, but there is no simulator, only stored simulations; give one, "
        "as in ampbench.restore(path, prior, simulate)"
    )


def first_rows(simulations: Simulations, budget: int | None) -> Simulations:
    """Return the rows within a budget: the first ones, or all if it is None.

    Raises:
        UsageError: the budget exceeds the number of rows, or is no whole number.
    """
    if budget is None:
        return simulations
    budget = count("budget", budget)
    if budget > len(simulations):
        raise UsageError(
            f"the budget is {budget:,}, but {simulations.origin} hold {len(simulations):,} simulations; lower it, or "
            "leave it out to use all"
        )
    return simulations.take(slice(0, budget))


def in_batches(
    graph: Graph,
    seed: int,
    *,
    workers: int | None,
    batch: int | None,
    store: str | Path | None,
    limits: Limits,
    progress: Progress = silent,
    read: Callable[[], Graph] | None = None,
) -> Batches | None:
    """Return how batches are simulated, or None if no argument asks for batches.

    Arguments:
        graph: the model.
        seed: of the run.
        workers: child processes at a time; None for this process.
        batch: simulations in a batch; None for :data:`ampbench.simulations.batches.DEFAULT_SIZE`.
        store: the folder that keeps finished batches, or None.
        limits: threads and memory of a child process, and seconds of each batch.
        progress: called with (simulations done, simulations in total).
        read: see :class:`Batches`.

    Raises:
        UsageError: a number is too small, or the folder belongs to another run.
    """
    if workers is None and batch is None and store is None:
        return None
    size = DEFAULT_SIZE if batch is None else count("batch", batch)
    number = 0 if workers is None else count("workers", workers, most=MAX_PARALLEL)
    folder = None if store is None else Folder.open(store, identity(graph, whole("seed", seed), size))
    return Batches(size, number, limits, folder, progress, read)


def limits_of(workers: int | None, timeout: float | None, threads: int) -> Limits:
    """Return the limits of the processes that simulate.

    Raises:
        UsageError: the timeout is not positive, or there are no processes that it could end.
    """
    if timeout is not None and not timeout > 0:
        raise UsageError(f"timeout must be above 0 seconds, got {timeout}")
    if timeout is not None and workers is None:
        raise UsageError(f"timeout={timeout:g} ends child processes; give workers=1 or more, too")
    return Limits(threads=threads, seconds=timeout)


def source(
    graph: Graph,
    observed: Sequence[str],
    budget: int | None,
    seed: int,
    simulations: Simulations | None,
    how: Batches | None,
    failed: Failed = "error",
) -> Simulator:
    """Return the simulator of a run.

    Arguments:
        graph, observed, budget, seed: see :class:`Simulator`.
        simulations: stored ones, or None.
        how: how batches are simulated, or None to simulate at once in this process.
        failed: what becomes of failed simulations; see :class:`Simulator`.

    Raises:
        UsageError: the budget is missing, or there are stored simulations and settings of a simulator.
    """
    if simulations is not None:
        if how is not None:
            raise UsageError(
                "workers, batch and store run a simulator, but stored simulations were given; leave them out"
            )
        if failed != "error":
            raise UsageError(
                f"failed={failed!r} is for a simulator, but stored simulations were given, which hold finite values "
                "only; remove the rows that failed, or replace their values by a code of your own"
            )
        return StoredSimulator(graph, observed, budget, seed, simulations)
    if budget is None:
        raise UsageError(
            "budget must be a whole number, got None (NoneType); say how many simulations may be run, such as 1000"
        )
    return (
        Simulator(graph, observed, budget, seed, failed)
        if how is None
        else BatchedSimulator(graph, observed, budget, seed, how, failed)
    )


def refuse_sequential(method: str, posterior: Posterior) -> None:
    """Raise :class:`UsageError` if a posterior that was to use stored simulations is fitted to each observation."""
    if isinstance(posterior, Sequential):
        raise UsageError(f"method {method!r} cannot use stored simulations: {NEEDS_SIMULATOR}")
