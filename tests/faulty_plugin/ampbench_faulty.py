"""A plugin that does what plugins should not. On the path, it is an installed distribution to Python."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import (
    CanRestore,
    HasReference,
    HasState,
    Measurement,
    Method,
    Metric,
    Observation,
    Posterior,
    Progress,
    Task,
)
from ampbench.results import Record, Run
from ampbench.spec import Spec


class Normals(Task, HasReference):
    """theta ~ N(0, 1), x ~ N(theta, 1)."""

    version = "1"
    source = "a test"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(1), torch.ones(1)), 1)
        return Graph(density("theta", prior), simulator("x", lambda t: t + torch.randn_like(t), ["theta"]))

    def observations(self) -> Mapping[int, Observation]:
        return {i: Observation(torch.tensor([i / 2]), torch.tensor([0.0]), i) for i in (1, 2, 3, 4)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))


class Faulty(Method):
    """Ridge regression by a few steps of gradient descent, and a fault.

    Arguments:
        fault: what happens; nothing if "".
        where: in "fit", or in "sample" at an observation.
        observation: which; 0 for each.
        once: if a path, the fault happens only if there is no such file, and leaves one.
        seconds: how long the fit takes.
        heard: a file that the life-cycle hook writes to.
    """

    def __init__(
        self,
        fault: str = "",
        where: str = "fit",
        observation: int = 0,
        once: str = "",
        seconds: float = 0.0,
        heard: str = "",
    ) -> None:
        self.fault, self.where, self.observation, self.once, self.seconds = fault, where, observation, once, seconds

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        values = simulator.sample(simulator.remaining)
        weight = torch.zeros(1, 1, requires_grad=True)
        for step in range(10):
            loss = (values["x"] @ weight - values["theta"]).square().mean()
            (gradient,) = torch.autograd.grad(loss, weight)
            weight = (weight - 0.1 * gradient).detach().requires_grad_()
            progress(step + 1, 10)
            time.sleep(self.seconds / 10)
        if self.where == "fit":
            commit(self.fault, self.once)
        return Fitted(self, weight.detach())


class Fitted(Posterior):
    def __init__(self, method: Faulty, weight: Tensor) -> None:
        self.method, self.weight = method, weight

    def sample(self, observation: Tensor, n: int) -> Tensor:
        samples = observation @ self.weight + 0.5**0.5 * torch.randn(n, 1)
        if self.method.where == "sample" and self.method.observation in (0, round(2 * float(observation[0]))):
            if self.method.fault == "nan":
                samples[0] = torch.nan
            elif self.method.fault == "short":
                samples = samples[1:]
            elif self.method.fault == "shape":
                samples = samples[:, :, None]
            else:
                commit(self.method.fault, self.method.once)
        return samples


class Kept(Faulty, CanRestore):
    """The same; its fits are kept."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        fitted = super().fit(simulator, device, progress)
        assert isinstance(fitted, Fitted)
        return KeptFit(self, fitted.weight)

    def restore(self, simulator: Simulator, state: Mapping[str, Tensor], device: torch.device) -> Posterior:
        return KeptFit(self, state["weight"])


class KeptFit(Fitted, HasState):
    def state(self) -> Mapping[str, Tensor]:
        return {"weight": self.weight}


class Mean(Metric):
    """Difference of means, and a fault."""

    def __init__(self, fault: str = "", once: str = "", seconds: float = 0.0) -> None:
        self.fault, self.once, self.seconds = fault, once, seconds

    def measure(self, samples: Tensor, reference: Tensor) -> Measurement:
        commit(self.fault, self.once)
        time.sleep(self.seconds)
        return Measurement(float((samples.mean() - reference.mean()).abs()), {"n": len(samples)})


def commit(fault: str, once: str = "") -> None:
    if once:
        if Path(once).exists():
            return
        Path(once).touch()
    match fault:
        case "raise":
            raise RuntimeError("cannot fit")
        case "sys-exit":
            sys.exit("gone")
        case "exit":
            os._exit(3)
        case "hang":
            time.sleep(3600)
        case "hang-in-c":  # holds the interpreter's lock, so that no Python thread of this process runs
            ctypes.PyDLL(None).sleep(3600)
        case "crash":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            hoard = []
            while True:
                hoard.append(torch.ones(2**22))  # 16 MiB
        case "memory-of-small-objects":
            hoard = []
            while True:
                hoard.append([object() for _ in range(1000)])
        case "print":
            print("[bold]hello[/bold] from the method")
        case "threads":
            raise RuntimeError(f"{torch.get_num_threads()} threads")


@hookimpl
def tasks() -> Mapping[str, type[Task]]:
    return {"normals": Normals}


@hookimpl
def methods() -> Mapping[str, type[Method]]:
    return {"faulty": Faulty, "kept": Kept}


@hookimpl
def metrics() -> Mapping[str, type[Metric]]:
    return {"mean": Mean}


@hookimpl
def run_finished(run: Run, record: Record) -> None:
    """Note it in the file that the method's option ``heard`` names."""
    if path := dict(Spec.parse(run.resolved).options).get("heard"):
        with open(path, "a") as file:
            file.write(f"{run.observation} {record.status} {record.kind}\n")
