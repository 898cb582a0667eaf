"""``ampbench store``, which maintains results, and ``ampbench failures``, which shows failed runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ampbench import console
from ampbench.cli.publish import print_adoption, print_published, published_row
from ampbench.console import document, say
from ampbench.errors import unknown
from ampbench.results import Record, theirs, upkeep
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.checksums import Damage
from ampbench.results.record import FAILURES
from ampbench.results.schema import run_cells
from ampbench.results.store import Store
from ampbench.results.survey import survey
from ampbench.text import line


def check_store(results: Path, as_json: bool = False) -> int:
    """Print the content of a store; return 1 if a file is damaged."""
    store = open_store(results)
    found = upkeep.check(store)
    if as_json:
        counts = {name: getattr(found, name) for name in ("good", "failed", "bare", "unchecked", "fits", "fit_bytes")}
        shared = [published_row(part) for part in found.shared]
        counts |= {"leftovers": len(found.leftovers), "published": shared}
        document(counts | {"damages": _damages(found.damages)})
        return 1 if found.damages else 0
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
            console.note(f"  {count} {note}")
    for part in found.shared:
        print_published(part)
    if found.damages and isinstance(store, Bundle):
        console.note("a bundle is whole or refused: get it again from where it was published")
    elif found.damages:
        console.note("damaged results count as missing: the same 'ampbench run' repeats them")
    return 1 if found.damages else 0


def merge_stores(sources: Sequence[Path], into: Path, ours: bool = False, as_json: bool = False) -> int:
    """Copy the records of several stores into one; return 1 if a source has damaged files.

    Bundles are put beside one's own results, as those of another group, unless they are said to be ours.
    """
    target, opened = Store(into), list(map(open_store, sources))
    own = [store for store in opened if ours or not isinstance(store, Bundle)]
    done = upkeep.merge(own, target)
    adopted = [theirs.adopt(bundle, target) for bundle in theirs.to_adopt(opened, ours)]
    if as_json:
        counts = {"copied": done.copied, "present": done.present, "different": list(done.different)}
        document(counts | {"damages": _damages(done.damages), "published": list(map(asdict, adopted))})
        return 1 if done.damages else 0
    if own:
        say(f"{line(str(into))}: {done.copied} records copied, {done.present} were already present")
    for adoption in adopted:
        print_adoption(adoption, into)
    for key in done.different:
        say(f"  {line(key)} has other scores in {line(str(done.sources[key]))}; those in {line(str(into))} are kept")
    for damage in done.damages:
        say(f"  left out: {line(str(damage))}")
    return 1 if done.damages else 0


def collect_garbage(results: Path, failed: bool, damaged: bool, fits: bool, dry: bool, as_json: bool = False) -> int:
    """Remove unreferenced files, and print their paths."""
    removed = upkeep.collect(Store(results), failed, damaged, fits, dry)
    damages = upkeep.check(Store(results)).damages if damaged else ()
    kept = [each for each in damages if upkeep.is_true_folder(each.path)]
    if as_json:
        document({"removed": [str(path) for path in removed], "dry_run": dry, "kept": _damages(kept)})
        return 0
    for path in removed:
        say(f"  {line(str(path))}")
    for damage in kept:
        say(f"  kept: {line(str(damage))}; remove this folder by hand")
    say(f"{len(removed)} files {'would be ' if dry else ''}removed")
    return 0


def _damages(damages: Iterable[Damage]) -> list[dict[str, str]]:
    """Return rows for JSON."""
    return [{"path": str(each.path), "reason": each.reason} for each in damages]


def show_failures(results: Path, kinds: Sequence[str], with_traceback: bool, as_json: bool) -> int:
    """Print failed runs; failures of one fit with equal messages are grouped."""
    for kind in kinds:
        if kind not in FAILURES:
            raise unknown("kind of failure", kind, FAILURES)
    store = open_store(results)
    taken = survey(store)
    damages, entries = taken.damages, taken.entries
    failures = [entries.stored(i).record for i in np.flatnonzero(~entries.ok).tolist()]
    failures = [record for record in failures if not kinds or record.kind in kinds]
    if as_json:
        store.warn_of(damages)
        document([failure_row(record) for record in failures])
        return 0
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in sorted(failures, key=lambda record: (record.run.fit_key, record.run.observation)):
        groups.setdefault((*map(str, record.run.fit_key), _kind(record), record.error), []).append(record)
    for members in groups.values():
        _print_failure(members, with_traceback)
    for damage in damages:
        say(f"damaged: {line(str(damage))}")
    _print_closing(failures, len(entries) + len(damages), len(damages))
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
            console.note(f"  {kind}: {FAILURES[kind]}")


def _kind(record: Record) -> str:
    return line(record.kind) or "error"


def failure_row(record: Record) -> dict[str, object]:
    """Return a failure as a row of :data:`ampbench.results.schema.FAILED_RUNS`."""
    cells = {"kind": _kind(record), "error": record.error, "traceback": record.traceback, "finished": record.finished}
    return run_cells(record.run) | cells
