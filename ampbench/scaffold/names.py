"""The names in a new plugin: of its component, class, module, entry point and distribution."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from ampbench.errors import UsageError, unknown
from ampbench.hookspecs import KINDS
from ampbench.registry import installed

PREFIX = "ampbench-"
MAX_LENGTH = 40
"""Largest number of characters of a component's name, with which the lists and tables of a terminal are readable."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")


@dataclass(frozen=True)
class Names:
    """The names of a plugin with one component.

    Attributes:
        component: as in specs.
        kind: of components, in singular, such as ``divergence``.
    """

    component: str
    kind: str

    @property
    def module(self) -> str:
        """The module, which is named as the distribution is."""
        return self.distribution.replace("-", "_")

    @property
    def point(self) -> str:
        """The entry point, by which AMPBENCH_DISABLE_PLUGINS and ``ampbench plugins`` name the plugin."""
        return self.module.removeprefix("ampbench_")

    @property
    def distribution(self) -> str:
        """The distribution, which pip installs; also the folder of the project."""
        return PREFIX + re.sub(r"[-_]+", "-", self.component).lower()

    @property
    def cls(self) -> str:
        """The class; it ends with its kind, so that it is no keyword and hides no class that its module imports."""
        words = re.split(r"[-_]", self.component)
        name, kind = "".join(word[:1].upper() + word[1:] for word in words), self.kind.capitalize()
        return name if name.endswith(kind) and name != kind else name + kind

    @property
    def hook(self) -> str:
        """The hook that returns components of this kind."""
        return next(hook for hook, word in KINDS.items() if word == self.kind)


def names_of(name: str, kind: str, known: Mapping[str, Iterable[str]]) -> Names:
    """Return the names of a new plugin.

    Arguments:
        name: of its component, or of its distribution, ``ampbench-…``.
        kind: of components, in singular.
        known: the registered components, by hook.

    Raises:
        UsageError: the kind is unknown, the name cannot be one, or it is taken; the message has the next step.
    """
    if kind not in KINDS.values():
        raise unknown("kind of component", kind, KINDS.values())
    component = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(component):
        raise UsageError(
            f"a component cannot be called {name!r}: {_fault(component)}; take letters a to z, digits and single "
            f"hyphens{_suggestion(component)}"
        )
    if len(component) > MAX_LENGTH:
        raise UsageError(
            f"a component cannot be called {name[:MAX_LENGTH]!r}…: it has {len(component)} characters, and at most "
            f"{MAX_LENGTH} are allowed; take a shorter name"
        )
    names = Names(component, kind)
    _check_free(names, known)
    return names


def _fault(name: str) -> str:
    """Return in words why a name cannot be that of a component."""
    if not name:
        return "it is empty"
    if name[0].isdigit():
        return "it begins with a digit"
    odd = next((each for each in name if not (each.isascii() and (each.isalnum() or each in "-_"))), "")
    if odd:
        return f"it contains {odd!r}"
    return "a hyphen or underscore stands at its beginning, its end, or beside another"


def _suggestion(name: str) -> str:
    """Return the nearest name that is allowed, for a message; "" if there is none."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    near = re.sub(r"^[^A-Za-z]+", "", re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")).lower()[:MAX_LENGTH].strip("-")
    return f", such as {near!r}" if _NAME.fullmatch(near) else ", such as 'le-cam'"


def _check_free(names: Names, known: Mapping[str, Iterable[str]]) -> None:
    """Raise :class:`UsageError` if something installed has one of the names."""
    again = "take another name, or uninstall that one"
    for other in known[names.hook]:
        if _plain(other) == _plain(names.component):
            see = f"see: ampbench list {names.hook}"
            raise UsageError(f"a {names.kind} {other!r} is registered already; {again} ({see})")
    for plugin, _ in installed():
        if plugin.name == names.point:
            raise UsageError(f"plugin {plugin} is installed already; {again} (see: ampbench plugins)")
    try:
        found = distribution(names.distribution)
    except PackageNotFoundError:
        pass
    else:
        raise UsageError(f"a distribution {names.distribution!r} {found.version} is installed already; {again}")
    if (module := find_spec(names.module)) is not None:
        raise UsageError(f"a module {names.module!r} is installed already ({module.origin or 'a folder'}); {again}")


def _plain(name: str) -> str:
    return name.replace("_", "-").lower()
