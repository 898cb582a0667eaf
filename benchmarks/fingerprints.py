"""Fingerprints of numbers: does a change of the code alter a single bit of them?

Fits every divergence with every family, every method, and a few settings of amp besides, for a few steps each, and
prints a line for each: what was computed, the hash of the resulting numbers, and the type of the error that ended them.
Metrics and tasks have lines too. Two commits of one machine compute alike if their lines are equal::

    python benchmarks/fingerprints.py > before.csv    # at the one commit
    python benchmarks/fingerprints.py > after.csv     # at the other
    diff before.csv after.csv

It takes about ten minutes of one core. Hashes depend on the processor and on the versions of torch and numpy, so that
those of two machines cannot be compared. Only documented names are imported, so that old commits can run it too.
"""

from __future__ import annotations

import csv
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal, OneHotCategorical

import ampbench
from ampbench.graph import Graph, density, simulator
from ampbench.interfaces import Sequential
from ampbench.registry import load

BUDGET, STEPS, DRAWS = 200, 12, 64
X = torch.tensor([0.3, -0.4])
ONE_HOT = torch.tensor([0.3, -0.4, 0.9])

Numbers = Callable[[], Iterable[Tensor]]


def main() -> None:
    """Print all lines, each as soon as it is known."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for kind, spec, numbers in (*fits(), *settings(), *metrics(), *tasks()):
        writer.writerow([kind, spec, fingerprint(numbers)])
        sys.stdout.flush()


def fingerprint(numbers: Numbers) -> str:
    """Return the hash of all numbers, and the type of the error that ended them, if there was one."""
    torch.manual_seed(0)
    digest, ending = hashlib.sha256(), ""
    try:
        for each in numbers():
            digest.update(each.detach().contiguous().numpy().tobytes())
    except Exception as error:
        ending = f" {type(error).__name__}"
    return digest.hexdigest()[:16] + ending


def real_model() -> Graph:
    """theta ~ N(0, 1)², x ~ N(theta, ½²)."""
    prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    return Graph(density("theta", prior), simulator("x", lambda t: t + 0.5 * torch.randn_like(t), ["theta"]))


def discrete_model(prior: Distribution) -> Graph:
    """A discrete theta, x ~ N(theta, ½²)."""
    return Graph(density("theta", prior), simulator("x", lambda t: t + 0.5 * torch.randn_like(t), ["theta"]))


def known_model() -> Graph:
    """A chain z2 → z1 → x with known densities, two components each."""
    root = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def child(parent: Tensor) -> Independent:
        return Independent(Normal(parent, 0.5), 1)

    return Graph(density("z2", root), density("z1", child, ["z2"]), density("x", child, ["z1"]))


def fitted(graph: Callable[[], Graph], method: str, x: Tensor = X) -> Numbers:
    """Fit, and draw; and the density, the history and the diagnosis where there are some."""

    def numbers() -> Iterator[Tensor]:
        posterior = ampbench.infer_graph(graph(), ["x"], budget=BUDGET, method=method, seed=1)
        if isinstance(posterior, Sequential):
            posterior = posterior.fit_to(x, lambda done, total: None).posterior
        torch.manual_seed(1)
        samples = posterior.sample(x, DRAWS)
        yield samples
        if hasattr(posterior, "log_prob"):
            yield posterior.log_prob(samples, x.expand(len(samples), -1))
        if method.startswith("amp"):
            yield torch.tensor(posterior.history.to_numpy(dtype=float))
            yield torch.tensor(posterior.diagnose().select_dtypes("number").to_numpy(dtype=float))

    return numbers


def fits() -> Iterator[tuple[str, str, Numbers]]:
    """Every divergence with every family, and every method."""
    registry = load()
    priors = {
        "bernoulli": Independent(Bernoulli(torch.full((2,), 0.4)), 1),
        "categorical": OneHotCategorical(torch.tensor([0.2, 0.3, 0.5])),
    }
    for divergence, family in product(registry.entries("divergences"), registry.entries("families")):
        graph = (lambda prior=priors[family]: discrete_model(prior)) if family in priors else real_model
        spec = f"amp:divergence={divergence},family={family},steps={STEPS},batch_size=32,particles=2"
        yield "fit", spec, fitted(graph, spec, ONE_HOT if family == "categorical" else X)
        if family not in priors:
            yield "fit of a chain", spec, fitted(known_model, spec)
    for method in registry.entries("methods"):
        for graph in (real_model, known_model):
            spec = f"amp:steps={STEPS}" if method == "amp" else method
            yield f"fit of {graph.__name__}", spec, fitted(graph, spec)


def settings() -> Iterator[tuple[str, str, Numbers]]:
    """A few settings of amp besides, and learning."""
    for options in ("scope=global", "teacher_forcing=true", "particles=3", "family=embedded", "ema=0.5,penalty=0"):
        yield "fit of a chain", options, fitted(known_model, f"amp:steps={STEPS},{options}")

    def learned() -> Iterator[Tensor]:
        from ampbench.graph import learned as node

        class Law(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.line = torch.nn.Linear(2, 2)

            def forward(self, parent: Tensor) -> Independent:
                return Independent(Normal(self.line(parent), 0.5), 1)

        root = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        data = torch.randn(100, 2)
        data[::7] = float("nan")
        method = f"amp:steps={STEPS},divergence=jsd"
        model = ampbench.learn(Graph(density("z", root), node("x", Law(), ["z"], size=2)), {"x": data}, method=method)
        torch.manual_seed(1)
        yield model.sample(DRAWS)["x"]
        yield model.infer({"x": X.expand(3, -1)}, DRAWS)["z"]

    yield "learn", "amp", learned


def metrics() -> Iterator[tuple[str, str, Numbers]]:
    """Every metric that compares with a reference, of two fixed sets of samples."""
    registry = load()
    for name in registry.entries("metrics"):

        def numbers(name: str = name) -> Iterator[Tensor]:
            torch.manual_seed(2)
            measured = registry.build("metrics", name).measure(torch.randn(400, 2), 1.1 * torch.randn(400, 2))
            yield torch.tensor(measured.value, dtype=torch.float64)

        yield "metric", name, numbers


def tasks() -> Iterator[tuple[str, str, Numbers]]:
    """Prior, simulator, first observation and reference of every task that needs no option."""
    registry = load()
    for name in registry.entries("tasks"):

        def numbers(name: str = name) -> Iterator[Tensor]:
            task = registry.build("tasks", name)
            fresh = task.observation(3)
            yield fresh.theta
            yield fresh.x
            yield task.numbered(1).x
            if hasattr(task, "shipped_reference"):
                yield task.shipped_reference(1)[:100]
            elif hasattr(task, "reference"):
                yield task.reference(task.numbered(1).x, 10, 0)

        yield "task", name, numbers


if __name__ == "__main__":
    main()
