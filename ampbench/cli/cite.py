"""``ampbench cite``: BibTeX of what results, or a request, use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ampbench import registry
from ampbench.console import document, say
from ampbench.errors import UsageError
from ampbench.reporting.citations import Citations, bundle_entry, cite, cite_runs
from ampbench.results.bundle import Bundle
from ampbench.results.theirs import gathered, origin_of, parts
from ampbench.running.sweep import chosen


def print_citations(
    results: Path | None, wanted: Mapping[str, Sequence[str]], select: Sequence[str], as_json: bool = False
) -> None:
    """Print the BibTeX of the components that results use, or that are named.

    Arguments:
        results: a results directory or a bundle; None to cite what is named.
        wanted: kind of component, such as ``methods`` → specs.
        select: conditions on the runs of the results.

    Raises:
        UsageError: results and components are both given, or a component is unknown.
        ResultsError: there are no such results.
        PluginError: what a component gives is no BibTeX.
    """
    named = [(kind, spec) for kind, specs in wanted.items() for spec in specs]
    if results is not None and named:
        raise UsageError(f"give either results or components to cite, not both: {results}, {named[0][1]}")
    if results is None and select:
        raise UsageError("--select selects runs of results; give a results directory or a bundle as well")
    loaded = registry.load()
    found = cite(loaded, named) if results is None else _of_results(loaded, results, select)
    if as_json:
        document(_json(found))
    else:
        say(str(found), end="")


def _of_results(loaded: registry.Registry, results: Path, select: Sequence[str]) -> Citations:
    entries = gathered(results).entries
    every = [entries.run(i) for i in range(len(entries))]
    runs = chosen(list(dict.fromkeys(every)), select)
    of_runs = set(runs)
    versions = {version for run, version in zip(every, entries.version("ampbench"), strict=True) if run in of_runs}
    found = cite_runs(loaded, runs, sorted(versions - {None, ""}))
    for part in parts(results):
        if isinstance(part.store, Bundle):
            found.add(bundle_entry(part.store.manifest, part.store.id), f"results of {origin_of(part.store)}")
    return found


def _json(found: Citations) -> dict[str, object]:
    entries = [
        {"kind": each.kind, "key": each.key, "fields": dict(each.fields), "for": found.uses[each.key]}
        for each in found.entries
    ]
    return {"entries": entries, "remarks": found.remarks}
