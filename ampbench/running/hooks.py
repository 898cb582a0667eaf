"""Calls of the life-cycle hooks: a tracker that raises, hangs or ends its process costs a note, and nothing else.

A worker calls the hooks of its own runs, and tells its parent whose hook it calls. If the worker hangs or ends there,
the parent continues in a new worker, without this plugin; see :mod:`ampbench.running.worker`. Where no worker is left,
a child process of its own calls the hook, never the process of the sweep.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pluggy import HookImpl

from ampbench import registry
from ampbench.interfaces import Limits
from ampbench.interfaces.events import Listener, Note
from ampbench.registry import Registry
from ampbench.results import Run
from ampbench.running.child import Send
from ampbench.running.failures import failure
from ampbench.running.process import Clock, Stop, run_in_child
from ampbench.running.runlog import log_path

MAX_HOOK_SECONDS = 60.0
"""Time limit of a plugin's life-cycle hook, where the limit of a step is not shorter."""
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
    for each in _implementations(plugins, name):  # one by one: pluggy would stop at the first that raises
        try:
            _call(each, arguments)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            listener(Note(_failed(name, each.plugin_name, failure(error).message)))


def call_in_worker(
    left_out: Collection[str],
    send: Send,
    plugins: Registry,
    listener: Listener,
    name: str,
    arguments: Mapping[str, object],
) -> None:
    """Call a hook in a child process, and tell its parent whose; an implementation that raises is noted.

    One that needs too much memory ends the process, since what it still holds would be missing to the fit.
    """
    wanted = [each for each in _implementations(plugins, name) if each.plugin_name not in left_out]
    for each in wanted:
        send(Calling(name, each.plugin_name, _run(arguments)))
        try:
            _call(each, arguments)
        except BaseException as error:
            found = failure(error)
            listener(Note(_failed(name, each.plugin_name, found.message)))
            if found.kind == "memory":
                os._exit(1)
    if wanted:
        send(Calling(name, "", _run(arguments)))


@dataclass(frozen=True)
class Apart:
    """Calls hooks in child processes of their own.

    Attributes:
        results: the results directory, whose logs take what the plugins print.
        limits: of the processes.
        stop: when it is set, the call ends and :class:`ampbench.running.process.Stopped` is raised.
        left_out: plugins that are not called; a plugin that hangs or ends its process is added.
    """

    results: Path
    limits: Limits
    stop: Stop
    left_out: set[str] = field(default_factory=set)

    def __call__(self, plugins: Registry, listener: Listener, name: str, arguments: Mapping[str, object]) -> None:
        """Call a hook of all plugins, as :data:`HookCalls`; a plugin that hangs or ends its process is noted."""
        self._call([each.plugin_name for each in _implementations(plugins, name)], listener, name, arguments)

    def call_rest(
        self, at_fault: str, plugins: Registry, listener: Listener, name: str, arguments: Mapping[str, object]
    ) -> None:
        """Call a hook of the plugins that come after one that ended its process."""
        names = [each.plugin_name for each in _implementations(plugins, name)]
        self._call(names[names.index(at_fault) + 1 :], listener, name, arguments)

    def leave_out(self, calling: Calling, message: str, listener: Listener) -> None:
        """Leave a plugin out from now on whose hook did not return, and note why."""
        self.left_out.add(calling.plugin)
        why = f"{message}; hooks of this plugin are not called again for this fit"
        listener(Note(_failed(calling.hook, calling.plugin, why)))

    def _call(self, names: list[str], listener: Listener, name: str, arguments: Mapping[str, object]) -> None:
        output = log_path(self.results, _run(arguments)).with_suffix(".out")
        while wanted := [each for each in names if each not in self.left_out]:
            watch = HookWatch(self.limits, Clock(None), listener)
            work = partial(_call_in_child, tuple(wanted), name, dict(arguments))
            ending = run_in_child(work, self.limits, output, watch.on_message, watch.clock, self.stop, needs_main=False)
            if ending is None:
                return
            if watch.calling is None:
                listener(Note(f"the life-cycle hook {name} could not be called: {ending.message}"))
                return
            self.leave_out(watch.calling, ending.message, listener)
            names = wanted[wanted.index(watch.calling.plugin) + 1 :]


class HookWatch:
    """The parent's view of the hooks that a child calls; their time counts for no step of the child.

    Arguments:
        limits: of the child.
        clock: of the child.
        listener: called with its other messages.
    """

    def __init__(self, limits: Limits, clock: Clock, listener: Listener) -> None:
        self.clock = clock
        self.calling: Calling | None = None
        self._listener = listener
        self._seconds = MAX_HOOK_SECONDS if limits.seconds is None else min(limits.seconds, MAX_HOOK_SECONDS)

    def on_message(self, message: object) -> None:
        """Follow the calls, and pass other messages on."""
        if not isinstance(message, Calling):
            self._listener(message)  # type: ignore[arg-type]
        elif message.plugin:
            self.calling = message
            self.clock.interrupt("it", self._seconds)
        else:
            self.calling = None
            self.clock.resume()


def _call_in_child(names: Collection[str], name: str, arguments: Mapping[str, object], send: Send) -> None:
    """Call a hook of some plugins, in a child process."""
    plugins = registry.load()
    left_out = {each.plugin_name for each in _implementations(plugins, name)} - set(names)
    call_in_worker(left_out, send, plugins, send, name, arguments)


def _implementations(plugins: Registry, name: str) -> list[HookImpl]:
    return list(reversed(getattr(plugins.hook, name).get_hookimpls()))


def _call(implementation: HookImpl, arguments: Mapping[str, object]) -> None:
    implementation.function(*(arguments[name] for name in implementation.argnames))


def _run(arguments: Mapping[str, object]) -> Run:
    run = arguments["run"]
    assert isinstance(run, Run)
    return run


def _failed(hook: str, plugin: str, why: str) -> str:
    return f"the life-cycle hook {hook} of plugin {plugin!r} failed: {why}"
