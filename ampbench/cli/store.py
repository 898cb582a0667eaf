"""``ampbench store``, which maintains results, and ``ampbench failures``, which shows failed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ampbench.console import say
from ampbench.errors import ResultsError, unknown
from ampbench.results import Record, theirs, upkeep
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.checksums import Damage
from ampbench.results.record import FAILURES
from ampbench.results.schema import run_cells
from ampbench.results.store import Store
from ampbench.text import line, to_json

MAX_LISTED = 10
"""Keys of runs with two results that are listed."""


def check_store(results: Path) -> int:
    """Print the content of a store; return 1 if a file is damaged."""
    store = open_store(results)
    found = upkeep.check(store)
    say(f"{line(str(results))}: {found.good} good results, {found.failed} failures, {len(found.damages)} damaged files")
    for damage in found.damages:
        say(f"  {line(str(damage))}")
    notes = {
        "results without stored samples; their scores are valid": found.bare,
        "records of schema 1, without checksums; only their keys were verified": found.unchecked,
        f"kept fits, {found.fit_bytes / 1e6:.1f} MB: 'ampbench store gc --fits' removes them": found.fits,
        "unreferenced files: 'ampbench store gc' removes the old ones": len(found.leftovers),
    }
    for note, count in notes.items():
        if count:
            say(f"  {count} {note}")
    if isinstance(store, Bundle):
        return _check_bundle(store, len(found.damages))
    if found.damages:
        say("damaged results count as missing: the same 'ampbench run' repeats them")
    return _check_bundles(store) or (1 if found.damages else 0)


def _check_bundle(bundle: Bundle, damages: int) -> int:
    """Print what a bundle says of itself; return 1 if a file is damaged."""
    about = bundle.manifest
    says = {"title": about.title, "group": about.group, "licence": about.licence, "authors": ", ".join(about.authors)}
    for name, text in says.items():
        say(f"  {name}: {line(text) or 'not stated'}")
    if damages:
        say("a bundle is whole or refused: get it again from where it was published")
        return 1
    bundle.verify()
    return 0


def _check_bundles(store: Store) -> int:
    """Verify and print the bundles in a results directory; return 1 if one is damaged."""
    found, faults = theirs.bundles(store)
    for part in found:
        assert isinstance(part.store, Bundle)
        try:
            part.store.verify()
        except ResultsError as error:
            faults.append(error)
            continue
        about = part.store.manifest
        say(
            f"  results of {line(part.origin)}: {about.results} good, {about.failures} failures, licence "
            f"{line(about.licence) or 'not stated'}, in {line(str(part.store.directory.relative_to(store.directory)))}"
        )
    for fault in faults:
        say(f"  {line(str(fault))}")
    return 1 if faults else 0


def merge_stores(sources: Sequence[Path], into: Path, ours: bool) -> int:
    """Copy the records of several stores into one; return 1 if a source has damaged files.

    Bundles are put beside one's own results, as those of another group, unless they are said to be ours.
    """
    target, opened = Store(into), list(map(open_store, sources))
    own = [store for store in opened if ours or not isinstance(store, Bundle)]
    shared = [store for store in opened if isinstance(store, Bundle) and not ours]
    for store in own:
        if isinstance(store, Bundle):
            store.verify()
        found, faults = theirs.bundles(store)
        for fault in faults:
            raise fault
        shared += [part.store for part in found if isinstance(part.store, Bundle)]
    done = upkeep.merge(own, target)
    if own:
        say(f"{line(str(into))}: {done.copied} records copied, {done.present} were already present")
    for key in done.different:
        say(f"  {line(key)} has other scores in the target, which are kept")
    for damage in done.damages:
        say(f"  left out: {line(str(damage))}")
    for bundle in shared:
        _print_adoption(theirs.adopt(bundle, target), bundle, into)
    return 1 if done.damages else 0


def _print_adoption(done: theirs.Adoption, bundle: Bundle, into: Path) -> None:
    say(
        f"{line(str(into))}: {done.added} results of {line(done.origin)} added beside ours, {done.present} were "
        f"already present; licence: {line(bundle.manifest.licence) or 'not stated'}"
    )
    if done.different:
        say(f"  {len(done.different)} runs have other results of ours under the same key; both are kept:")
    for key in done.different[:MAX_LISTED]:
        say(f"  {line(key)}")
    if len(done.different) > MAX_LISTED:
        say(f"  … and {len(done.different) - MAX_LISTED} more")


def collect_garbage(results: Path, failed: bool, damaged: bool, fits: bool, dry: bool) -> int:
    """Remove unreferenced files, and print their paths."""
    for path in (removed := upkeep.collect(Store(results), failed, damaged, fits, dry)):
        say(f"  {line(str(path))}")
    for damage in upkeep.check(Store(results)).damages if damaged else ():
        if upkeep.is_true_folder(damage.path):
            say(f"  kept: {line(str(damage))}; remove this folder by hand")
    say(f"{len(removed)} files {'would be ' if dry else ''}removed")
    return 0


def show_failures(results: Path, kinds: Sequence[str], with_traceback: bool, as_json: bool) -> int:
    """Print failed runs; failures of one fit with equal messages are grouped."""
    for kind in kinds:
        if kind not in FAILURES:
            raise unknown("kind of failure", kind, FAILURES)
    store = open_store(results)
    found = list(store.scan())
    damages = [each for each in found if isinstance(each, Damage)]
    failures = [each.record for each in found if not isinstance(each, Damage) and not each.record.ok]
    failures = [record for record in failures if not kinds or record.kind in kinds]
    if as_json:
        store.warn_of(damages)
        say(to_json([_row(record) for record in failures]))
        return 0
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in sorted(failures, key=lambda record: (record.run.fit_key, record.run.observation)):
        groups.setdefault((*map(str, record.run.fit_key), _kind(record), record.error), []).append(record)
    for members in groups.values():
        _print_failure(members, with_traceback)
    for damage in damages:
        say(f"damaged: {line(str(damage))}")
    _print_closing(failures, len(found), len(damages))
    return 0


def _print_failure(members: Sequence[Record], with_traceback: bool) -> None:
    run, first = members[0].run, members[0]
    numbers = ", ".join(str(record.run.observation) for record in members)
    say(f"{_kind(first)}: {line(run.task)}  {line(run.method)}")
    say(f"  budget {run.budget}  seed {run.seed}  observation{'s' if len(members) > 1 else ''} {numbers}")
    say(f"  {line(first.error)}")
    if with_traceback and first.traceback:
        say("    " + first.traceback.rstrip().replace("\n", "\n    "))
    say()


def _print_closing(failures: Sequence[Record], total: int, damaged: int) -> None:
    count = Counter(map(_kind, failures))
    kinds = ", ".join(f"{number} {kind}" for kind, number in count.most_common())
    say(f"{len(failures)} of {total} runs failed{': ' + kinds if kinds else ''}; {damaged} damaged")
    for kind in count:
        if kind in FAILURES:
            say(f"  {kind}: {FAILURES[kind]}")


def _kind(record: Record) -> str:
    return line(record.kind) or "error"


def _row(record: Record) -> dict[str, object]:
    cells = {"kind": _kind(record), "error": record.error, "traceback": record.traceback, "finished": record.finished}
    return run_cells(record.run) | cells
