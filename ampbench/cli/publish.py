"""``ampbench publish``, which writes a bundle, and the lines of ``ampbench store`` about bundles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ampbench import registry
from ampbench.console import document, note, say
from ampbench.errors import UsageError
from ampbench.reporting.cff import citation_file
from ampbench.reporting.citations import cite_runs
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.manifest import About, Manifest
from ampbench.results.manifest import about as described
from ampbench.results.packed import CITATION, REFERENCES
from ampbench.results.publication import Held, held, repeated
from ampbench.results.publication import publish as write
from ampbench.results.store import Store
from ampbench.results.theirs import Adoption, origin_of
from ampbench.running.sweep import chosen
from ampbench.text import line

MAX_LISTED = 10
"""Keys of runs with two results that are listed."""


def publish(
    sources: Sequence[Path],
    output: Path,
    select: Sequence[str],
    samples: bool | None,
    says: Mapping[str, object],
    as_json: bool = False,
    latest: bool = False,
) -> None:
    """Write results into a bundle, and print what it holds.

    Arguments:
        sources: results directories and bundles, which are published together.
        output: the bundle.
        select: conditions on the runs; see :func:`ampbench.running.sweep.chosen`.
        samples: whether to publish posterior samples; None if the first bundle among the sources decides.
        says: title, group, authors and licence, where they are given.
        as_json: print one JSON object instead.
        latest: leave out results that were repeated later, with other versions or defaults.

    Raises:
        UsageError: an impossible option, or no results.
        ResultsError: there are no such results, a file is damaged, or the bundle cannot be written.
    """
    stores = list(map(open_store, sources))
    made_before = [made for made in map(_manifest, stores) if made]
    about = _about(made_before, says)
    every = {each.key: each for each in held(stores)}
    older = repeated(list(every.values())) if latest else []
    for each in older:
        del every[each.key]
    runs = chosen([each.stored.record.run for each in every.values()], select)
    found = [every[run.key] for run in runs]
    versions = sorted({each.stored.record.versions.get("ampbench", "") for each in found} - {""})
    references = cite_runs(registry.load(), runs, versions)

    def texts(manifest: Manifest) -> dict[str, str]:
        return {CITATION: citation_file(manifest), REFERENCES: str(references)}

    with_samples = any(made.samples for made in made_before[:1]) if samples is None else samples
    made, is_new = write(found, output, about, texts, with_samples, older)
    size = output.stat().st_size
    if as_json:
        says_of = made.model_dump(exclude={"files"})
        document({"bundle": str(output), "bytes": size, "written": is_new, "files": len(made.files) + 1, **says_of})
        return
    unchanged = "" if is_new else ", unchanged"
    say(f"{line(str(output))}: {made.results} results, {made.failures} failures, {size / 1e6:.1f} MB{unchanged}")
    if older:
        note(f"{len(older)} results are left out: they were repeated later, with other versions or defaults")
    _print_gaps(made, sum(not _has_samples(each) for each in found))
    note(f"read it in place of a directory: ampbench compare --results {line(str(output))}")


def _manifest(store: Store) -> Manifest | None:
    """Return what the publisher of a bundle, or of the study in a results directory, said."""
    packed = store.packed if isinstance(store, Bundle) else store.study
    return packed.manifest if packed else None


def _about(sources: Sequence[Manifest], says: Mapping[str, object]) -> About:
    """Return what the publisher says; what is not given is that of the first bundle among the sources."""
    given = described(**says)
    groups = list(dict.fromkeys(source.group for source in sources if source.group))
    if len(groups) > 1:
        raise UsageError(
            f"these results are of {groups[0]!r} and of {groups[1]!r}, and one bundle has those of one group; to put "
            "them beside each other: ampbench store merge"
        )
    if groups and given.group not in ("", groups[0]):
        raise UsageError(f"these results are of {groups[0]!r}, and cannot be published as those of {given.group!r}")
    own = {name: value for name, value in given.model_dump().items() if name in given.model_fields_set}
    first = sources[0].model_dump(include=set(About.model_fields)) if sources else {}
    return About(**(first | {"group": groups[0] if groups else ""} | own))


def _has_samples(each: Held) -> bool:
    """Whether the samples of a result are stored, if it has any."""
    return not each.stored.samples or each.store.exists(each.store.array(each.stored.samples))


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
