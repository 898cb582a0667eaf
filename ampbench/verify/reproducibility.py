"""Reproducibility: draws depend on the seed, and on nothing else such as the state of global generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ampbench.graph import Simulator
from ampbench.interfaces import HasReference
from ampbench.seeding import seeded
from ampbench.verify.finding import Finding
from ampbench.verify.subject import Subject

ROWS = 100
"""Number of simulations and of reference draws."""


def reproducibility(subject: Subject) -> Iterator[Finding]:
    """Check that simulations, fresh observations and reference draws follow from the seed."""
    yield _finding("simulations", lambda seed: _simulations(subject, seed))
    yield _finding("observation(seed)", lambda seed: _observations(subject, seed))
    task = subject.task
    if isinstance(task, HasReference):
        x = subject.fresh("reproducibility").x
        yield _finding("reference", lambda seed: task.reference(x, ROWS, seed))


def _finding(what: str, draw: Callable[[int], Tensor]) -> Finding:
    """Draw with two seeds, then with the first seed again in another state of the global generators."""
    drawn = []
    for state, seed in ((1, 11), (2, 12), (3, 11)):
        with seeded(state):
            drawn.append(draw(seed))
    first, other, again = drawn
    faults = []
    if not torch.equal(first, again):
        faults.append("the same seed gives other numbers")
    if torch.equal(first, other):
        faults.append("another seed gives the same numbers")
    return Finding(
        "reproducible", f"{what}: {' and '.join(faults) or 'follows from the seed'}", None, "failed" if faults else "ok"
    )


def _simulations(subject: Subject, seed: int) -> Tensor:
    values = Simulator(subject.task.graph, subject.task.observed, ROWS, seed).sample(ROWS)
    return torch.cat(list(values.values()), dim=1)


def _observations(subject: Subject, seed: int) -> Tensor:
    drawn = [subject.task.observation(10 * seed + i) for i in range(3)]
    return torch.stack([torch.cat([each.theta, each.x]) for each in drawn])
