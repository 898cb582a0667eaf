"""Components of runs: how methods are built, and which metrics compare with a reference."""

from __future__ import annotations

from ampbench.faults import pass_interruption
from ampbench.interfaces import HasRevision, Method, NeedsSetting, Oracle, Task
from ampbench.registry import Registry


def build_method(registry: Registry, spec: str, task: Task) -> Method:
    """Build a method from its spec; a method for reference points is given the task."""
    method: Method = registry.build("methods", spec)
    return method.with_task(task) if isinstance(method, Oracle) else method


def packages(registry: Registry, task: Task, method: Method, task_spec: str, method_spec: str) -> frozenset[str]:
    """Return the versions on which a fit depends: those of packages, and the revision of the method for this model."""
    versions = registry.packages("tasks", task_spec) | registry.packages("methods", method_spec)
    revision = method.revision(task.graph, task.observed) if isinstance(method, HasRevision) else ""
    return versions | ({revision} - {""})


def needs_reference(registry: Registry, spec: str) -> bool:
    """Return whether a metric compares with reference samples; no, if it cannot be built, which its run reports."""
    try:
        return not isinstance(registry.build("metrics", spec), NeedsSetting)
    except BaseException as error:
        pass_interruption(error)
        return False
