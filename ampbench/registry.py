"""The registry: it loads plugins from entry points, and builds components from specs.

pluggy's own entry-point loader drops a clashing name silently and dies of one broken plugin without saying whose it
was; :func:`load` turns both into a :class:`PluginError` that names plugin, distribution, version and the way out.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pluggy

from ampbench import hookspecs
from ampbench.counts import read_whole
from ampbench.errors import PluginError, UsageError, unknown
from ampbench.hookspecs import KINDS
from ampbench.hookspecs import Lazy as Lazy
from ampbench.spec import Spec

GROUP = "ampbench"
DISABLE = "AMPBENCH_DISABLE_PLUGINS"

EVERYWHERE = ("torch", "numpy")
"""Packages on which all results depend."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: its entry point, and the distribution that brought it."""

    name: str
    distribution: str
    version: str
    target: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.target}, from {self.distribution} {self.version})"


@dataclass(frozen=True)
class Entry:
    """A registered component and its owner."""

    name: str
    kind: str
    summary: str
    source: str
    component: Callable[..., Any] | Lazy
    plugin: Plugin
    labels: Mapping[str, str]

    def factory(self) -> Callable[..., Any]:
        """Return the class or function that makes the component; raises :class:`PluginError` if it does not import."""
        if not isinstance(self.component, Lazy):
            return self.component
        try:
            return self.component.load()
        except Exception as error:
            raise PluginError(
                f"{KINDS[self.kind]} {self.name!r} of plugin {self.plugin} cannot be imported from "
                f"{self.component.target}: {error}; repair or uninstall {self.plugin.distribution}, "
                f"or set {DISABLE}={self.plugin.name}"
            ) from error


@dataclass(frozen=True)
class _Option:
    """The value of an option: the spec of a component of that kind, or a plain value if the kind is ""."""

    kind: str
    value: Any


@dataclass(frozen=True)
class _Bound:
    """A component with the values of its options; an option that is a mapping has one value for each entry."""

    entry: Entry
    factory: Callable[..., Any]
    single: Mapping[str, _Option]
    mappings: Mapping[str, Mapping[str, _Option]]


class Registry:
    """All components by kind and name; made by :func:`load`.

    Attributes:
        plugins: the plugins, by name.
        hook: pluggy's relay, for the life-cycle hooks.
    """

    def __init__(self) -> None:
        self.plugins: dict[str, Plugin] = {}
        self._entries: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self.hook = self._manager.hook

    def register(self, plugin: Plugin, implementation: object) -> None:
        """Add a plugin's hooks and components.

        Raises:
            PluginError: misspelt hooks or arguments, a name that is taken, or a hook that fails.
        """
        if taken := self.plugins.get(plugin.name):
            raise PluginError(_clash("plugin", plugin.name, taken, plugin))
        try:
            self._manager.register(implementation, plugin.name)
            self._manager.check_pending()
        except Exception as error:
            raise PluginError(_broken(plugin, error)) from error
        self.plugins[plugin.name] = plugin
        for kind in KINDS:
            self._collect(kind, plugin, implementation)

    def _collect(self, kind: str, plugin: Plugin, implementation: object) -> None:
        hooks = [hook for hook in getattr(self.hook, kind).get_hookimpls() if hook.plugin is implementation]
        try:
            components = [(str(name), component) for hook in hooks for name, component in hook.function().items()]
        except Exception as error:
            raise PluginError(_broken(plugin, error)) from error
        for name, component in components:
            if not callable(component) and not isinstance(component, Lazy):
                message = f"{KINDS[kind]} {name!r} is a {type(component).__name__}, not a class, function or Lazy"
                raise PluginError(_broken(plugin, TypeError(message)))
            if taken := self._entries[kind].get(name):
                raise PluginError(_clash(KINDS[kind], name, taken.plugin, plugin))
            self._entries[kind][name] = _entry(name, kind, component, plugin)

    def entries(self, kind: str) -> Mapping[str, Entry]:
        """Return the components of a kind (``tasks``, ``divergences``, …), sorted by name."""
        if kind not in self._entries:
            raise unknown("kind of component", kind, KINDS)
        return dict(sorted(self._entries[kind].items()))

    def build(self, kind: str, text: str) -> Any:
        """Make a component from its spec.

        Raises:
            UsageError: an unknown name or option (the known ones and the nearest are listed), or an impossible value.
            PluginError: the component cannot be imported or constructed.
        """
        bound = self._bind(kind, text)
        values: dict[str, Any] = {name: self._made(option) for name, option in bound.single.items()}
        for name, entries in bound.mappings.items():
            values[name] = {key: self._made(option) for key, option in entries.items()}
        try:
            return bound.factory(**values)
        except (UsageError, PluginError):
            raise
        except Exception as error:
            raise PluginError(
                f"{KINDS[kind]} {bound.entry.name!r} of plugin {bound.entry.plugin} cannot be built from {text!r}: "
                f"{type(error).__name__}: {error}"
            ) from error

    def resolve(self, kind: str, text: str) -> Spec:
        """Return the spec with every option written out, defaults included; its text identifies what will run.

        Raises:
            PluginError: a default cannot be written in a spec (it is not a number, a truth value or a plain string).
        """
        bound = self._bind(kind, text)
        written = {name: self._written(option) for name, option in bound.single.items()}
        for name, entries in bound.mappings.items():
            written |= {f"{name}.{key}": self._written(option) for key, option in entries.items()}
        entry = bound.entry
        resolved = Spec(entry.name, tuple(sorted(written.items())))
        if not resolved.is_readable:
            raise PluginError(
                f"{KINDS[kind]} {entry.name!r} of plugin {entry.plugin} has an option whose default cannot be written "
                f"in a spec: {resolved}; use numbers, truth values and plain strings"
            )
        return resolved

    def checked(self, kind: str, text: str) -> Spec:
        """Return :meth:`resolve`'s spec, once a component was made from it, so that bad values are refused early.

        If making it fails otherwise, the error is left to the run: the machine that executes it may have what is
            missing
        here.

        Raises:
            UsageError: an unknown name or option, or a value that the constructor refuses; the message names the spec.
            PluginError: a default cannot be written in a spec, or the component cannot be imported.
        """
        resolved = self.resolve(kind, text)
        try:
            with suppress(PluginError, SystemExit):
                self.build(kind, text)
        except UsageError as error:
            if not isinstance(error.__cause__, ImportError):
                raise UsageError(f"{KINDS[kind]} {text!r}: {error}") from error
        return resolved

    def packages(self, kind: str, text: str) -> frozenset[str]:
        """Return the packages on which the numbers of a component depend, such as ``torch==2.13.*``.

        These are ampbench and the distributions that own the component and those inside it, each at its very version;
        and, up to their patch releases, torch, numpy, and what the classes name in an attribute ``packages``, such as
        ``("scikit-learn",)``. They are part of a result's key.
        """
        bound = self._bind(kind, text)
        owner = bound.entry.plugin
        named = (*EVERYWHERE, *getattr(bound.factory, "packages", ()))
        own = {_exactly("ampbench"), f"{owner.distribution}=={owner.version}", *map(_up_to_patches, named)} - {""}
        options = [*bound.single.values(), *(option for each in bound.mappings.values() for option in each.values())]
        return frozenset(own).union(*(self.packages(each.kind, each.value) for each in options if each.kind))

    def _made(self, option: _Option) -> Any:
        return self.build(option.kind, option.value) if option.kind else option.value

    def _written(self, option: _Option) -> str:
        return self.resolve(option.kind, option.value).nested() if option.kind else str(option.value)

    def _bind(self, kind: str, text: str) -> _Bound:
        """Return the component of a spec, with the values of its options."""
        spec = Spec.parse(text)
        known = self.entries(kind)
        if spec.name not in known:
            raise unknown(KINDS[kind], spec.name, known)
        entry = known[spec.name]
        factory = entry.factory()
        parameters = {
            name: parameter
            for name, parameter in inspect.signature(factory).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        }
        hints = dict.fromkeys(parameters, Any) | dict(_hints(factory))
        mapped = {name: base for name in parameters if (base := _entries_of(hints[name])) is not None}
        given = dict(spec.options)
        what = f"{KINDS[kind]} {spec.name!r}"
        for name in given:
            _check_name(what, name, parameters, mapped)
        single, mappings = {}, {}
        for name, parameter in parameters.items():
            if name in mapped:
                mappings[name] = _mapping(what, parameter, mapped[name], given)
            else:
                single[name] = _option(what, parameter, hints[name], given.get(name))
        return _Bound(entry, factory, single, mappings)


def load() -> Registry:
    """Load every plugin of the entry-point group ``ampbench``.

    Raises:
        PluginError: a plugin is broken, or two of them claim one name.
    """
    registry = Registry()
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if point.name not in disabled:
            plugin = _plugin(point)
            registry.register(plugin, _implementation(plugin, point))
    return registry


@cache
def _exactly(package: str) -> str:
    """Return the requirement of the exact version of an installed package; "" if it is not installed."""
    try:
        return f"{package}=={version(package)}"
    except PackageNotFoundError:
        return ""


@cache
def _up_to_patches(package: str) -> str:
    """Return the requirement of all patch releases of an installed package: 2.13.1+cpu becomes 2.13.*."""
    name, _, number = _exactly(package).partition("==")
    return f"{name}=={'.'.join(number.split('.')[:2])}.*" if name else ""


def _plugin(point: EntryPoint) -> Plugin:
    distribution = point.dist
    name, version = (distribution.name, distribution.version) if distribution else ("unknown distribution", "?")
    return Plugin(point.name, name, version, point.value)


def _implementation(plugin: Plugin, point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise PluginError(_broken(plugin, error)) from error


def _broken(plugin: Plugin, error: Exception) -> str:
    detail = str(error).strip().replace("\n", "; ")
    return (
        f"plugin {plugin} is broken: {type(error).__name__}: {detail}; repair or uninstall {plugin.distribution}, "
        f"or set {DISABLE}={plugin.name}"
    )


def _clash(what: str, name: str, first: Plugin, second: Plugin) -> str:
    return (
        f"{what} {name!r} is claimed by plugin {first} and by plugin {second}; uninstall one of them, "
        f"or set {DISABLE}={second.name}"
    )


def _entry(name: str, kind: str, component: Callable[..., Any] | Lazy, plugin: Plugin) -> Entry:
    if isinstance(component, Lazy):
        return Entry(name, kind, component.summary, component.source, component, plugin, component.labels)
    summary = (inspect.getdoc(component) or "").partition("\n")[0].rstrip(".")
    return Entry(name, kind, summary, str(getattr(component, "source", "")), component, plugin, {})


def _hints(factory: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the types of a factory's parameters; for a class, those of its ``__init__``."""
    try:
        return get_type_hints(factory.__init__ if inspect.isclass(factory) else factory, include_extras=True)
    except NameError:  # an annotation that exists for type checkers only
        return {}


def _check_name(what: str, name: str, parameters: Mapping[str, object], mapped: Mapping[str, object]) -> None:
    """Raise :class:`UsageError` for an unknown option, an entry of an option that is no mapping, or a whole mapping."""
    option, dot, key = name.partition(".")
    if option not in (mapped if dot else parameters):
        entry = f".{key}" if dot else ".NAME"
        known = [f"{known}{entry}" if known in mapped else known for known in parameters]
        raise unknown(f"option of {what}:", name, known)
    if not dot and option in mapped:
        raise UsageError(f"option {name!r} of {what} is a mapping: give its entries one by one, {name}.NAME=…")


def _option(what: str, parameter: inspect.Parameter, hint: Any, given: str | None) -> _Option:
    """Return the value of an option: the given one, or else its default."""
    base, default = _unwrap(hint)
    if given is not None:
        return _read(what, parameter.name, base, given)
    if default is not None:
        return _Option(_interfaces().get(base, ""), default)
    if parameter.default is parameter.empty:
        raise UsageError(f"{what} needs the option {parameter.name!r}: write {parameter.name}=…")
    return _Option("", parameter.default)


def _mapping(what: str, parameter: inspect.Parameter, base: Any, given: Mapping[str, str]) -> Mapping[str, _Option]:
    """Return the entries of an option that is a mapping; given entries replace default ones."""
    defaults = {} if parameter.default is parameter.empty else parameter.default
    entries = {key: _Option("", value) for key, value in defaults.items()}
    for name, value in given.items():
        option, _, key = name.partition(".")
        if option == parameter.name:
            entries[key] = _read(what, name, base, value)
    return entries


def _read(what: str, name: str, base: Any, given: str) -> _Option:
    kind = _interfaces().get(base, "")
    return _Option(kind, given if kind else _convert(what, name, base, given))


def _entries_of(hint: Any) -> Any:
    """Return the type of the values of a mapping from names; None for any other type."""
    if get_origin(hint) not in (dict, Mapping) or get_args(hint)[0] is not str:
        return None
    return get_args(hint)[1]


def _unwrap(hint: Any) -> tuple[Any, str | None]:
    """Split ``Annotated[Divergence, Default("jsd")]`` into its two parts."""
    from ampbench.interfaces import Default

    if get_origin(hint) is not Annotated:
        return hint, None
    base, *extras = get_args(hint)
    return base, next((extra.spec for extra in extras if isinstance(extra, Default)), None)


def _interfaces() -> Mapping[Any, str]:
    """Return the kind of component for each interface that is a type of options."""
    from ampbench.interfaces import Divergence, Family, Method, Metric, Task

    return {Task: "tasks", Divergence: "divergences", Family: "families", Method: "methods", Metric: "metrics"}


def _convert(what: str, name: str, hint: Any, given: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(hint)
    if given == "None":
        with suppress(ValidationError):
            return adapter.validate_python(None)
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        if int in (hint, *get_args(hint)):
            with suppress(UsageError):
                return read_whole(name, given)  # such as 1e4
        reason = error.errors()[0]["msg"]
        raise UsageError(f"option {name!r} of {what} cannot be {given!r}: {reason}") from None
