"""Citations: the BibTeX entries of exactly the components that results, or a request, use.

A component is cited with those inside it: ``amp:divergence=jsd,family=flow`` cites amp, jsd and flow. An entry that
several components give is printed once. Two different entries of one key get different keys: the second has the first
digits of its SHA-256 behind it. A component without an entry, and one that is not installed here, is named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ampbench.errors import AmpbenchError, PluginError
from ampbench.hookspecs import KINDS
from ampbench.registry import DISABLE, Registry
from ampbench.registry import Entry as Component
from ampbench.reporting.bibtex import Entry, parse
from ampbench.results.manifest import Manifest
from ampbench.results.provenance import versions as versions_here
from ampbench.results.record import Run
from ampbench.spec import component_name
from ampbench.text import in_latex, line

IDENTIFIERS = ("doi", "eprint")
"""Fields by which two entries are known to be of one publication."""
KEY_DIGITS = 6


@dataclass
class Citations:
    """Entries, and what they are cited for.

    Attributes:
        entries: without repetitions, in the order in which they were found.
        uses: key of an entry → the components or data that it is cited for.
        remarks: components without an entry, with the reason.
    """

    entries: list[Entry] = field(default_factory=list)
    uses: dict[str, list[str]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def add(self, entry: Entry, use: str) -> None:
        """Add an entry unless it is there, and note what it is cited for."""
        known = next((each for each in self.entries if _is_one_publication(each, entry)), None)
        if known is None:
            known = _with_free_key(entry, self.uses)
            self.entries.append(known)
            self.uses[known.key] = []
        if use not in self.uses[known.key]:
            self.uses[known.key].append(use)

    def remark(self, text: str) -> None:
        """Add a remark unless it is there."""
        if text not in self.remarks:
            self.remarks.append(text)

    def __str__(self) -> str:
        blocks = [f"{_comment('cited for ' + ', '.join(self.uses[entry.key]))}\n{entry}" for entry in self.entries]
        if self.remarks:
            blocks.append("\n".join(map(_comment, self.remarks)))
        return "\n\n".join(blocks) + "\n"


def cite(registry: Registry, wanted: Iterable[tuple[str, str]], versions: Sequence[str] = ()) -> Citations:
    """Return the citations of ampbench and of components.

    Arguments:
        registry: the installed components.
        wanted: kinds, such as ``methods``, and specs.
        versions: versions of ampbench that were used; the installed one if there are none.

    Raises:
        UsageError: an unknown component or option.
        PluginError: a component cannot be imported, or its ``bibtex`` is no BibTeX.
    """
    found = Citations()
    found.add(_ampbench(versions), "ampbench")
    for kind, spec in wanted:
        for component in registry.parts(kind, spec):
            _add(found, component)
    return found


def cite_runs(registry: Registry, runs: Sequence[Run], versions: Sequence[str] = ()) -> Citations:
    """Return the citations of all tasks, methods and metrics of runs; what is not installed is named in a remark.

    Raises:
        PluginError: the ``bibtex`` of a component is no BibTeX.
    """
    found = Citations()
    found.add(_ampbench(versions), "ampbench")
    pairs = {("tasks", run.task): None for run in runs}
    pairs |= {("methods", run.resolved): None for run in runs}
    pairs |= {("metrics", spec): None for run in runs for spec in run.metrics}
    for kind, spec in pairs:
        for component in _installed(registry, kind, spec, found):
            _add(found, component)
    return found


def bundle_entry(about: Manifest, identity: str) -> Entry:
    """Return the entry of a bundle, whose texts come from anybody.

    Arguments:
        about: its manifest.
        identity: its id.
    """
    year = about.finished[:4]
    notes = [f"Results of ampbench, bundle {identity}", *([f"licence {about.licence}"] if about.licence else [])]
    fields = {
        "author": " and ".join(map(_author, about.authors or filter(None, [about.group]))),
        "title": _foreign(about.title),
        "year": year if year.isdigit() else "",
        "note": _foreign(", ".join(notes)),
    }
    return Entry("misc", f"bundle:{identity}", tuple((name, text) for name, text in fields.items() if text))


def _author(name: str) -> str:
    """Return a name that BibTeX does not take apart, unless it is written ``Family, Given``."""
    family, comma, given = name.partition(",")
    if comma and given.strip() and "," not in given:
        return f"{{{_foreign(family)}}}, {_foreign(given)}"
    return f"{{{_foreign(name)}}}"


def _foreign(text: str) -> str:
    """Return a text that anybody may have written, in which neither BibTeX nor LaTeX finds a command or a brace."""
    shown = in_latex(text)
    return shown.replace(r"\{", r"{\textbraceleft}").replace(r"\}", r"{\textbraceright}")


def _ampbench(versions: Sequence[str]) -> Entry:
    used = ", ".join(map(in_latex, versions or [versions_here().get("ampbench", "unknown")]))
    fields = (
        ("author", "{The ampbench authors}"),
        ("title", "ampbench: benchmarks for likelihood-free inference and adversarial message passing"),
        ("note", f"Version {used}"),
    )
    return Entry("misc", "ampbench", fields)


def _installed(registry: Registry, kind: str, spec: str, found: Citations) -> Sequence[Component]:
    """Return the components of a spec of a stored run; where options have changed since, the outer one alone."""
    name = component_name(spec)
    known = registry.entries(kind)
    if name not in known:
        found.remark(f"no entry: {KINDS[kind]} {name} is not installed here; install its plugin")
        return ()
    try:
        return registry.parts(kind, spec)
    except AmpbenchError as error:
        found.remark(f"incomplete: what is inside {KINDS[kind]} {spec} is not cited: {error}")
        return (known[name],)


def _add(found: Citations, component: Component) -> None:
    what = f"{KINDS[component.kind]} {component.name}"
    if not component.bibtex:
        owner = component.plugin.distribution
        found.remark(f"no entry: {what} of {owner} gives none" + (f"; {component.source}" if component.source else ""))
        return
    try:
        entries = parse(component.bibtex)
        if not entries:
            raise ValueError("it holds no entry")
    except ValueError as error:
        raise PluginError(
            f"the bibtex of {component} cannot be read: {error}; repair or uninstall {component.plugin.distribution}, "
            f"or set {DISABLE}={component.plugin.name}"
        ) from error
    for entry in entries:
        found.add(entry, what)


def _is_one_publication(one: Entry, other: Entry) -> bool:
    mine, theirs = dict(one.fields), dict(other.fields)
    if any(name in mine and mine[name].lower() == theirs.get(name, "").lower() for name in IDENTIFIERS):
        return True
    return (one.kind, one.fields) == (other.kind, other.fields)


def _with_free_key(entry: Entry, taken: Iterable[str]) -> Entry:
    """Return an entry whose key is not taken: BibTeX compares keys without regard to case."""
    if entry.key.lower() not in {key.lower() for key in taken}:
        return entry
    digits = hashlib.sha256(repr((entry.kind, entry.fields)).encode()).hexdigest()[:KEY_DIGITS]
    return replace(entry, key=f"{entry.key}-{digits}")


def _comment(text: str) -> str:
    """Return a comment: BibTeX would read an @ in it as the beginning of an entry."""
    return f"% {line(text).replace('@', '(at)')}"
