"""Life-cycle hooks of a child process, as its parent sees them: their time limit, and what it does without a child."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ampbench import registry
from ampbench.errors import PluginError
from ampbench.interfaces import Limits
from ampbench.interfaces.events import Listener, Note
from ampbench.registry import Registry
from ampbench.running.child import Send
from ampbench.running.hooks import Calling, call_in_worker, failed, implementations, run_of
from ampbench.running.process import Clock, Ending, Stop, run_in_child
from ampbench.running.runlog import log_path

MAX_HOOK_SECONDS = 60.0
"""Time limit of a plugin's life-cycle hook, where the limit of a step is not shorter."""


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
        self._call([each.plugin_name for each in implementations(plugins, name)], listener, name, arguments)

    def call_rest(
        self, at_fault: str, plugins: Registry, listener: Listener, name: str, arguments: Mapping[str, object]
    ) -> None:
        """Call a hook of the plugins that come after one that ended its process."""
        names = [each.plugin_name for each in implementations(plugins, name)]
        self._call(names[names.index(at_fault) + 1 :], listener, name, arguments)

    def leave_out(self, calling: Calling, message: str, listener: Listener) -> None:
        """Leave a plugin out from now on whose hook did not return, and note why."""
        self.left_out.add(calling.plugin)
        why = f"{message}; hooks of this plugin are not called again for this fit"
        listener(Note(failed(calling.hook, calling.plugin, why)))

    def _call(self, names: list[str], listener: Listener, name: str, arguments: Mapping[str, object]) -> None:
        output = log_path(self.results, run_of(arguments)).with_suffix(".out")
        while wanted := [each for each in names if each not in self.left_out]:
            watch = HookWatch(self.limits, Clock(None), listener)
            work = partial(_call_in_child, tuple(wanted), name, dict(arguments))
            try:
                ending = run_in_child(work, self.limits, output, watch.on_message, watch.clock, self.stop, False)
            except PluginError as error:
                ending = Ending("error", str(error))
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
    left_out = {each.plugin_name for each in implementations(plugins, name)} - set(names)
    call_in_worker(left_out, send, plugins, send, name, arguments)
