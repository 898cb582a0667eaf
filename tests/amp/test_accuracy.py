"""How good the default engine is at 10,000 simulations, over the ten published observations: minutes to an hour."""

from __future__ import annotations

import pytest
import torch

from ampbench.graph import Simulator
from ampbench.interfaces import HasReference, fit
from ampbench.metrics.c2st import C2ST
from ampbench.registry import Registry
from ampbench.seeding import derive, seeded


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target"), [("two_moons", 0.75), ("gaussian_linear", 0.65)])
def test_implicit_family_without_any_density(registry: Registry, name: str, target: float) -> None:
    torch.set_num_threads(1)
    task = registry.build("tasks", name)
    assert isinstance(task, HasReference)
    method = registry.build("methods", "amp:divergence=jsd,family=implicit")
    posterior = fit(method, Simulator(task.graph, task.observed, 10_000, seed=0))
    scores = []
    for number, observation in task.observations().items():
        with seeded(derive(0, "posterior", number)):
            samples = posterior.sample(observation.x, 10_000)
        reference = task.reference(observation.x, 10_000, derive(0, "reference", number))
        scores.append(C2ST().measure(samples, reference).value)
    assert sum(scores) / len(scores) < target
