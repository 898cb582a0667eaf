"""The registry: it loads plugins from entry points, and builds components from specs.

pluggy's own entry-point loader drops a clashing name silently and dies of one broken plugin without saying whose it
was; :func:`load` turns both into a :class:`PluginError` that names plugin, distribution, version and the way out.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pluggy

from ampbench import hookspecs
from ampbench.counts import read_whole
from ampbench.errors import PluginError, ResultsError, UsageError, unknown
from ampbench.faults import describe, message, named, pass_interruption, traceback_of
from ampbench.hookspecs import KINDS
from ampbench.hookspecs import Lazy as Lazy
from ampbench.spec import Spec

GROUP = "ampbench"
DISABLE = "AMPBENCH_DISABLE_PLUGINS"

EVERYWHERE = ("torch", "numpy")
"""Packages on which all results depend."""

_AFTER_RELEASE = re.compile(r"\.post|\.dev|\+")
"""Begins the part of a version that counts the commits after a release."""


@dataclass(frozen=True)
class Plugin:
    """An installed plugin: its entry point, and the distribution that brought it."""

    name: str
    distribution: str
    version: str
    target: str

    def __str__(self) -> str:
        return f"{self.name!r} ({self.target}, from {self.distribution} {self.version})"

    @property
    def package(self) -> str:
        """The top-level package of the plugin's code."""
        return self.target.partition(":")[0].partition(".")[0]


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
    bibtex: str = ""

    def __str__(self) -> str:
        return f"{KINDS[self.kind]} {self.name!r} of plugin {self.plugin}"

    def factory(self) -> Callable[..., Any]:
        """Return the class or function that makes the component; raises :class:`PluginError` if it does not import."""
        if not isinstance(self.component, Lazy):
            return self.component
        try:
            loaded = self.component.load()
            if not callable(loaded):
                raise TypeError(f"it is a {type(loaded).__name__}, not a class or function")
        except BaseException as error:
            pass_interruption(error)
            raise PluginError(
                f"{self} cannot be imported from {self.component.target}: {named(error)}; "
                f"repair or uninstall {self.plugin.distribution}, "
                f"or set {DISABLE}={self.plugin.name}"
            ) from error
        return loaded


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
        """Add a plugin's hooks and components: all of them, or none if it is broken.

        Raises:
            PluginError: misspelt hooks or arguments, a name that is taken, or a hook that fails.
        """
        if taken := self.plugins.get(plugin.name):
            raise PluginError(_clash("plugin", plugin.name, taken, plugin))
        try:
            found = self._collected(plugin, implementation)
        except BaseException:
            with suppress(Exception):
                self._manager.unregister(name=plugin.name)
            raise
        self.plugins[plugin.name] = plugin
        for entry in found:
            self._entries[entry.kind][entry.name] = entry

    def _collected(self, plugin: Plugin, implementation: object) -> list[Entry]:
        """Register the hooks of a plugin, and return its components."""
        try:
            self._manager.register(implementation, plugin.name)
            self._manager.check_pending()
            found = [entry for kind in KINDS for entry in self._components(kind, plugin, implementation)]
        except BaseException as error:
            pass_interruption(error)
            raise PluginError(_broken(plugin, error)) from error
        for entry in found:
            if taken := self._entries[entry.kind].get(entry.name):
                raise PluginError(_clash(KINDS[entry.kind], entry.name, taken.plugin, plugin))
        return found

    def _components(self, kind: str, plugin: Plugin, implementation: object) -> list[Entry]:
        """Return a plugin's components of a kind; raises whatever its hook raises."""
        found: list[Entry] = []
        for hook in getattr(self.hook, kind).get_hookimpls():
            if hook.plugin is implementation:
                components = hook.function()
                if not isinstance(components, Mapping):
                    raise TypeError(f"its hook {kind} returned a {type(components).__name__}, not {{name: component}}")
                found += [_entry(name, kind, component, plugin) for name, component in components.items()]
        return found

    def entries(self, kind: str) -> Mapping[str, Entry]:
        """Return the components of a kind (``tasks``, ``divergences``, …), sorted by name."""
        if kind not in self._entries:
            raise unknown("kind of component", kind, KINDS)
        return dict(sorted(self._entries[kind].items()))

    def entry(self, kind: str, text: str) -> Entry:
        """Return the component that a spec names; raises :class:`UsageError` for an unknown name."""
        spec, known = Spec.parse(text), self.entries(kind)
        if spec.name not in known:
            raise unknown(KINDS[kind], spec.name, known)
        return known[spec.name]

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
        with blaming(f"{bound.entry} cannot be built from {text!r}"):
            return bound.factory(**values)

    def resolve(self, kind: str, text: str) -> Spec:
        """Return the spec with every option written out, defaults included; its text identifies what will run.

        Raises:
            PluginError: a default cannot be written in a spec (it is not a number, a truth value or a plain string).
        """
        bound = self._bind(kind, text)
        entry = bound.entry
        written = {name: self._written(entry, option) for name, option in bound.single.items()}
        for name, entries in bound.mappings.items():
            written |= {f"{name}.{key}": self._written(entry, option) for key, option in entries.items()}
        resolved = Spec(entry.name, tuple(sorted(written.items())))
        if not resolved.is_readable:
            raise PluginError(
                f"{entry} has an option whose default cannot be written in a spec: {resolved}; use numbers, "
                "truth values and plain strings"
            )
        return resolved

    def checked(self, kind: str, text: str) -> Spec:
        """Return :meth:`resolve`'s spec, once a component was made from it, so that bad values are refused early.

        If making it fails otherwise, the error is left to the run: the machine that executes it may have what is
        missing here.

        Raises:
            UsageError: an unknown name or option, or a value that the constructor refuses; the message names the spec.
            PluginError: a default cannot be written in a spec, or the component cannot be imported.
        """
        resolved = self.resolve(kind, text)
        try:
            with suppress(PluginError):
                self.build(kind, text)
        except UsageError as error:
            if not isinstance(error.__cause__, ImportError):
                raise UsageError(f"{KINDS[kind]} {text!r}: {message(error)}") from error
        return resolved

    def packages(self, kind: str, text: str) -> frozenset[str]:
        """Return the packages on which the numbers of a component depend, such as ``torch==2.13.*``.

        These are ampbench, at the release on which its version builds; the distributions that own the component and
        those inside it, each at its very version; and, up to their patch releases, torch, numpy, and what the classes
        name in an attribute ``packages``, such as ``("scikit-learn",)``. They are part of a result's key.
        """
        bound = self._bind(kind, text)
        owner = bound.entry.plugin
        with blaming(f"{bound.entry} does not say on which packages it depends"):
            needed = (*EVERYWHERE, *_names(getattr(bound.factory, "packages", ()), "packages"))
            minor = {*map(_up_to_patches, needed)}
        own = {_exactly("ampbench"), _requirement(owner.distribution, owner.version), *minor} - {""}
        options = [*bound.single.values(), *(option for each in bound.mappings.values() for option in each.values())]
        return frozenset(own).union(*(self.packages(each.kind, each.value) for each in options if each.kind))

    def parts(self, kind: str, text: str) -> tuple[Entry, ...]:
        """Return the component that a spec names, and those inside it, defaults included; raises as :meth:`build`."""
        bound = self._bind(kind, text)
        options = [*bound.single.values(), *(option for each in bound.mappings.values() for option in each.values())]
        inner = (part for each in options if each.kind for part in self.parts(each.kind, each.value))
        return (bound.entry, *inner)

    def _made(self, option: _Option) -> Any:
        return self.build(option.kind, option.value) if option.kind else option.value

    def _written(self, entry: Entry, option: _Option) -> str:
        if option.kind:
            return self.resolve(option.kind, option.value).nested()
        with blaming(f"{entry} has an option whose default cannot be written in a spec"):
            return str(option.value)

    def _bind(self, kind: str, text: str) -> _Bound:
        """Return the component of a spec, with the values of its options."""
        entry = self.entry(kind, text)
        factory = entry.factory()
        with blaming(f"{entry} has options that cannot be read from {text!r}"):
            return _bound(entry, factory, Spec.parse(text))


def culprit(error: BaseException) -> Plugin | None:
    """Return the installed plugin in whose code an exception was raised; of several, the one that was called last."""
    owners = {plugin.package: plugin for plugin in map(_plugin, entry_points(group=GROUP))}
    frame, found = traceback_of(error), None
    while frame is not None:
        package = str(frame.tb_frame.f_globals.get("__name__")).partition(".")[0]
        if package != "ampbench":  # which calls all others
            found = owners.get(package, found)
        frame = frame.tb_next
    return found


def load(on_fault: Callable[[PluginError], None] | None = None) -> Registry:
    """Load every plugin of the entry-point group ``ampbench``.

    Arguments:
        on_fault: called with the fault of each plugin that cannot be used, which is left out; None to raise the first.

    Raises:
        PluginError: a plugin is broken, or two of them claim one name.
    """
    registry = Registry()
    disabled = {name.strip() for name in os.environ.get(DISABLE, "").split(",")}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        if point.name not in disabled:
            plugin = _plugin(point)
            try:
                registry.register(plugin, _implementation(plugin, point))
            except PluginError as error:
                if on_fault is None:
                    raise
                on_fault(error)
    return registry


@cache
def _exactly(package: str) -> str:
    """Return the requirement of the exact version of an installed package; "" if it is not installed."""
    try:
        return _requirement(package, version(package))
    except PackageNotFoundError:
        return ""


def _requirement(distribution: str, installed: str) -> str:
    """Return the requirement of a version; of ampbench it is the release, without the count of commits after it.

    Example:
        >>> _requirement("ampbench", "0.1.0.post1.dev7+g1a2b3c4"), _requirement("ampbench", "0.2.0rc1")
        ('ampbench==0.1.0', 'ampbench==0.2.0rc1')
        >>> _requirement("other", "0.1.0.post1.dev7+g1a2b3c4")
        'other==0.1.0.post1.dev7+g1a2b3c4'
    """
    return f"{distribution}=={_AFTER_RELEASE.split(installed)[0] if distribution == 'ampbench' else installed}"


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
    except BaseException as error:
        pass_interruption(error)
        raise PluginError(_broken(plugin, error)) from error


def _broken(plugin: Plugin, error: BaseException) -> str:
    return (
        f"plugin {plugin} is broken: {named(error)}; repair or uninstall {plugin.distribution}, "
        f"or set {DISABLE}={plugin.name}"
    )


def _clash(what: str, name: str, first: Plugin, second: Plugin) -> str:
    return (
        f"{what} {name!r} is claimed by plugin {first} and by plugin {second}; uninstall one of them, "
        f"or set {DISABLE}={second.name}"
    )


def _bound(entry: Entry, factory: Callable[..., Any], spec: Spec) -> _Bound:
    """Return a component with the values of its options."""
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    hints = dict.fromkeys(parameters, Any) | dict(_hints(factory))
    mapped = {name: base for name in parameters if (base := _entries_of(hints[name])) is not None}
    given = dict(spec.options)
    what = f"{KINDS[entry.kind]} {spec.name!r}"
    for name in given:
        _check_name(what, name, parameters, mapped)
    single, mappings = {}, {}
    for name, parameter in parameters.items():
        if name in mapped:
            mappings[name] = _mapping(what, parameter, mapped[name], given)
        else:
            single[name] = _option(what, parameter, hints[name], given.get(name))
    return _Bound(entry, factory, single, mappings)


@contextmanager
def blaming(what: str) -> Iterator[None]:
    """Turn whatever a component raises into :class:`PluginError`.

    Arguments:
        what: what the component does not do, with its name and that of its plugin.

    Raises:
        UsageError: the component refuses a value of the user.
        ResultsError: the store cannot be written.
        PluginError: any other exception.
    """
    try:
        yield
    except (UsageError, ResultsError):
        raise
    except BaseException as error:
        pass_interruption(error)
        raise PluginError(f"{what}: {describe(error)}") from error


def _entry(name: object, kind: str, component: Any, plugin: Plugin) -> Entry:
    """Return a component as its hook gives it; raises TypeError, with attribute and type, if it is none."""
    what = f"{KINDS[kind]} {name!r}"
    if not isinstance(name, str):
        raise TypeError(f"the name of {what} is a {type(name).__name__}, not a text")
    if isinstance(component, Lazy):
        texts = {name: getattr(component, name) for name in ("target", "summary", "source", "bibtex")}
        labels = {f"label {label!r}": text for label, text in component.labels.items()}
        for attribute, text in (texts | labels).items():
            if not isinstance(text, str):
                raise TypeError(f"{attribute} of {what} is a {type(text).__name__}, not a text")
        about = (component.summary, component.source, component, plugin, component.labels, component.bibtex)
        return Entry(name, kind, *about)
    if not callable(component):
        raise TypeError(f"{what} is a {type(component).__name__}, not a class, function or Lazy")
    summary = (inspect.getdoc(component) or "").partition("\n")[0].rstrip(".")
    source, bibtex = (getattr(component, each, "") for each in ("source", "bibtex"))
    if not isinstance(bibtex, str):
        raise TypeError(f"bibtex of {what} is a {type(bibtex).__name__}, not a text")
    return Entry(name, kind, summary, source if isinstance(source, str) else "", component, plugin, {}, bibtex)


def _names(value: Any, what: str) -> tuple[str, ...]:
    """Return the names in an attribute of a component; raises TypeError if it is not a tuple of texts."""
    if isinstance(value, str) or not all(isinstance(each, str) for each in value):
        raise TypeError(f"{what} is {value!r}, not a tuple of names")
    return tuple(value)


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
