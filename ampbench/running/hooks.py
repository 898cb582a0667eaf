"""Calls of the life-cycle hooks: a tracker that raises, hangs or ends its process costs a note, and nothing else.

A worker calls the hooks of its own runs, and tells its parent whose hook it calls. If the worker hangs or ends there,
the parent continues in a new worker, without this plugin; see :mod:`ampbench.running.worker`. Where no worker is left,
a child process of its own calls the hook, never the process of the sweep; see :mod:`ampbench.running.hook_calls`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from pluggy import HookImpl

from ampbench.faults import pass_interruption
from ampbench.interfaces.events import Listener, Note
from ampbench.registry import Registry
from ampbench.results import Run
from ampbench.running.failures import failure

HookCalls = Callable[[Registry, Listener, str, Mapping[str, object]], None]
"""Calls a life-cycle hook of all plugins, given the registry, a listener, the hook's name and its arguments."""


@dataclass(frozen=True)
class Calling:
    """A child process begins to call a life-cycle hook of a plugin, or has called those of all plugins.

    Attributes:
        hook: its name.
        plugin: whose; "" when all have been called.
        run: the argument of the hook.
    """

    hook: str
    plugin: str
    run: Run


def call_here(plugins: Registry, listener: Listener, name: str, arguments: Mapping[str, object]) -> None:
    """Call a hook in this process, without limits; an implementation that raises is noted."""
    for each in implementations(plugins, name):  # one by one: pluggy would stop at the first that raises
        try:
            _call(each, arguments)
        except BaseException as error:
            pass_interruption(error)
            listener(Note(failed(name, each.plugin_name, failure(error).message)))


def call_in_worker(
    left_out: Collection[str],
    send: Callable[[object], None],
    plugins: Registry,
    listener: Listener,
    name: str,
    arguments: Mapping[str, object],
) -> None:
    """Call a hook in a child process, and tell its parent whose; an implementation that raises is noted.

    One that needs too much memory ends the process, since what it still holds would be missing to the fit.
    """
    wanted = [each for each in implementations(plugins, name) if each.plugin_name not in left_out]
    for each in wanted:
        send(Calling(name, each.plugin_name, run_of(arguments)))
        try:
            _call(each, arguments)
        except BaseException as error:
            found = failure(error)
            listener(Note(failed(name, each.plugin_name, found.message)))
            if found.kind == "memory":
                os._exit(1)
    if wanted:
        send(Calling(name, "", run_of(arguments)))


def implementations(plugins: Registry, name: str) -> list[HookImpl]:
    """Return the implementations of a hook, in the order of their calls."""
    return list(reversed(getattr(plugins.hook, name).get_hookimpls()))


def _call(implementation: HookImpl, arguments: Mapping[str, object]) -> None:
    implementation.function(*(arguments[name] for name in implementation.argnames))


def run_of(arguments: Mapping[str, object]) -> Run:
    """Return the run that every life-cycle hook is given."""
    run = arguments["run"]
    assert isinstance(run, Run)
    return run


def failed(hook: str, plugin: str, why: str) -> str:
    """Return the note that names a plugin and its hook."""
    return f"the life-cycle hook {hook} of plugin {plugin!r} failed: {why}"
