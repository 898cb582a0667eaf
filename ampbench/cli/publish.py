"""``ampbench publish``, which writes a bundle, and the lines of ``ampbench store`` about bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ampbench import registry
from ampbench.console import document, note, say
from ampbench.errors import ResultsError, UsageError
from ampbench.reporting.cff import citation_file
from ampbench.reporting.citations import cite_runs
from ampbench.results.bundle import CITATION, REFERENCES, Bundle, open_store
from ampbench.results.checksums import Damage
from ampbench.results.manifest import About, Manifest
from ampbench.results.manifest import about as described
from ampbench.results.publication import publish as write
from ampbench.results.store import Stored
from ampbench.results.theirs import Adoption, origin_of
from ampbench.running.sweep import chosen
from ampbench.text import line

MAX_LISTED = 10
"""Keys of runs with two results that are listed."""


def publish(
    results: Path, output: Path, select: Sequence[str], samples: bool, says: Mapping[str, object], as_json: bool = False
) -> None:
    """Write results into a bundle, and print what it holds.

    Arguments:
        results: a results directory, or a bundle of which a part is published.
        output: the bundle.
        select: conditions on the runs; see :func:`ampbench.running.sweep.chosen`.
        samples: whether to publish posterior samples.
        says: title, group, authors and licence, where they are given.

    Raises:
        UsageError: an impossible option, or no results.
        ResultsError: there are no such results, a file is damaged, or the bundle cannot be written.
    """
    store = open_store(results)
    about = _about(store.manifest if isinstance(store, Bundle) else None, says)
    entries = list(store.scan())
    if damages := [each for each in entries if isinstance(each, Damage)]:
        raise ResultsError(
            f"{len(damages)} of {len(entries)} records in {results} are damaged, so that it is not published: "
            f"{damages[0]}; run again what is damaged, or remove it by 'ampbench store gc --damaged'"
        )
    sound = {each.record.run.key: each for each in entries if isinstance(each, Stored)}
    runs = chosen([each.record.run for each in sound.values()], select)
    found = [sound[run.key] for run in runs]
    versions = sorted({each.record.versions["ampbench"] for each in found if "ampbench" in each.record.versions})
    references = cite_runs(registry.load(), runs, versions)

    def texts(manifest: Manifest) -> dict[str, str]:
        return {CITATION: citation_file(manifest), REFERENCES: str(references)}

    made = write(store, found, output, about, texts, samples)
    size = output.stat().st_size
    if as_json:
        says_of = made.model_dump(exclude={"files"})
        document({"bundle": str(output), "bytes": size, "files": len(made.files) + 1, **says_of})
        return
    say(f"{line(str(output))}: {made.results} results, {made.failures} failures, {size / 1e6:.1f} MB")
    _print_gaps(made, sum(not store.exists(store.array(each.samples)) for each in found if each.samples))
    note(f"read it in place of a directory: ampbench compare --results {line(str(output))}")


def _about(source: Manifest | None, says: Mapping[str, object]) -> About:
    """Return what the publisher says; of a part of a bundle, what is not given is that of the bundle."""
    given = described(**says)
    if source is None:
        return given
    if source.group and given.group not in ("", source.group):
        raise UsageError(f"these results are of {source.group!r}, and cannot be published as those of {given.group!r}")
    own = {name: value for name, value in given.model_dump().items() if name in given.model_fields_set}
    return About(**(source.model_dump(include=set(About.model_fields)) | own))


def _print_gaps(made: Manifest, bare: int) -> None:
    """Print what a reader of the bundle will miss."""
    if not made.licence:
        note("no licence is stated, so that nobody else may use the results: --licence CC-BY-4.0, for example")
    if not made.group:
        note("no group is stated, by which others would tell these results from theirs: --from NAME")
    if made.samples and bare:
        note(f"the samples of {bare} results are not stored, and not in the bundle")


def published_row(bundle: Bundle) -> dict[str, object]:
    """Return what a bundle says of itself, for JSON."""
    return {"path": str(bundle.directory), "origin": origin_of(bundle)} | bundle.manifest.model_dump(exclude={"files"})


def print_published(bundle: Bundle) -> None:
    """Print what a bundle says of itself."""
    about = bundle.manifest
    authors = f" by {line(', '.join(about.authors))}" if about.authors else ""
    say(
        f"  {line(origin_of(bundle))}: {line(about.title)}{authors}; {about.results} good results, {about.failures} "
        f"failures, licence {line(about.licence) or 'not stated'}, in {line(str(bundle.directory))}"
    )


def print_adoption(done: Adoption, into: Path) -> None:
    """Print how the results of a bundle were put beside one's own."""
    say(
        f"{line(str(into))}: {done.added} results of {line(done.origin)} added beside ours, {done.present} were "
        f"already there; licence: {line(done.licence) or 'not stated'}"
    )
    if done.repeated:
        equal = done.repeated - len(done.different)
        say(f"  {done.repeated} of them repeat runs of ours, {equal} with equal scores; both are kept")
    if done.different:
        say(f"  {len(done.different)} have other scores than ours:")
    for key in done.different[:MAX_LISTED]:
        say(f"  {line(key)}")
    if len(done.different) > MAX_LISTED:
        say(f"  … and {len(done.different) - MAX_LISTED} more")
