r"""A simulator that is another program: the birth-death process, which communicates through stdin and stdout.

.. math:: \theta = (\lambda, \mu) \sim \mathcal U(0, 1)^2, \qquad x \sim \text{program}(\theta)

The model and the reference are those of :mod:`ampbench_tasks.birth_death` with its default options; only the simulator
is a stand-alone program, ``birth_death_program.py``, run once per batch. The option ``command`` names another program,
which must simulate the same model and follow the line protocol described in :mod:`ampbench.graph.external`.

References:
    Kendall 1948, *On the generalized "birth-and-death" process*, doi:10.1214/aoms/1177730285.
"""

from __future__ import annotations

import shlex
import sys
from functools import cached_property
from importlib.resources import files
from typing import final

from torch import Tensor
from torch.distributions import constraints

from ampbench.errors import UsageError
from ampbench.graph import Graph, density, simulator
from ampbench.graph.external import External
from ampbench.interfaces import HasGolden, HasLikelihood, HasReference, Task
from ampbench.interfaces.golden import Golden
from ampbench_tasks import birth_death, packaged


@final
class ExternalProgram(Task, HasReference, HasLikelihood, HasGolden):
    """The birth-death process, simulated by a separate program: theta of size 2, x of size 10.

    Arguments:
        command: the program and its arguments, split as a shell does; empty for the program that ships with the task.
        timeout: time limit of one batch, in seconds.

    Raises:
        UsageError: the command cannot be split, or the timeout is not positive.
    """

    version = "1"
    source = "Kendall 1948, as a separate program"
    algorithm = "that of birth_death"

    def __init__(self, command: str = "", timeout: float = 300.0) -> None:
        self.program = External(_split(command), timeout, birth_death.LENGTH)

    @cached_property
    def graph(self) -> Graph:
        """The graph theta → x."""
        counts = constraints.independent(constraints.nonnegative_integer, 1)
        simulate = simulator("x", self.program, ["theta"], counts, birth_death.LENGTH)
        return Graph(density("theta", birth_death.prior()), simulate)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """Return log p(x | theta) from the closed-form transition probabilities."""
        return birth_death.log_likelihood(theta, x, birth_death.START, birth_death.INTERVAL)

    def reference(self, observation: Tensor, n: int, seed: int) -> Tensor:
        """Draw exactly from the posterior by importance sampling, shape (n, 2)."""
        x = self.check_observation(observation)
        return birth_death.reference(x, birth_death.START, birth_death.INTERVAL, n, seed)

    def golden(self) -> Golden:
        """Return the statistics of the birth-death process, which every command must reproduce."""
        return packaged.golden("birth_death")


def _split(command: str) -> tuple[str, ...]:
    """Return the words of a command, or the program that ships with the task if the command is empty."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"cannot split the command {command!r}: {error}; close its quotation marks") from error
    return tuple(words) or (sys.executable, str(files("ampbench_tasks").joinpath("birth_death_program.py")))
