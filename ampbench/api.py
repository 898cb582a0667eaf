"""The Python interface: infer, learn, save and restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ampbench import files, registry
from ampbench.amp import AMP, learning
from ampbench.amp.learning import LearnedModel
from ampbench.bars import progress_bar
from ampbench.devices import usable_device
from ampbench.errors import AmpbenchError, UsageError
from ampbench.graph import Failed, Graph, Simulator, probe_simulators
from ampbench.interfaces import HasState, Method, Posterior, Progress, fit, rebuild
from ampbench.interfaces import state as states
from ampbench.interfaces.notes import checked_notes
from ampbench.interfaces.posterior import described
from ampbench.results import atomic, tensors
from ampbench.results.checksums import Damage
from ampbench.seeding import derive, seeded
from ampbench.simulations import (
    BatchedSimulator,
    StoredSimulator,
    first_rows,
    in_batches,
    limits_of,
    model_of,
    read_simulations,
    read_variables,
    refuse_sequential,
    source,
    warn_if_other_prior,
)
from ampbench.threads import limited_threads

NOTES = "description"
"""Name of the description in the file of a posterior, beside its tensors."""


def infer(
    prior: Any = None,
    simulate: Callable[..., Any] | None = None,
    *,
    budget: int | None = None,
    method: str = "amp",
    seed: int = 0,
    device: str | torch.device = "cpu",
    threads: int = 1,
    names: Sequence[str] = (),
    simulations: Any = None,
    workers: int | None = None,
    batch: int | None = None,
    store: str | Path | None = None,
    timeout: float | None = None,
    failed: Failed = "error",
    gaps: bool = False,
    progress: Progress | None = None,
    probe: bool = True,
) -> Posterior:
    """Infer the parameters of your own simulator.

    Arguments:
        prior: distribution of theta, with event shape (D,), a list of distributions, or another prior of
            :mod:`ampbench.graph.priors`; later changes of it have no effect. None, with stored simulations only, to
            learn it from their parameters; see :mod:`ampbench.simulations.learned_prior`.
        simulate: from theta, shape (n, D), to x, shape (n, L), or to images (n, 28, 28), series (n, T, d), lists, data
            frames, or dictionaries of such; see :mod:`ampbench.graph.outputs`. It need not be differentiable, and may
            work in place on theta, which is a copy. Row i of x may depend on row i of theta alone, and on the seeded
            generators of torch, numpy and random; :func:`ampbench.one_at_a_time` makes it from a simulator of a single
            theta. None if there are stored simulations.
        budget: how many simulations may be run; any whole number, such as 1e4. Of stored simulations, the first ones
            are used; None for all.
        method: a method's spec, such as ``amp:divergence=jsd,family=implicit`` or ``npe``.
        seed: determines all random numbers.
        device: any torch device, for training.
        threads: CPU threads of torch and the linear algebra below numpy; restored afterwards. One is fastest for small
            networks, above all beside other busy processes.
        names: of the D components of theta, for tables, plots and messages; by default those of the columns of stored
            simulations, or ``theta[0]``, ``theta[1]``, ….
        simulations: simulations that exist already: a pair (theta, x), or the path of a file (npz, csv, parquet,
            netCDF); see :func:`ampbench.read_simulations`.
        workers: run the simulator in so many child processes; None for this process. The numbers do not depend on it.
        batch: simulations in a batch, 50 by default, if there are workers or a store; the numbers depend on it.
        store: a folder that keeps every finished batch, so that the same call continues after an interruption.
        timeout: seconds that a batch may take in a child process; None for no limit.
        failed: what becomes of simulations with NaN or infinite values: ``error`` stops, ``drop`` leaves them out and
            refuses methods that this would bias, and ``code`` replaces these values by finite ones outside the range of
            valid values. Failed simulations count towards the budget; see ``docs/failed-simulations.md``.
        gaps: whether NaN in x is a missing entry, such as a trial that was not run or the rest of a shorter series, in
            simulations and in observations. A row of x without any value is a failed simulation all the same.
        progress: called with (steps done, steps in total), and with simulations while batches are simulated; by default
            a bar in a terminal or notebook, and nothing elsewhere.
        probe: whether a few more simulations, mostly 48, test the simulator before the budget is spent; see
            :func:`ampbench.graph.probe_simulators`.

    Raises:
        GraphError: the prior is unusable, or there are not as many names as components.
        SimulationError: the simulator returned something unusable, or its rows depend on each other, or a batch failed.
        UsageError: method or device cannot be used, budget or seed is no whole number, stored simulations are unusable,
            or the store belongs to another run.
        ResultsError: the store cannot be written.

    Warns:
        SimulationWarning: the seed does not determine the random numbers of the simulator, or simulations failed; the
            message says how many.
        StoredWarning: the prior was learned, or the stored parameters do not look like draws of the declared one; or
            the source code of the simulator is not that with which the store was begun.
        ResultsWarning: a stored batch is damaged, and is simulated again.
        SupportWarning: nothing says in which region the draws of the prior lie.

    Returns:
        An amortised posterior: ``posterior.sample(x, n)`` for any observation x of shape (L,), or for several, (m, L).
        :meth:`~ampbench.interfaces.Posterior.summary`, ``predict``, ``plot`` and ``plot_predictive`` show the result.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> posterior = infer(prior, lambda t: t + torch.randn_like(t), budget=200, method="amp:steps=20")
        >>> posterior.sample(torch.tensor([0.5]), 3).shape
        torch.Size([3, 1])
    """
    stored = None if simulations is None else first_rows(read_simulations(simulations), budget)
    graph = model_of(prior, simulate, stored, names, gaps)
    return infer_graph(
        graph,
        ["x"],
        budget=budget,
        method=method,
        seed=seed,
        device=device,
        threads=threads,
        simulations=stored,
        workers=workers,
        batch=batch,
        store=store,
        timeout=timeout,
        failed=failed,
        progress=progress,
        probe=probe,
    )


def infer_graph(
    graph: Graph,
    observed: list[str],
    *,
    budget: int | None = None,
    method: str = "amp",
    seed: int = 0,
    device: str | torch.device = "cpu",
    threads: int = 1,
    simulations: Any = None,
    workers: int | None = None,
    batch: int | None = None,
    store: str | Path | None = None,
    timeout: float | None = None,
    failed: Failed = "error",
    progress: Progress | None = None,
    probe: bool = True,
) -> Posterior:
    """Infer the latent variables of any directed graphical model from the observed ones; see :func:`infer`.

    Stored simulations are a mapping with an array (n, D_i) for each variable of the graph, or a file with such names.
    """
    usable_device(device)
    built: Method = registry.load().build("methods", method)
    stored = None if simulations is None else first_rows(read_variables(simulations, graph.names), budget)
    limits = limits_of(workers, timeout, threads)
    with limited_threads(threads), _shown(progress, method) as shown:
        how = in_batches(graph, seed, workers=workers, batch=batch, store=store, limits=limits, progress=shown)
        simulator = source(graph, observed, budget, seed, stored, how, failed)
        if isinstance(simulator, StoredSimulator):
            warn_if_other_prior(simulator)
        elif isinstance(simulator, BatchedSimulator) and probe:
            simulator.probe()
        elif probe:
            probe_simulators(graph, simulator.seed, simulator.budget, tolerant=failed != "error")
        posterior = fit(built, simulator, device, shown, method)
    if stored is not None:
        refuse_sequential(method, posterior)
    return posterior


def learn(
    graph: Graph,
    data: Mapping[str, Tensor],
    *,
    method: str = "amp",
    seed: int = 0,
    device: str | torch.device = "cpu",
    threads: int = 1,
    progress: Progress | None = None,
) -> LearnedModel:
    """Learn the conditionals of a graph from data, together with its inverse.

    Arguments:
        graph: the model; nodes made by :func:`ampbench.graph.learned` have parameters to train.
        data: one tensor (n, D) per variable with data; a row of NaN is missing.
        method: a spec of ``amp``, such as ``amp:divergence=jsd``.
        seed: determines all random numbers.
        device: any torch device.
        threads: CPU threads; see :func:`infer`.
        progress: called with (steps done, steps in total); by default a bar, as for :func:`infer`.

    Returns:
        The trained model: ``learned.sample(n)`` draws from it, ``learned.infer(evidence, n)`` draws missing variables.

    Raises:
        UsageError: the method is not adversarial message passing, or the data do not fit the graph.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.networks import NormalConditional
        >>> from ampbench.graph import density, learned
        >>> root = density("z", Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
        >>> graph = Graph(root, learned("x", NormalConditional(parents=1, features=2), ["z"], size=2))
        >>> model = learn(graph, {"x": torch.randn(100, 2)}, method="amp:steps=20")
        >>> model.infer({"x": torch.zeros(3, 2)}, 5)["z"].shape
        torch.Size([5, 3, 1])
    """
    built: Method = registry.load().build("methods", method)
    if not isinstance(built, AMP):
        raise UsageError(f"method {method!r} infers parameters but learns no model; take a spec of amp")
    where = usable_device(device)
    with limited_threads(threads), seeded(derive(seed, "learn")), _shown(progress, method) as shown:
        return learning.learn(built, graph, data, where, shown)


def save(posterior: Posterior, path: str | Path) -> None:
    """Write a posterior to a file, from which :func:`restore` builds it in another process.

    Arguments:
        posterior: of a method that can restore it: ``amp``, the amortised ones of sbi, or rejection ABC.
        path: the file; an older one is replaced in one step.

    Raises:
        UsageError: the method of this posterior cannot restore it.
        OSError: the file cannot be written.
    """
    if not isinstance(posterior, HasState):
        raise UsageError(f"a {type(posterior).__name__} cannot be saved; take a method that restores its posteriors")
    notes = {} if posterior.description is None else {NOTES: states.text(posterior.description.notes())}
    atomic.write(Path(path), tensors.dump({**posterior.state(), **notes}))


def restore(
    path: str | Path,
    prior: Any = None,
    simulate: Callable[..., Any] | None = None,
    *,
    method: str | None = None,
    device: str | torch.device = "cpu",
    simulations: Any = None,
    gaps: bool = False,
) -> Posterior:
    """Return a posterior that :func:`save` wrote; the simulator is not called, and nothing is unpickled.

    Arguments:
        path: the file.
        prior, simulate, simulations, gaps: the arguments of :func:`infer`.
        method: the method's spec; by default the one in the file, and ``amp`` for files of older versions.
        device: any torch device.

    Returns:
        The posterior, with the names of parameters that it had. Seeded alike, it draws the numbers of the saved one, on
        machines of one kind.

    Raises:
        UsageError: the file cannot be read, or belongs to another model or method; the message names both.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from torch.distributions import Independent, Normal
        >>> prior, simulate = Independent(Normal(torch.zeros(1), torch.ones(1)), 1), lambda t: t + torch.randn_like(t)
        >>> posterior = infer(prior, simulate, budget=200, method="amp:steps=20")
        >>> with TemporaryDirectory() as folder:
        ...     save(posterior, f"{folder}/posterior.npz")
        ...     again = restore(f"{folder}/posterior.npz", prior, simulate)
        >>> drawn = []
        >>> for each in (posterior, again):
        ...     with seeded(0):
        ...         drawn.append(each.sample(torch.tensor([0.5]), 3))
        >>> torch.equal(*drawn)
        True
    """
    state, notes = _read(path)
    stored = None if simulations is None else read_simulations(simulations)
    graph = model_of(prior, simulate, stored, notes.get("names", ()), gaps)
    return _restored(path, state, notes, graph, ["x"], method, device)


def restore_graph(
    path: str | Path,
    graph: Graph,
    observed: list[str],
    *,
    method: str | None = None,
    device: str | torch.device = "cpu",
) -> Posterior:
    """Return a posterior of :func:`infer_graph` that :func:`save` wrote; see :func:`restore`."""
    return _restored(path, *_read(path), graph, observed, method, device)


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the state of a posterior, and the notes of its description; none in files of older versions."""
    try:
        with files.opened(path, files.MAX_DATA_BYTES) as file:
            state = tensors.read(file)
        return state, checked_notes(states.read_text(state.pop(NOTES))) if NOTES in state else {}
    except Exception as error:  # zip, zlib and numpy raise errors of many types for damaged input
        raise UsageError(
            f"no posterior can be read from {str(path)!r}: {Damage.of(Path(path), error).reason}; save it again"
        ) from error


def _restored(
    path: str | Path,
    state: Mapping[str, Tensor],
    notes: Mapping[str, Any],
    graph: Graph,
    observed: list[str],
    method: str | None,
    device: str | torch.device,
) -> Posterior:
    spec = method or notes.get("method", "amp")
    built: Method = registry.load().build("methods", spec)
    try:
        posterior = rebuild(built, Simulator(graph, observed, 0, 0), state, device)
        return described(posterior, replace(posterior.known.with_notes(notes), method=spec))
    except AmpbenchError:
        raise
    except Exception as error:  # of many types, for a state that the method did not write
        reason = Damage.of(Path(path), error).reason
        raise UsageError(f"the state in {str(path)!r} is none of {spec}: {reason}; save the posterior again") from error


@contextmanager
def _shown(progress: Progress | None, label: str) -> Iterator[Progress]:
    """Yield the caller's progress callback, or else that of a bar."""
    if progress is not None:
        yield progress
        return
    with progress_bar(label) as shown:
        yield shown
