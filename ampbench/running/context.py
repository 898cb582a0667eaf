"""The context of a group of runs that share a fit: four services, and the components, each built once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ampbench.faults import pass_interruption
from ampbench.graph import Simulator
from ampbench.graph.prior import parameter_names
from ampbench.interfaces import Method, Metric, NeedsSetting, Task
from ampbench.interfaces.events import Listener, Note
from ampbench.registry import Registry
from ampbench.results import Run
from ampbench.results.store import Store
from ampbench.running.components import build_method
from ampbench.running.failures import Failure, failure
from ampbench.running.hooks import HookCalls, call_here


@dataclass(frozen=True)
class Services:
    """The services that every run needs.

    Attributes:
        registry: where components come from.
        store: where fits, samples and records go.
        device: any torch device, for training.
        listener: called with each event.
        call: calls life-cycle hooks.
    """

    registry: Registry
    store: Store
    device: str
    listener: Listener
    call: HookCalls = call_here

    def note(self, text: str) -> None:
        """Tell the listener something that the user should know."""
        self.listener(Note(text))

    def call_hook(self, name: str, **arguments: object) -> None:
        """Call a life-cycle hook of all plugins; see :mod:`ampbench.running.hooks`."""
        self.call(self.registry, self.listener, name, arguments)


@dataclass(frozen=True, eq=False)
class Context:
    """A group of runs that share a fit, the services, and the components, which are built when they are first used.

    Arguments:
        runs: they differ in observation, samples and metrics only.
        services: see :class:`Services`.
    """

    runs: tuple[Run, ...]
    services: Services

    @cached_property
    def task(self) -> Task:
        """The task; raises what building it raises."""
        task: Task = self.services.registry.build("tasks", self.runs[0].task)
        return task

    @cached_property
    def method(self) -> Method:
        """The method; raises what building it raises."""
        return build_method(self.services.registry, self.runs[0].resolved, self.task)

    @cached_property
    def metrics(self) -> Mapping[str, Metric | Failure]:
        """The metrics of all runs by spec, each built, or the reason why it cannot be."""
        return {spec: self._metric(spec) for spec in dict.fromkeys(spec for run in self.runs for spec in run.metrics)}

    def _metric(self, spec: str) -> Metric | Failure:
        try:
            metric: Metric = self.services.registry.build("metrics", spec)
        except BaseException as error:
            pass_interruption(error)
            return failure(error)
        return metric

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of theta's components, of length D."""
        return parameter_names(self.task.graph, self.task.latents)

    def compares(self, run: Run) -> bool:
        """Return whether a metric of a run compares with reference samples."""
        return any(not isinstance(self.metrics[spec], Failure | NeedsSetting) for spec in run.metrics)

    def asks_posterior(self, run: Run) -> bool:
        """Return whether a metric of a run may ask the posterior for more than its stored samples."""
        return any(isinstance(self.metrics[spec], Failure | NeedsSetting) for spec in run.metrics)

    def simulator(self) -> Simulator:
        """Return the task's simulator with the whole budget."""
        run = self.runs[0]
        return Simulator(self.task.graph, self.task.observed, run.budget, run.seed)
