"""The store under damage, under several writers, when it cannot be written, and when the writer is killed."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench.errors import ResultsError
from ampbench.results import Record, Run, atomic
from ampbench.results.checksums import Damage
from ampbench.results.record import Draw, Measured
from ampbench.results.store import Store, Stored

RUN = Run("task", "1", "method", "method:a=1", 10, 1, 0, 100, ("c2st",), ("torch==2.13.*",), ("scikit-learn==1.9.*",))
SAMPLES = np.linspace(0, 1, 200, dtype=np.float32).reshape(100, 2)
DRAW = Draw(1.0, 0.1, 10, "cpu", {"torch": "2.13.0"}, "")


def record(run: Run = RUN, value: float = 0.6, error: str = "") -> Record:
    metrics = {} if error else {"c2st": Measured(value, "", {"folds": 5})}
    status, kind = ("failed", "error") if error else ("ok", "")
    when = "2026-01-01T00:00:00+00:00"
    return Record(run, status, error, "", metrics, 1.0, 0.1, 10, "cpu", when, {"torch": "2.13.0"}, "", kind, 2.0)


def record_path(folder: Path, run: Run = RUN) -> Path:
    return folder / "runs" / run.key / "record.json"


def sample_path(folder: Path) -> Path:
    (path,) = (folder / "samples").glob("*.npz")
    return path


def test_round_trip(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "down")
    store.put(record(), SAMPLES)
    assert store.get(RUN.key) == record()
    assert np.array_equal(store.samples(RUN.key), SAMPLES)
    assert store.done(RUN)
    assert store.get("0" * 20) is None
    assert [path for path in tmp_path.rglob("*") if path.name.startswith(".")] == []


@pytest.mark.parametrize("key", ["", "../../x", "0" * 19, "0" * 21, "G" * 20, "a" * 19 + "\n", "/" * 20])
def test_what_is_no_key_reaches_no_file(tmp_path: Path, key: str) -> None:
    with pytest.raises(ResultsError, match="is no key of a run"):
        Store(tmp_path).get(key)


def test_names_do_not_reach_paths(tmp_path: Path) -> None:
    hostile = '../../../x\n"[red]\x1b[31m\x00'
    run = replace(RUN, task=hostile, method=hostile, resolved=hostile, metrics=(hostile,), packages=(hostile,))
    store = Store(tmp_path / "store")
    store.put(replace(record(run), status="failed", error=hostile, metrics={hostile: Measured(0.5)}), SAMPLES)
    store.put_draw(run, SAMPLES, DRAW)
    found = store.get(run.key)
    assert found is not None
    assert found.run == run
    assert {path.name for path in tmp_path.iterdir()} == {"store"}
    assert all(path.name.replace(".", "").isalnum() for path in (tmp_path / "store").rglob("*"))


def test_a_good_result_stays_and_a_failure_gives_way(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(error="first"), None)
    store.put(record(error="second"), None)
    failed = store.get(RUN.key)
    assert failed is not None
    assert (failed.error, failed.kind, store.done(RUN)) == ("second", "error", False)
    store.put(record(value=0.7), SAMPLES)
    store.put(record(error="a slower machine"), None)
    store.put(record(value=0.8), SAMPLES)
    assert store.get(RUN.key) == record(value=0.7)


def test_a_result_belongs_to_versions_of_packages() -> None:
    others = [replace(RUN, packages=("torch==2.14.*",)), replace(RUN, metric_packages=()), replace(RUN, packages=())]
    assert len({RUN.key, *(run.key for run in others)}) == 4
    assert {RUN.question} == {run.question for run in others}
    assert replace(RUN, metrics=("mmd",), metric_packages=()).draw_key == RUN.draw_key
    assert others[0].draw_key != RUN.draw_key


def test_keys_of_the_first_schema_stay_valid() -> None:
    """The key of a committed record, whose run names no packages."""
    resolved = "npe:batch_size=200,density_estimator=nsf,learning_rate=0.0005,max_epochs=1000"
    run = Run("two_moons", "1", "npe", resolved, 10000, 3, 0, 10000, ("c2st:folds=5,seed=1", "mmd"))
    assert run.key == "042bcc7a2e4f02b933b6"


def test_a_draw_waits_for_metrics(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.draw(RUN) is None
    store.put_draw(RUN, SAMPLES, DRAW)
    found = store.draw(replace(RUN, metrics=("mmd",), metric_packages=()))
    assert found is not None
    assert found[0] == DRAW
    assert np.array_equal(found[1], SAMPLES)
    assert store.draw(replace(RUN, observation=2)) is None
    store.put(record(), SAMPLES)
    assert len(list((tmp_path / "samples").iterdir())) == 1, "the samples of draw and record are one file"


def resealed(text: str, **changes: object) -> str:
    """A record with some fields changed, and a checksum that fits nothing."""
    return json.dumps(json.loads(text) | changes)


RECORD_DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "torn": lambda text: text[: len(text) // 2],
    "torn at the end": lambda text: text[:-1],
    "other budget": lambda text: text.replace('"budget": 10', '"budget": 99'),
    "better value": lambda text: text.replace('"value": 0.6', '"value": 0.5'),
    "ok, not failed": lambda text: text.replace('"status": "ok"', '"status": "okay"'),
    "older schema": lambda text: text.replace('"schema": 2', '"schema": 1'),
    "newer schema": lambda text: text.replace('"schema": 2', '"schema": 3'),
    "no checksum": lambda text: resealed(text, checksum=None),
    "other samples": lambda text: resealed(text, samples="0" * 64),
    "field renamed": lambda text: text.replace('"status"', '"stauts"'),
    "array": lambda text: "[1, 2]",
    "number": lambda text: "1",
    "nan": lambda text: text.replace('"value": 0.6', '"value": NaN'),
    "deep": lambda text: "[" * 100_000,
    "not text": lambda text: "\ud800" + text,
    "a bit": lambda text: text.replace("cpu", "cqu"),
}


@pytest.mark.parametrize("damage", RECORD_DAMAGE)
def test_a_damaged_record_is_found_and_repeated(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.put(record(), SAMPLES)
    path = record_path(tmp_path)
    path.write_bytes(RECORD_DAMAGE[damage](path.read_text()).encode(errors="surrogatepass"))
    found = store.find(RUN.key)
    assert isinstance(found, Damage)
    assert found.path == path
    assert not store.done(RUN)
    assert list(store.records()) == []
    with pytest.raises(ResultsError, match=r"record.json is damaged"):
        store.get(RUN.key)
    store.put(record(), SAMPLES)
    assert store.done(RUN)


def test_a_record_in_another_folder_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(), SAMPLES)
    other = replace(RUN, budget=20)
    (tmp_path / "runs" / RUN.key).rename(tmp_path / "runs" / other.key)
    assert not store.done(other)
    assert "does not belong to its folder" in str(store.find(other.key))


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    record_path(tmp_path).mkdir(parents=True)
    (tmp_path / "runs" / ("a" * 20)).write_text("a file where a folder should be")
    store = Store(tmp_path)
    assert isinstance(store.find(RUN.key), Damage)
    assert store.find("a" * 20) is None
    assert len(list(store.scan())) == 1


@pytest.mark.parametrize("damage", ["torn", "empty", "bit", "swapped", "pickle"])
def test_damaged_samples_are_found_and_repeated(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    store.put_draw(RUN, SAMPLES, DRAW)
    store.put(record(), SAMPLES)
    path = sample_path(tmp_path)
    content = path.read_bytes()
    if damage == "swapped":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, theta=SAMPLES + 1)
        path.write_bytes(buffer.getvalue())
    elif damage == "pickle":
        np.savez(path, theta=np.array([Bomb(tmp_path)], dtype=object))
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"torn": content[:-10], "empty": b"", "bit": flipped}[damage])
    assert not store.done(RUN)
    assert store.draw(RUN) is None
    with pytest.raises(ResultsError, match="SHA-256"):
        store.samples(RUN.key)
    store.put_draw(RUN, SAMPLES, DRAW)
    store.put(record(), SAMPLES)
    assert store.done(RUN)
    assert store.draw(RUN) is not None
    assert not (tmp_path / "unpickled").exists()


class Bomb:
    """Tells that it was unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder / "unpickled"),)


def test_samples_of_the_first_schema_are_not_unpickled(tmp_path: Path) -> None:
    """They lie in the folder of the run, without a checksum."""
    store = Store(tmp_path)
    old = replace(RUN, packages=(), metric_packages=())
    store.put(record(old), None)
    content = json.loads(record_path(tmp_path, old).read_text())
    del content["checksum"], content["samples"], content["kind"], content["metric_seconds"]
    del content["run"]["packages"], content["run"]["metric_packages"]
    record_path(tmp_path, old).write_text(json.dumps(content | {"schema": 1}))
    beside = record_path(tmp_path, old).with_name("samples.npz")
    with pytest.raises(ResultsError, match="only its numbers were kept"):
        store.samples(old.key)
    np.savez(beside, theta=SAMPLES)
    assert np.array_equal(store.samples(old.key), SAMPLES)
    np.savez(beside, theta=np.array([Bomb(tmp_path)], dtype=object))
    with pytest.raises(ResultsError, match=r"samples.npz is damaged"):
        store.samples(old.key)
    beside.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ResultsError, match=r"samples.npz is damaged"):
        store.samples(old.key)
    assert not (tmp_path / "unpickled").exists()


def test_samples_that_were_left_behind_are_no_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(record(), SAMPLES)
    sample_path(tmp_path).unlink()
    assert store.done(RUN)
    with pytest.raises(ResultsError, match="only its numbers were kept"):
        store.samples(RUN.key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*record().__dataclass_fields__, "key", "schema", "samples", "checksum"]), value=JSON)
def test_no_value_of_any_field_breaks_reading(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object
) -> None:
    """Neither in a record with a checksum nor in one of the first schema, which had none."""
    store = Store(tmp_path_factory.mktemp("fuzz"))
    for schema, run in ((2, RUN), (1, replace(RUN, packages=(), metric_packages=()))):
        store.put(record(run), None)
        path = record_path(store.directory, run)
        before = json.loads(path.read_text())
        content = before | {"schema": schema, name: value}
        if schema == 1 and name != "checksum":
            del content["checksum"]
        path.write_text(json.dumps(content))
        found = store.find(run.key)
        assert isinstance(found, Stored | Damage)
        if schema == 2 and json.dumps(before.get(name)) != json.dumps(value):
            assert isinstance(found, Damage)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_file_breaks_reading(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = Store(tmp_path_factory.mktemp("fuzz"))
    path = record_path(store.directory)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    draw = store.draws / f"{RUN.draw_key}.json"
    draw.parent.mkdir()
    draw.write_bytes(content)
    assert isinstance(store.find(RUN.key), Damage)
    assert store.draw(RUN) is None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The error names file, reason and way out; nothing is left half-written, and what was there stays."""
    store = Store(tmp_path)
    store.put(record(), SAMPLES)
    other = replace(RUN, observation=2)

    def full(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", full)
    for write in (
        lambda: store.put(record(other), SAMPLES + 1),
        lambda: store.put_draw(other, SAMPLES + 2, DRAW),
        store.prepare,
    ):
        with pytest.raises(ResultsError, match=rf"cannot write .*: {os.strerror(code)}; .*--results"):
            write()
    assert store.done(RUN)
    assert not store.done(other)
    assert not list(tmp_path.rglob(f"{atomic.TEMPORARY_PREFIX}*"))


def test_a_file_where_the_results_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"cannot write .*results"):
        Store(tmp_path / "results").prepare()


def test_a_folder_that_is_tidied_away_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    rename, calls = os.replace, []

    def once_too_late(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 1:
            os.unlink(source)
        rename(source, target)

    monkeypatch.setattr(os, "replace", once_too_late)
    store.put(record(), None)
    assert store.done(RUN)


def write_often(folder: Path, times: int, offset: int) -> None:
    """What a writer process does; each has numbers of its own."""
    store = Store(folder)
    for i in range(times):
        run = replace(RUN, observation=1 + i % 7)
        samples = SAMPLES + offset
        store.put_draw(run, samples, DRAW)
        store.put(record(run, error="" if (i + offset) % 3 else "a fault"), samples)


def start_writer(folder: Path, times: int, offset: int) -> subprocess.Popen[bytes]:
    """A process that has announced that it starts to write."""
    code = (
        f"import pathlib, runpy; write = runpy.run_path({__file__!r})['write_often']; print(1, flush=True); "
        f"write(pathlib.Path({str(folder)!r}), {times}, {offset})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as stdout:
        assert stdout.readline() == b"1\n"
    return process


def test_several_processes_may_write_the_same_runs(tmp_path: Path) -> None:
    """Every look at the store while they write shows whole records only, and a result, once there, stays."""
    writers = [start_writer(tmp_path, 100, offset) for offset in range(3)]
    store, done = Store(tmp_path), set()
    while any(writer.poll() is None for writer in writers):
        for found in store.scan():
            assert isinstance(found, Stored), found
            if found.record.ok:
                done.add(found.record.run.key)
            else:
                assert found.record.run.key not in done
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    keys = {replace(RUN, observation=i).key for i in range(1, 8)}
    assert {found.record.run.key for found in store.scan() if isinstance(found, Stored) and found.record.ok} == keys
    assert all(store.samples(key).shape == (100, 2) for key in keys)
    assert not list(tmp_path.rglob(f"{atomic.TEMPORARY_PREFIX}*"))


@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_killed_in_the_middle_of_writing(tmp_path: Path, kills: int) -> None:
    """Whatever moment it is, what is there is whole, what was there stays, and the next writer goes on."""
    store, stayed = Store(tmp_path), {}
    moments = np.random.default_rng(0).uniform(0, 0.3, kills)
    for i, moment in enumerate(moments):
        writer = start_writer(tmp_path, 10**6, i)
        time.sleep(moment)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for path in (tmp_path / "runs").glob("*/[!.]*"):
            assert isinstance(store.read(path), Stored), path
        now = {found.record.run.key: found for found in store.scan() if isinstance(found, Stored) and found.record.ok}
        assert all(store.standing(found.record.run) == found for found in now.values()), "with sound samples"
        assert stayed.items() <= now.items(), "a good result is never lost nor replaced"
        stayed = now
    write_often(tmp_path, 14, 1)
    assert sum(record.ok for record in store.records()) == 7
