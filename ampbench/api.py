"""The Python interface: infer, learn, save and restore."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from ampbench import registry
from ampbench.amp import AMP, learning
from ampbench.amp.learning import LearnedModel
from ampbench.errors import UsageError
from ampbench.graph import Graph, Simulator, density, probe_simulators, simulator
from ampbench.interfaces import HasState, Method, Posterior, Progress, silent
from ampbench.interfaces.method import fit, rebuild
from ampbench.results import atomic, tensors
from ampbench.seeding import derive, seeded
from ampbench.threads import limited_threads


def infer(
    prior: Distribution,
    simulate: Callable[..., Any],
    *,
    budget: int,
    method: str = "amp",
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    gaps: bool = False,
    progress: Progress = silent,
    probe: bool = True,
) -> Posterior:
    """Infer the parameters of your own simulator.

    Arguments:
        prior: distribution of theta, with event shape (D,); later changes of it have no effect.
        simulate: from theta, shape (n, D), to x, shape (n, L); a torch tensor or numpy array. It need not be
            differentiable, and may work in place on theta, which is a copy. Row i of x may depend on row i of theta
            alone, and on the seeded generators of torch, numpy and random; :func:`ampbench.one_at_a_time` makes it
            from a simulator of a single theta.
        budget: how many simulations may be run; any whole number, such as 1e4.
        method: a method's spec, such as ``amp:divergence=jsd,family=implicit`` or ``npe``.
        seed: determines all random numbers.
        device: any torch device, for training.
        threads: CPU threads of torch and the linear algebra below numpy; restored afterwards. One is fastest for small
            networks, above all beside other busy processes.
        gaps: whether NaN in x is a missing entry, such as a trial that was not run or the rest of a shorter series, in
            simulations and in observations. A row of x without any value is a failed simulation all the same.
        progress: called with (steps done, steps in total).
        probe: whether a few more simulations, mostly 48, test the simulator before the budget is spent; see
            :func:`ampbench.graph.probe_simulators`.

    Raises:
        SimulationError: the simulator returned something unusable, or its rows depend on each other.
        UsageError: the method cannot be used, or budget or seed is no whole number.

    Warns:
        SimulationWarning: the seed does not determine the random numbers of the simulator.

    Returns:
        An amortised posterior: ``posterior.sample(x, n)`` for any observation x of shape (L,).

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        >>> posterior = infer(prior, lambda t: t + torch.randn_like(t), budget=200, method="amp:steps=20")
        >>> posterior.sample(torch.tensor([0.5]), 3).shape
        torch.Size([3, 1])
    """
    graph = Graph(density("theta", prior), simulator("x", simulate, ["theta"], gaps=gaps))
    return infer_graph(
        graph,
        ["x"],
        budget=budget,
        method=method,
        seed=seed,
        device=device,
        threads=threads,
        progress=progress,
        probe=probe,
    )


def infer_graph(
    graph: Graph,
    observed: list[str],
    *,
    budget: int,
    method: str = "amp",
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress = silent,
    probe: bool = True,
) -> Posterior:
    """Infer the latent variables of any directed graphical model from the observed ones; see :func:`infer`."""
    built: Method = registry.load().build("methods", method)
    source = Simulator(graph, observed, budget, seed)
    with limited_threads(threads):
        if probe:
            probe_simulators(graph, source.seed, source.budget)
        return fit(built, source, device, progress)


def learn(
    graph: Graph,
    data: Mapping[str, Tensor],
    *,
    method: str = "amp",
    seed: int = 0,
    device: str = "cpu",
    threads: int = 1,
    progress: Progress = silent,
) -> LearnedModel:
    """Learn the conditionals of a graph from data, together with its inverse.

    Arguments:
        graph: the model; nodes made by :func:`ampbench.graph.learned` have parameters to train.
        data: one tensor (n, D) per variable with data; a row of NaN is missing.
        method: a spec of ``amp``, such as ``amp:divergence=jsd``.
        seed: determines all random numbers.
        device: any torch device.
        threads: CPU threads; see :func:`infer`.
        progress: called with (steps done, steps in total).

    Returns:
        The trained model: ``learned.sample(n)`` draws from it, ``learned.infer(evidence, n)`` draws missing variables.

    Raises:
        UsageError: the method is not adversarial message passing, or the data do not fit the graph.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> from ampbench.networks import NormalConditional
        >>> from ampbench.graph import learned
        >>> root = density("z", Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
        >>> graph = Graph(root, learned("x", NormalConditional(parents=1, features=2), ["z"], size=2))
        >>> model = learn(graph, {"x": torch.randn(100, 2)}, method="amp:steps=20")
        >>> model.infer({"x": torch.zeros(3, 2)}, 5)["z"].shape
        torch.Size([5, 3, 1])
    """
    built: Method = registry.load().build("methods", method)
    if not isinstance(built, AMP):
        raise UsageError(f"method {method!r} infers parameters but learns no model; take a spec of amp")
    with limited_threads(threads), seeded(derive(seed, "learn")):
        return learning.learn(built, graph, data, torch.device(device), progress)


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
    atomic.write(Path(path), tensors.dump(posterior.state()))


def restore(
    path: str | Path,
    prior: Distribution,
    simulate: Callable[..., Any],
    *,
    method: str = "amp",
    device: str = "cpu",
    gaps: bool = False,
) -> Posterior:
    """Return a posterior that :func:`save` wrote; the simulator is not called, and nothing is unpickled.

    Arguments:
        path: the file.
        prior, simulate, method, gaps: the arguments of :func:`infer`.
        device: any torch device.

    Returns:
        The posterior. Seeded alike, it draws the numbers of the saved one, on machines of one kind.

    Raises:
        UsageError: the file cannot be read, or belongs to another model or method; the message names both.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from torch.distributions import Independent, Normal
        >>> prior, simulate = Independent(Normal(torch.zeros(1), torch.ones(1)), 1), lambda t: t + torch.randn_like(t)
        >>> posterior = infer(prior, simulate, budget=200, method="amp:steps=20")
        >>> with TemporaryDirectory() as folder:
        ...     save(posterior, f"{folder}/posterior.npz")
        ...     again = restore(f"{folder}/posterior.npz", prior, simulate, method="amp:steps=20")
        >>> drawn = []
        >>> for each in (posterior, again):
        ...     with seeded(0):
        ...         drawn.append(each.sample(torch.tensor([0.5]), 3))
        >>> torch.equal(*drawn)
        True
    """
    graph = Graph(density("theta", prior), simulator("x", simulate, ["theta"], gaps=gaps))
    return restore_graph(path, graph, ["x"], method=method, device=device)


def restore_graph(
    path: str | Path, graph: Graph, observed: list[str], *, method: str = "amp", device: str = "cpu"
) -> Posterior:
    """Return a posterior of :func:`infer_graph` that :func:`save` wrote; see :func:`restore`."""
    built: Method = registry.load().build("methods", method)
    try:
        state = tensors.parse(Path(path).read_bytes())
    except Exception as error:  # zip, zlib and numpy raise errors of many types for damaged input
        raise UsageError(
            f"no posterior can be read from {str(path)!r}: {type(error).__name__}: {error}; save it again"
        ) from error
    return rebuild(built, Simulator(graph, observed, 0, 0), state, device)
