"""The installed plugins and their components, loaded in a child process, since a broken plugin may hang or end it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ampbench import registry
from ampbench.errors import UsageError, nearest
from ampbench.faults import describe
from ampbench.hookspecs import KINDS
from ampbench.interfaces import Limits
from ampbench.registry import Plugin
from ampbench.running.calls import CallError, call_in_child
from ampbench.spec import Spec
from ampbench.testing.finding import Finding, Sources, explained
from ampbench.testing.kit import Subject, dumping

OWN = "ampbench"
"""The distribution of the built-in plugins."""
LOADS = "is loaded"
"""The name of the test that a plugin can be imported and registered."""


@dataclass(frozen=True)
class Catalogue:
    """The components of all plugins, and the plugins that cannot be used.

    Attributes:
        subjects: the components.
        broken: each such plugin, with the reason.
    """

    subjects: tuple[Subject, ...]
    broken: tuple[tuple[Plugin, Finding], ...]

    def chosen(self, name: str | None, kind: str | None) -> Catalogue:
        """Return the part that a name means: a plugin's, a distribution's, or the components of that name.

        Arguments:
            name: of a plugin, a distribution or a component, of which options may follow; None for all plugins that do
                not belong to ampbench.
            kind: one kind of components only, in singular; None for all.

        Raises:
            UsageError: nothing has this name.
        """
        subjects = [each for each in self.subjects if kind in (None, KINDS[each.kind])]
        if name is None:
            own = [each for each in subjects if _plain(each.plugin.distribution) != OWN]
            broken = tuple(each for each in self.broken if _plain(each[0].distribution) != OWN)
            if not (own or broken):
                raise UsageError(
                    f"no plugin with {f'a {kind}' if kind else 'components'} is installed beside ampbench's own; name "
                    "one of those (see: ampbench plugins), or begin one with: ampbench plugin new NAME --kind KIND"
                )
            return Catalogue(tuple(own), broken)
        part = Catalogue(
            tuple(each for each in subjects if _owns(each.plugin, name)),
            tuple(each for each in self.broken if _owns(each[0], name)),
        )
        if part.subjects or part.broken:
            return part
        wanted = Spec.parse(name)
        named = [each for each in subjects if each.spec == wanted.name]
        if not named:
            known = {each.spec for each in subjects} | {each.plugin.name for each in self.subjects}
            known |= {each.plugin.distribution for each in self.subjects}
            what = f"plugin, distribution or {kind or 'component'}"
            near = nearest(wanted.name, known)
            raise UsageError(
                f"no installed {what} is called {wanted.name!r}{near}; see: ampbench list, ampbench plugins"
            )
        return Catalogue(tuple(Subject(each.kind, name, each.plugin) for each in named), ())


def catalogue(seconds: float) -> Catalogue:
    """Load all plugins in a child process, and return what they add.

    Raises:
        UsageError: a plugin hangs or ends the process when it is imported; the message names it if it can.
    """
    try:
        return call_in_child(partial(_load, seconds), Limits(seconds=seconds), needs_main=False)
    except CallError as error:
        raise UsageError(f"the plugins cannot be loaded: {error}; {_suspects(error.output)}") from error


def _load(seconds: float, start: Callable[[str], object]) -> Catalogue:
    start("loading the plugins")
    faults: list[BaseException] = []
    with dumping(seconds):
        loaded = registry.load(faults.append)
    subjects = [Subject(kind, name, entry.plugin) for kind in KINDS for name, entry in loaded.entries(kind).items()]
    broken = [plugin for plugin, _ in registry.installed() if plugin not in loaded.plugins.values()]
    found = [(plugin, _fault(plugin, error)) for plugin, error in zip(broken, faults, strict=True)]
    return Catalogue(tuple(subjects), tuple(found))


def _fault(plugin: Plugin, error: BaseException) -> Finding:
    begun = Finding(LOADS, property="The plugin can be imported, and its hooks return components.")
    if error.__cause__ is None:  # two plugins claim one name
        place = Sources(plugin.package).raised(error)
        return Finding(LOADS, "failed", begun.property, "import", describe(error), "a name of its own", place)
    return explained(begun, error.__cause__, Sources(plugin.package), None)


def _suspects(output: str) -> str:
    """Return which plugin was being loaded, by the output of the process, or how to find out."""
    for plugin, _ in registry.installed():
        place = Sources(plugin.package).dumped(output)
        if place.file and _plain(plugin.distribution) != OWN:
            return (
                f"it was in {place.file}, line {place.line}, of plugin {plugin}; mend or uninstall it, or set "
                f"{registry.DISABLE}={plugin.name}"
            )
    names = sorted(plugin.name for plugin, _ in registry.installed() if _plain(plugin.distribution) != OWN)
    return f"find the one at fault among {', '.join(names) or 'none'} by {registry.DISABLE}=NAME,NAME"


def _owns(plugin: Plugin, name: str) -> bool:
    """Return whether a name is that of the plugin, or of its distribution."""
    return plugin.name == name or _plain(plugin.distribution) == _plain(name)


def _plain(name: str) -> str:
    """Return the name of a distribution as installers compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
