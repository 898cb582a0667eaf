"""The plugin of ``tests/soak.py``: a slow simulator, and a method whose fault depends on the seed."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cached_property

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from ampbench import hookimpl
from ampbench.graph import Graph, Simulator, density, simulator
from ampbench.interfaces import HasReference, Method, Observation, Posterior, Progress, Task

PAUSE = "SOAK_PAUSE"
"""Environment variable with the seconds that a simulation takes, since the key of a run must not depend on them."""


class Paced(Task, HasReference):
    """theta ~ N(0, I), x ~ N(theta, I) with D = 2; every simulation takes the seconds of ``SOAK_PAUSE``."""

    version = "1"
    source = "tests/soak.py"

    @cached_property
    def graph(self) -> Graph:
        prior = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        return Graph(density("theta", prior), simulator("x", _slow, ["theta"], size=2))

    def observations(self) -> Mapping[int, Observation]:
        return {1: Observation(torch.tensor([0.5, -1.0]), torch.full((2,), torch.nan), -1)}

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        return observation / 2 + 0.5**0.5 * torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


class Hostile(Method):
    """A method with one of ten faults, at random; the seed of the run determines which."""

    def fit(self, simulator: Simulator, device: torch.device, progress: Progress) -> Posterior:
        values = simulator.sample(simulator.remaining)
        fault = FAULTS[int(torch.randint(len(FAULTS), ()))]
        return Fitted(values["x"].mean(0), fault())


class Fitted(Posterior):
    """Draws around a mean, changed by a fault."""

    def __init__(self, mean: Tensor, spoil: Callable[[Tensor], Tensor] | None) -> None:
        self._mean, self._spoil = mean, spoil

    def sample(self, observation: Tensor, n: int) -> Tensor:
        samples = (observation + self._mean) / 2 + 0.5**0.5 * torch.randn(n, 2)
        return self._spoil(samples) if self._spoil else samples


def _slow(theta: Tensor) -> Tensor:
    time.sleep(float(os.environ.get(PAUSE, "0")) * len(theta))
    return theta + torch.randn_like(theta)


def _raise() -> None:
    raise RuntimeError("cannot fit")


def _base_exception() -> None:
    raise BaseException("neither an error nor an exit")


def _hang_in_c() -> None:
    ctypes.PyDLL(None).sleep(3600)


def _crash() -> None:
    ctypes.string_at(0)


def _exhaust_memory() -> None:
    hoard = []
    while True:
        hoard.append(torch.ones(2**22))


def _leave_process() -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(7200)"], start_new_session=True)


def _print_much() -> None:
    print("\x1b[31m[red]" + "noise " * 100_000)


FAULTS: tuple[Callable[[], Callable[[Tensor], Tensor] | None], ...] = (
    _raise,
    _base_exception,
    lambda: sys.exit(0),
    lambda: os._exit(77),
    _hang_in_c,
    _crash,
    _exhaust_memory,
    _leave_process,
    _print_much,
    lambda: lambda samples: samples * torch.nan,
)


@hookimpl
def tasks() -> Mapping[str, type[Task]]:
    return {"paced": Paced}


@hookimpl
def methods() -> Mapping[str, type[Method]]:
    return {"hostile": Hostile}
