"""The hooks of plugins: all that a plugin can add to ampbench. Read this file first.

A plugin is any installed distribution with an entry point in the group ``ampbench``. The entry point names a
module (or object) that implements some of the hooks below::

    # pyproject.toml of your distribution
    [project.entry-points.ampbench]
    le_cam = "ampbench_le_cam"

    # ampbench_le_cam.py
    from ampbench import hookimpl
    from ampbench.interfaces import Executor
    from ampbench.interfaces import Divergence

    class LeCam(Divergence):
        ...

    @hookimpl
    def divergences():
        return {"le-cam": LeCam}

Six hooks return ``{name: component}``. A component is a class or function whose keyword parameters are its
options (``le-cam:width=64``), or an :class:`~ampbench.hookspecs.Lazy` reference to one, which keeps
``ampbench list`` from importing torch. What a component must do is written in :mod:`ampbench.interfaces`; the
tests that it must pass are in :mod:`ampbench.testing`. The last three hooks watch runs; they are called in the
process that works on the run, so that what they keep in memory lasts for one fit and its observations. One that
raises, takes longer than a minute or ends its process costs a note, and nothing else; see docs/hooks.md.

The built-in components come in through the same entry-point group as everybody's.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from ampbench.interfaces import Divergence, Executor, Family, Method, Metric, Posterior, Task
    from ampbench.results import Record, Run

hookspec = pluggy.HookspecMarker("ampbench")
hookimpl = pluggy.HookimplMarker("ampbench")


@hookspec
def tasks() -> Mapping[str, Callable[..., Task] | Lazy]:  # type: ignore[empty-body]
    """Return inference problems: a graph, numbered observations, and reference posteriors where they exist."""


@hookspec
def divergences() -> Mapping[str, Callable[..., Divergence] | Lazy]:  # type: ignore[empty-body]
    """Return local divergences: what an adversary learns and what the families descend at one tuple."""


@hookspec
def families() -> Mapping[str, Callable[..., Family] | Lazy]:  # type: ignore[empty-body]
    """Return variational families: builders of conditional samplers q(x_i given context)."""


@hookspec
def methods() -> Mapping[str, Callable[..., Method] | Lazy]:  # type: ignore[empty-body]
    """Return inference methods: from simulations under a budget to a posterior that can be sampled."""


@hookspec
def metrics() -> Mapping[str, Callable[..., Metric] | Lazy]:  # type: ignore[empty-body]
    """Return metrics: how far posterior samples are from reference samples, with provenance."""


@hookspec
def executors() -> Mapping[str, Callable[..., Executor] | Lazy]:  # type: ignore[empty-body]
    """Return executors: where jobs run, each a fit with its observations; on this machine, on a cluster."""


@hookspec
def run_started(run: Run) -> None:
    """A run is about to begin, or again if its worker was lost. Exceptions raised here are reported, not fatal."""


@hookspec
def fit_finished(run: Run, posterior: Posterior) -> None:
    """A fit is over; if training broke down, with the best posterior so far. Exceptions are reported, not fatal."""


@hookspec
def run_finished(run: Run, record: Record) -> None:
    """A run has ended, well or with a failure, and its record is on disk. Exceptions are reported, not fatal."""


KINDS: Mapping[str, str] = {
    "tasks": "task",
    "divergences": "divergence",
    "families": "family",
    "methods": "method",
    "metrics": "metric",
    "executors": "executor",
}
"""The hooks that return components, each with the word for one of them."""


@dataclass(frozen=True)
class Lazy:
    """A component that is imported when it is used, so that listing costs nothing.

    Arguments:
        target: ``package.module:attribute``.
        summary: a few words for ``ampbench list``.
        source: where the idea comes from.
        labels: further columns of the list, such as a task's dimensions and kind.
        bibtex: BibTeX entries of what a user should cite: the source, and real data; ``ampbench cite`` prints them. A
            class or function gives its entries as an attribute of this name.
    """

    target: str
    summary: str = ""
    source: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    bibtex: str = ""

    def load(self) -> Callable[..., Any]:
        """Import the component."""
        module, _, attribute = self.target.partition(":")
        loaded: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        return loaded
