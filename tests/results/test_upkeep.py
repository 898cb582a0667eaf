"""Check, merge and clean up stores; real full disks where they can be mounted."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ampbench.errors import ResultsError
from ampbench.results import Record, Run, atomic, load, upkeep
from ampbench.results.record import Draw, Measured
from ampbench.results.store import Store

ROOT = Path(__file__).parents[2]
RUN = Run("task", "1", "method", "method:a=1", 10, 1, 0, 100, ("c2st",), ("torch==2.13.*",))
SAMPLES = np.zeros((100, 2), np.float32)
DRAW = Draw(1.0, 0.1, 10, "cpu", {}, "")
HOUR = 3600


def record(number: int, value: float = 0.5, error: str = "") -> Record:
    metrics = {} if error else {"c2st": Measured(value)}
    status, kind = ("failed", "error") if error else ("ok", "")
    run = replace(RUN, observation=number)
    return Record(run, status, error, "", metrics, 1.0, 0.1, 10, "cpu", "2026-01-01", {}, "", kind)


def fill(folder: Path, *numbers: int, value: float = 0.5) -> Store:
    store = Store(folder)
    for number in numbers:
        store.put_draw(replace(RUN, observation=number), SAMPLES + number, DRAW)
        store.put(record(number, value), SAMPLES + number)
    return store


def spoil(store: Store, number: int) -> None:
    path = store.runs / replace(RUN, observation=number).key / "record.json"
    path.write_text(path.read_text().replace('"value": 0.5', '"value": 0.1'))


def age(path: Path, hours: float) -> None:
    when = path.stat().st_mtime - hours * HOUR
    os.utime(path, (when, when))


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_check_counts_and_finds(tmp_path: Path) -> None:
    store = fill(tmp_path, 1, 2, 3, 4)
    store.put(record(5, error="boom"), None)
    assert upkeep.check(store) == upkeep.Inventory(good=4, failed=1)
    spoil(store, 1)
    draw = store.draws / f"{replace(RUN, observation=2).draw_key}.json"
    draw.write_text("")
    torn = store.array(store.find(record(3).run.key).samples)  # type: ignore[union-attr]
    torn.write_bytes(b"")
    store.array(store.find(record(4).run.key).samples).unlink()  # type: ignore[union-attr]
    (store.runs / f"{atomic.TEMPORARY_PREFIX}123").write_text("{")
    found = upkeep.check(store)
    assert (found.good, found.failed, found.bare) == (3, 1, 1)
    expected = {store.runs / record(1).run.key / "record.json", draw, torn}
    assert {damage.path for damage in found.damages} == expected
    assert [path.name for path in found.leftovers] == [f"{atomic.TEMPORARY_PREFIX}123"]


def test_check_reads_committed_results() -> None:
    found = upkeep.check(Store(ROOT / "results" / "backbone"))
    assert (found.good, found.failed, found.unchecked, found.bare) == (30, 0, 30, 30)
    assert not found.damages
    assert not found.leftovers


def test_merged_parts_are_the_whole(tmp_path: Path) -> None:
    """As if one machine had done everything; doing it again changes nothing."""
    whole = fill(tmp_path / "whole", 1, 2, 3, 4, 5)
    parts = [fill(tmp_path / "a", 1, 2, 3), fill(tmp_path / "b", 3, 4, 5)]
    target = Store(tmp_path / "c")
    done = upkeep.merge(parts, target)
    assert (done.copied, done.present, done.different, done.damages) == (5, 1, [], [])
    assert load(target.directory).equals(load(whole.directory))
    assert files(target.directory) == files(whole.directory)
    assert all(np.array_equal(target.samples(key), whole.samples(key)) for key in whole.all_keys())
    assert target.draw(RUN) is not None
    again = upkeep.merge([*parts, target], target)
    assert (again.copied, again.present) == (0, 11)
    assert files(target.directory) == files(whole.directory)


def test_merging_keeps_what_is_good(tmp_path: Path) -> None:
    target, source = fill(tmp_path / "target", 1, 2), fill(tmp_path / "source", 2, 3, 4, value=0.6)
    target.put(record(3, error="boom"), None)
    source.put(record(1, error="slow"), None)
    source.put(record(5, error="slow"), None)
    spoil(target, 1)
    path = source.runs / record(4).run.key / "record.json"
    path.write_text(path.read_text()[:-5])
    done = upkeep.merge([source], target)
    assert done.different == [record(2).run.key]
    assert [damage.path for damage in done.damages] == [path]
    values = {each.run.observation: each.metrics["c2st"].value if each.ok else each.error for each in target.records()}
    assert values == {1: "slow", 2: 0.5, 3: 0.6, 5: "slow"}
    found = upkeep.check(target)
    assert [damage.path.parent.name for damage in found.damages] == [record(1).run.key], "it was there before"


def test_damaged_samples_are_not_merged(tmp_path: Path) -> None:
    source = fill(tmp_path / "source", 1, 2)
    torn = source.array(source.find(record(1).run.key).samples)  # type: ignore[union-attr]
    torn.write_bytes(torn.read_bytes()[:-1])
    done = upkeep.merge([source], Store(tmp_path / "target"))
    assert {damage.path for damage in done.damages} == {torn}
    assert Store(tmp_path / "target").all_keys() == [record(2).run.key]


def test_committed_results_can_be_merged(tmp_path: Path) -> None:
    source = ROOT / "results" / "backbone"
    done = upkeep.merge([Store(source)], Store(tmp_path))
    assert (done.copied, done.damages) == (30, [])
    assert load(tmp_path).equals(load(source))


def test_stores_that_do_not_exist(tmp_path: Path) -> None:
    for act in (
        lambda: upkeep.check(Store(tmp_path / "none")),
        lambda: upkeep.collect(Store(tmp_path / "none")),
        lambda: upkeep.merge([Store(tmp_path / "none")], Store(tmp_path / "made")),
    ):
        with pytest.raises(ResultsError, match=r"no results directory .*none"):
            act()
    assert not list(tmp_path.iterdir())


def test_only_old_things_that_nobody_refers_to_are_removed(tmp_path: Path) -> None:
    store = fill(tmp_path, 1, 2)
    store.put(record(3, error="boom"), None)
    store.put(record(3), SAMPLES + 3)
    others = [
        tmp_path / "logs" / f"{atomic.TEMPORARY_PREFIX}x",
        tmp_path / "active" / "x.json",
        tmp_path / "runs" / "README",
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_text("not ours")
    sound = files(tmp_path)
    orphan, half = store.arrays / f"{'0' * 64}.npz", store.runs / RUN.key / f"{atomic.TEMPORARY_PREFIX}1"
    empty = store.runs / ("a" * 20) / f"{atomic.TEMPORARY_PREFIX}2"
    empty.parent.mkdir()
    superseded = store.runs / record(3).run.key / "failure.json"
    for path in (orphan, half, empty):
        path.write_text("")
    assert upkeep.collect(store) == [], "all of it may be in use"
    for path in tmp_path.rglob("*"):
        age(path, 2)
    age(half, -3)  # a clock was wrong: it comes from the future
    assert set(upkeep.collect(store, dry=True)) == {orphan, empty, superseded}
    assert orphan.exists()
    assert set(upkeep.collect(store)) == {orphan, empty, superseded}
    assert not empty.parent.exists()
    half.unlink()
    assert files(tmp_path) == sound - {str(superseded.relative_to(tmp_path))}


def test_a_wrong_clock_removes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(tmp_path, 1)
    (store.arrays / f"{'0' * 64}.npz").write_text("")
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert upkeep.collect(store) == []


def test_failures_and_damage_are_removed_on_demand(tmp_path: Path) -> None:
    store = fill(tmp_path, 1, 2)
    store.put(record(3, error="boom"), None)
    spoil(store, 1)
    assert [path.name for path in upkeep.collect(store, failed=True)] == ["failure.json"]
    assert [path.name for path in upkeep.collect(store, damaged=True)] == ["record.json"]
    assert store.all_keys() == [record(2).run.key]
    assert not upkeep.check(store).damages


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for some 60 files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k,nr_inodes=80", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(disk: Path) -> None:
    """What was written before stays whole; with room again, the same goes on."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"0" * 150_000)
    store = Store(disk / "results")
    with pytest.raises(ResultsError, match=r"cannot write .*: No space left on device; make room"):
        fill(store.directory, *range(1, 200))
    before = len(store.all_keys())
    found = upkeep.check(store)
    assert found.good >= 5
    assert not found.damages
    assert not found.leftovers or all(path.suffix == ".npz" for path in found.leftovers)
    ballast.unlink()
    for number in range(1, 200):
        if not store.done(replace(RUN, observation=number)):
            fill(store.directory, number)
            break
    assert upkeep.check(store).good == max(found.good + 1, before)


def test_a_read_only_disk(disk: Path) -> None:
    store = fill(disk / "results", 1, 2)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert load(store.directory)["c2st"].tolist() == [0.5, 0.5]
    assert upkeep.check(store).good == 2
    for act in (store.prepare, lambda: fill(store.directory, 3), lambda: upkeep.collect(store)):
        with pytest.raises(ResultsError, match=r"cannot write .*: Read-only file system"):
            act()


def test_cleaning_up_while_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a second old goes, over and over; results are neither lost nor torn, and no writer stumbles."""
    monkeypatch.setattr(upkeep, "GRACE_PERIOD_S", 1.0)
    store, stop = Store(tmp_path), threading.Event()
    store.prepare()
    removed: list[Path] = []
    failed: list[Exception] = []

    def clean() -> None:
        try:
            while not stop.is_set():
                removed.extend(upkeep.collect(store))
        except Exception as error:
            failed.append(error)

    cleaner = threading.Thread(target=clean)
    cleaner.start()
    garbage = [store.arrays / f"{i:064x}.npz" for i in range(40)]
    for number, path in enumerate(garbage, start=1):
        path.write_bytes(b"samples of no run")
        fill(tmp_path, number)
        time.sleep(0.06)
    stop.set()
    cleaner.join()
    assert not failed
    assert removed
    assert set(removed) <= set(garbage)
    found = upkeep.check(store)
    assert found.good == 40
    assert found.bare == 0
    assert {damage.path for damage in found.damages} == set(garbage) - set(removed)
