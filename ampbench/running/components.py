"""Components of runs: how methods are built, which metrics compare with a reference, and how hooks are called."""

from __future__ import annotations

from pluggy import HookCaller

from ampbench.faults import describe, pass_interruption
from ampbench.interfaces import HasRevision, Method, NeedsSetting, Oracle, Task
from ampbench.interfaces.events import Listener, Note
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


def call_hook(hook: HookCaller, listener: Listener, **arguments: object) -> None:
    """Call every plugin's implementation of a life-cycle hook; one that raises is reported, and costs nothing else."""
    for implementation in reversed(hook.get_hookimpls()):  # one by one: pluggy would stop at the first that raises
        try:
            implementation.function(*(arguments[name] for name in implementation.argnames))
        except BaseException as error:
            pass_interruption(error)
            plugin = implementation.plugin_name
            listener(Note(f"the life-cycle hook {hook.name} of plugin {plugin!r} failed: {describe(error)}"))
