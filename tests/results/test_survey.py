"""Records that did not change are not read again; whatever changed is, and nothing is believed over a record."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from damaged_store import RECORDS, record_path, seal
from published_store import RUN, SAMPLES, fill, record, written

from ampbench.results import Record, index, load, stamps, standings, survey, validate
from ampbench.results.bundle import Bundle
from ampbench.results.checksums import Damage
from ampbench.results.entries import Builder, is_exact
from ampbench.results.frame import row
from ampbench.results.record import Check, Measured
from ampbench.results.schema import RESULTS
from ampbench.results.store import Store, Stored

COMMITTED = Path(__file__).parents[2] / "results"
Look = Callable[[], tuple[list[Stored | Damage], list[str]]]


@pytest.fixture(autouse=True)
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Indices of any size, which take any file for settled, in a folder of the test; returns this folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(survey, "MIN_NEW", 1)
    monkeypatch.setattr(standings, "MIN_NEW", 1)
    monkeypatch.setattr(stamps, "SETTLED_S", -1e9)
    return tmp_path / "cache" / "ampbench"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with results of observations 1 and 2, and a failure of observation 3."""
    return fill(tmp_path / "results")


@pytest.fixture
def look(store: Store, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Survey the store; return what was found, and the names of the files that were read for it."""
    read: list[str] = []
    opened = Store.opened

    def noting(self: Store, path: Path, limit: int) -> Any:
        read.append(str(path.relative_to(self.directory)))
        return opened(self, path, limit)

    def look() -> tuple[list[Stored | Damage], list[str]]:
        read.clear()
        with monkeypatch.context() as patched:
            patched.setattr(Store, "opened", noting)
            return list(survey.survey(store)), list(read)

    return look


def path_of(store: Store, number: int) -> Path:
    return store.runs / replace(RUN, observation=number).key / ("failure.json" if number == 3 else "record.json")


def edited(path: Path) -> str:
    """Return a record with another score of as many characters, and a checksum that is right."""
    return seal(json.loads(path.read_text().replace('"value": 0.5', '"value": 0.7')))


def test_what_did_not_change_is_not_read_again(store: Store, look: Look) -> None:
    first, read = look()
    assert {Path(name).parent.name for name in read} == set(store.all_keys())
    again, read = look()
    assert (again, read) == (first, [])
    assert again == list(store.scan())
    store.put(record(4), None)
    found, read = look()
    assert (len(found), [Path(name).parent.name for name in read]) == (4, [record(4).run.key])
    assert look()[1] == [], "the index was written again"


def rewrite(path: Path, times: tuple[int, int]) -> None:
    path.write_text(edited(path))


def rewrite_at_its_time(path: Path, times: tuple[int, int]) -> None:
    rewrite(path, times)
    os.utime(path, ns=times)


def replace_at_its_time(path: Path, times: tuple[int, int]) -> None:
    other = path.with_name(".other")
    other.write_text(edited(path))
    os.utime(other, ns=times)
    other.rename(path)


def link_elsewhere(path: Path, times: tuple[int, int]) -> None:
    other = path.with_name("elsewhere")
    other.write_text(edited(path))
    os.utime(other, ns=times)
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [rewrite, rewrite_at_its_time, replace_at_its_time, link_elsewhere])
def test_an_edit_of_the_same_size_is_noticed(store: Store, look: Look, change: Callable[..., None]) -> None:
    path = path_of(store, 1)
    path.write_text(seal(json.loads(path.read_text())))
    before, about = look()[0], path.stat()
    change(path, (about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_size == about.st_size
    found, read = look()
    assert str(path.relative_to(store.directory)) in read
    assert found == list(store.scan()) != before
    scores = [each.record.metrics["c2st"].value for each in found if isinstance(each, Stored) and each.record.ok]
    assert sorted(scores) == [0.5, 0.7]


def test_a_record_is_kept_only_when_a_later_change_has_a_later_time(
    store: Store, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit within one tick of the clock leaves the stamp as it was; the record was too young to be kept."""
    monkeypatch.setattr(stamps, "SETTLED_S", 10.0)
    look()
    monkeypatch.setattr(stamps, "of", lambda found: (1, found.st_size, 1, 1))  # no change is seen any more
    path = path_of(store, 1)
    path.write_text(edited(path))
    assert look()[0] == list(store.scan())
    assert not stamps.is_settled((1, 1, 1, time.time_ns()), time.time_ns())
    assert stamps.is_settled((1, 1, 1, time.time_ns() - 11 * 10**9), time.time_ns())
    assert not stamps.is_settled((1, 1, 1, time.time_ns() + 10**9), time.time_ns()), "a clock is wrong"


@pytest.mark.parametrize("number", [1, 3])
def test_deleted_records_are_gone(store: Store, look: Look, number: int) -> None:
    look()
    path_of(store, number).unlink()
    found, read = look()
    assert (len(found), {Path(name).parent.name for name in read}) == (2, {path_of(store, number).parent.name})
    shutil.rmtree(store.runs)
    assert look() == ([], [])


LARGE = {"a million fields", "text of 20 MB"}


@pytest.mark.parametrize("damage", sorted(RECORDS.keys() - LARGE))
def test_every_damage_is_named_as_without_an_index(store: Store, look: Look, damage: str) -> None:
    measured = Measured(0.5, "", {"standard_error": 0.1})
    store.put_checks(Stored(replace(record(2), metrics={"mmd": measured}), "", 2), [Check("shifted", 2.0, 1.5)])
    look()
    RECORDS[damage](record_path(store.directory))
    found, _ = look()
    assert found == list(store.scan()) == look()[0]
    assert sum(isinstance(each, Damage) for each in found) == 1


def test_a_good_result_takes_the_place_of_a_failure(store: Store, look: Look) -> None:
    look()
    store.put(record(3), None)
    assert path_of(store, 3).exists(), "the failure still lies beside it"
    assert all(isinstance(each, Stored) and each.record.ok for each in look()[0])
    (path_of(store, 3).parent / "record.json").write_text("{")
    assert look()[0] == list(store.scan())
    assert sum(each.record.ok for each in look()[0] if isinstance(each, Stored)) == 2


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(b"two_moons")] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def shorter(path: Path) -> None:
    """Columns of several lengths, each whole."""
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "budget": arrays["budget"][:-1]})


def codes_beyond(path: Path) -> None:
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, "task.codes": arrays["task.codes"] + 100})


def objects(path: Path) -> None:
    np.savez(path, **{**dict(np.load(path)), "budget": np.array([{}, {}, {}], dtype=object)})


@pytest.mark.parametrize("damage", [tear, flip, empty, fifo, folder, shorter, codes_beyond, objects])
def test_a_damaged_index_is_none(store: Store, look: Look, indexed: Path, damage: Callable[[Path], None]) -> None:
    expected, _ = look()
    (path,) = indexed.glob("*-records-*.npz")
    damage(path)
    found, read = look()
    assert found == expected
    assert len(read) == 3 + 1, "all are read, and that the failure has no good result"
    assert look()[0] == expected


def test_an_index_of_another_store_user_or_version_is_none(
    store: Store, look: Look, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy has other stamps, so that even an index that names it is not believed."""
    expected, _ = look()
    copy = shutil.copytree(store.directory, tmp_path / "copy")
    path = index.place(copy)
    assert path is not None
    shutil.copy(next(indexed.glob("*-records-*.npz")), path)
    changed = path_of(Store(copy), 1)
    changed.write_text(edited(changed))
    assert list(survey.survey(Store(copy))) == list(Store(copy).scan()) != expected
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert len(look()[1]) > 0
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(indexed.parent))
    monkeypatch.setattr(index, "_version", lambda: "another")
    assert index.place(store.directory) not in list(indexed.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_that_cannot_be_written(store: Store, look: Look, indexed: Path) -> None:
    indexed.parent.mkdir(mode=0o500)
    assert look()[0] == look()[0] == list(store.scan())
    indexed.parent.chmod(0o700)
    for folder in (*store.runs.iterdir(), store.runs, store.directory):
        folder.chmod(0o500)
    assert (look()[1] != [], look()[1]) == (True, [])


@pytest.mark.parametrize("value", ["/dev/null/nowhere", "relative"])
def test_there_may_be_no_folder_for_caches(
    store: Store, look: Look, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert look()[0] == look()[0] == list(store.scan())


def test_reading_changes_no_file_of_the_store(store: Store, look: Look, indexed: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in store.directory.rglob("*"))
    look()
    load(store.directory)
    assert before == sorted((path, path.stat().st_mtime_ns) for path in store.directory.rglob("*"))
    assert indexed.stat().st_mode & 0o777 == 0o700


def test_indices_that_nobody_uses_are_removed(store: Store, look: Look, indexed: Path) -> None:
    indexed.mkdir(parents=True)
    old, left, young, other = (indexed / name for name in ("old.npz", ".writing-old", "young.npz", "old.txt"))
    for path in (old, left, young, other):
        path.touch()
        if path != young:
            os.utime(path, (0, 0))
    look()
    assert [path.exists() for path in (old, left, young, other)] == [False, False, True, True]


def test_bundles_have_an_index_too(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle(written(store, tmp_path / "a.zip"))
    expected = list(bundle.scan())
    assert list(survey.survey(bundle)) == expected
    monkeypatch.setattr(Bundle, "opened", lambda *_: pytest.fail("it was read again"))
    assert list(survey.survey(bundle)) == expected
    monkeypatch.undo()
    store.put(record(4), None)
    assert len(list(survey.survey(Bundle(written(store, tmp_path / "a.zip"))))) == 4


def test_samples_are_verified_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [record(number).run.key for number in (1, 2, 3)]
    assert [standings.standings(store, keys).done(key) for key in keys] == [True, True, False]
    check = Store.check_array
    monkeypatch.setattr(Store, "check_array", lambda *_: pytest.fail("it was verified again"))
    assert [standings.standings(store, keys).done(key) for key in keys] == [True, True, False]
    monkeypatch.setattr(Store, "check_array", check)
    found = store.find(keys[0])
    assert isinstance(found, Stored)
    path = store.array(found.samples)
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    stood = standings.standings(store, keys)
    assert (stood.damages, stood.done(keys[0])) == ({keys[0]: store.standing(record(1).run)}, False)


def unusual() -> list[Record]:
    """Records at the edges of what may be stored."""
    checks = (Check("shifted", 2, 1.5, "theta[1] by +2", "how"), Check("odd", 0.0, 0))
    measured = {"c2st": Measured(1, "", {"b": 1, "a": "θ", "c": True}), "x y": Measured(0.1), "value c2st": Measured(0)}
    return [
        replace(record(1), checks=checks, metrics=measured),
        replace(record(2), checks=(), metrics={}, versions={}),
        replace(record(3, error="boom\n\N{SNOWMAN}"), metrics={"mmd": Measured(None, "NaN")}, traceback="\x00"),
        replace(record(4), run=replace(RUN, packages=("a b", "c"), metrics=(), seed=2**62), simulations=2**53 + 1),
        replace(record(5), versions={"z": "1", "a": "2"}, metrics=dict(reversed(measured.items()))),
    ]


def test_columns_hold_records_exactly() -> None:
    builder = Builder()
    for each in unusual():
        assert is_exact(each)
        builder.add(Stored(each, "", 2))
    entries = builder.entries()
    made = [entries.stored(i).record for i in range(len(entries))]
    assert made == unusual()
    assert [list(each.metrics) for each in made] == [list(each.metrics) for each in unusual()]
    assert [list(each.versions) for each in made] == [list(each.versions) for each in unusual()]
    assert not is_exact(replace(record(1), fit_seconds=2**53 + 1))


def by_rows(records: list[Record]) -> pd.DataFrame:
    """The frame of records by its definition: a row for each of them."""
    frame = pd.DataFrame([row(each) for each in records])
    frame = frame.astype({name: column.dtype for name, column in RESULTS.described(frame.columns).items()})
    order = ["task", "method", "budget", "seed", "observation", "key", "origin"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


@pytest.mark.parametrize("name", ["classic", "without_density", "unusual"])
def test_frames_are_those_of_the_records(name: str, tmp_path: Path) -> None:
    directory = COMMITTED / name if name != "unusual" else tmp_path / "results"
    if name == "unusual":
        for each in unusual():
            Store(directory).put(each, None)
    elif not directory.exists():
        pytest.skip("a source distribution leaves results/ out")
    expected = by_rows(list(Store(directory).records()))
    for _ in range(2):  # without an index, and with one
        pd.testing.assert_frame_equal(load(directory), expected)
    pd.testing.assert_frame_equal(validate(expected), expected)  # records are validated when they are read


def keep_reading(directory: Path) -> None:
    """Survey a store again and again, and write an index each time."""
    survey.MIN_NEW, survey.NEW_SHARE, stamps.SETTLED_S = 0, 0.0, -1e9
    while True:
        survey.survey(Store(directory))


@pytest.mark.slow
def test_readers_are_killed_while_others_write(tmp_path: Path, indexed: Path) -> None:
    """Whenever a reader dies, and whoever writes, what is shown is what the records say."""
    store = Store(tmp_path / "results")
    store.put(record(1), SAMPLES)
    code = (
        f"import pathlib, runpy; runpy.run_path({__file__!r})['keep_reading'](pathlib.Path({str(store.directory)!r}))"
    )
    paths = [str(Path(__file__).parents[1] / "importable"), *sys.path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    readers = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    try:
        until = time.monotonic() + 60
        while not list(indexed.glob("*.npz")) and time.monotonic() < until:
            time.sleep(0.05)
        for number in range(2, 9):
            store.put(record(number), None)
            path = path_of(store, 1)
            path.write_text(seal(json.loads(path.read_text()) | {"fit_seconds": float(number)}))
            assert list(survey.survey(store)) == list(store.scan())
        readers[0].send_signal(signal.SIGKILL)
        readers[0].wait()
        assert list(survey.survey(store)) == list(store.scan())
        assert readers[1].poll() is None
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
    assert list(survey.survey(store)) == list(store.scan())
