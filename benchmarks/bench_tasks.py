"""Tasks: 10,000 simulations, and a reference for a fresh observation."""

from __future__ import annotations

from ampbench.interfaces import HasReference
from ampbench.seeding import seeded

from .common import Brief, task

CLASSIC = (
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "lotka_volterra",
    "sir",
    "slcp",
    "slcp_distractors",
    "two_moons",
)
OTHERS = ("birth_death", "epidemic", "g_and_k", "ma2", "mg1", "ricker", "lgssm:length=50", "nonlinear_ssm")


class Simulations(Brief):
    """Ten thousand simulations from the prior; for the classic tasks the aim is less than a second."""

    params = (*CLASSIC, *OTHERS)
    param_names = ("task",)

    def setup(self, name: str) -> None:
        self.task = task(name)
        self.task.graph.sample(10)

    def time_simulate_10000(self, name: str) -> None:
        with seeded(0):
            self.task.graph.sample(10_000)


class References(Brief):
    """A thousand posterior samples for an observation that nobody has seen before."""

    params = tuple(name for name in (*CLASSIC, *OTHERS) if name != "epidemic")
    param_names = ("task",)

    def setup(self, name: str) -> None:
        self.task = task(name)
        self.x = self.task.observation(1).x

    def time_reference_1000(self, name: str) -> None:
        assert isinstance(self.task, HasReference)
        self.task.reference(self.x, 1000, seed=0)
