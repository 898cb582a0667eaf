"""A fault of one file is damage of this file: every command names the file, and shows all others."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_store import COMMANDS, RECORDS, UNUSUAL, ampbench, deep, record_path, seal

from ampbench import npz
from ampbench.errors import ResultsError, ResultsWarning
from ampbench.results import Run, load
from ampbench.results.store import Store
from ampbench.running.heartbeat import Heartbeat, damaged_statuses, sweep_statuses
from ampbench.running.runlog import RunLog, log_path
from ampbench.running.tally import Tally

EXIT_CODES = {"store check": 1, "store merge": 1}
"""Exit codes of commands that say by them that a file is damaged."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two good results."""
    folder = tmp_path_factory.mktemp("sound") / "results"
    assert ampbench(folder, COMMANDS["run"])[0] == 0
    return folder


@pytest.fixture
def store(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "results")


@pytest.mark.parametrize("damage", RECORDS)
def test_a_damaged_record_is_left_out_and_named(store: Path, damage: str) -> None:
    path = record_path(store)
    RECORDS[damage](path)
    with pytest.warns(ResultsWarning, match=path.parent.name):
        frame = load(store)
    assert frame["observation"].tolist() == [1]
    code, out, _ = ampbench(store, "status")
    assert (code, f"damaged: {path}" in out, "1 runs are stored" in out) == (0, True, True)
    assert max(map(len, out.splitlines())) < 700


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", ["10**400 of schema 1", "a FIFO"])
def test_every_command_names_the_damaged_record(store: Path, damage: str, command: str) -> None:
    path = record_path(store)
    RECORDS[damage](path)
    code, out, errors = ampbench(store, COMMANDS[command])
    assert code == EXIT_CODES.get(command, 0), errors
    assert str(path.parent.name) in out + errors
    assert "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", RECORDS)
def test_every_command_under_every_damage(store: Path, damage: str, command: str) -> None:
    test_every_command_names_the_damaged_record(store, damage, command)


def archive(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in entries.items():
            made.writestr(name, content)
    return buffer.getvalue()


def header(shape: str, dtype: str = "'<f4'") -> bytes:
    """An npy file that claims a shape, and has no number."""
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def bomb(size: int = 3 * 2**30) -> bytes:
    """An npz file of a few megabytes with zeros that take more than the bound, in two arrays that do not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        for name in ("theta.npy", "x.npy"):
            with made.open(name, "w") as entry:
                entry.write(header(f"({size // 4}, 1)"))
                for _ in range(size // 2**24):
                    entry.write(bytes(2**24))
    return buffer.getvalue()


ZEROS = np.zeros((20, 2), np.float32)
ARCHIVES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no archive": lambda: b"theta",
    "torn": lambda: archive(theta=ZEROS)[:-10],
    "enormous shape": lambda: zipped({"theta.npy": header("(10000000000000, 2)")}),
    "shape beyond the bound of a product": lambda: zipped({"theta.npy": header(f"({2**62}, {2**62})")}),
    "large shape without numbers": lambda: zipped({"theta.npy": header("(100000, 2)")}),
    "negative shape": lambda: zipped({"theta.npy": header("(-1, 2)")}),
    "shape of texts": lambda: zipped({"theta.npy": header("('a', 2)")}),
    "wide type": lambda: zipped({"theta.npy": header("(1, 1)", "'<V2147483647'")}),
    "objects": lambda: archive(theta=np.array([[{}]], dtype=object)),
    "long header": lambda: zipped({"theta.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(10**6)}),
    "unknown format": lambda: zipped({"theta.npy": b"\x93NUMPY\x09\x00" + bytes(100)}),
    "code in the header": lambda: zipped({"theta.npy": header("__import__('os').getpid()")}),
    "paths": lambda: zipped({"../../theta.npy": header("(0, 2)"), "/etc/passwd": b""}),
    "no theta": lambda: archive(x=ZEROS),
    "another compression": lambda: zipped({"theta.npy": header("(0, 2)")}, zipfile.ZIP_LZMA),
    "large directory": lambda: b"PK\x05\x06" + bytes(8) + b"\xff\xff\xff\x7f" + bytes(6),
    "large directory in 64 bits": lambda: b"PK\x06\x07" + bytes(16) + b"PK\x05\x06" + bytes(18),
}
"""Archives that hold no arrays, or not what they claim."""

SAMPLES: dict[str, Callable[[], bytes]] = ARCHIVES | {
    "texts": lambda: archive(theta=np.array([["a"]])),
    "complex numbers": lambda: archive(theta=ZEROS.astype(complex)),
    "integers": lambda: archive(theta=ZEROS.astype(int)),
    "foreign order of bytes": lambda: archive(theta=ZEROS.astype(">f4")),
    "one dimension": lambda: archive(theta=np.zeros(20)),
    "a number": lambda: archive(theta=np.float64(0)),
    "NaN": lambda: archive(theta=ZEROS + np.nan),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_archives_that_are_refused(kind: str) -> None:
    with pytest.raises((ValueError, KeyError, zipfile.BadZipFile, EOFError)):
        npz.read_arrays(io.BytesIO(ARCHIVES[kind]()), names=["theta"])


def test_zeros_are_not_inflated_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_array", lambda *_: pytest.fail("it was inflated"))
    with pytest.raises(ValueError, match=r"its arrays have 268,435,456 bytes, more than 200,000,000"):
        npz.read_arrays(io.BytesIO(bomb(2**27)), limit=200_000_000)


def test_an_archive_with_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "MAX_ARRAYS", 3)
    with pytest.raises(ValueError, match="it has 4 entries, more than 3"):
        npz.read_arrays(io.BytesIO(archive(a=ZEROS, b=ZEROS, c=ZEROS, d=ZEROS)))


def test_archives_that_are_read() -> None:
    """All that numpy writes without objects, byte by byte."""
    given = {
        "theta": ZEROS + 1.5,
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "number": np.float32(2),
        "truths": np.array([True, False]),
        "foreign": np.arange(3, dtype=">i4"),
        "texts": np.array(["a", "θ"]),
        "records": np.zeros(2, dtype=[("a", "f4"), ("b", "i8", (2,))]),
    }
    found = npz.read_arrays(io.BytesIO(archive(**given)))
    assert found.keys() == given.keys()
    for name, value in given.items():
        assert found[name].dtype == np.asarray(value).dtype
        assert np.array_equal(found[name], value)


def replace_samples(store: Path, content: bytes) -> Path:
    """Put samples, under their SHA-256, in the place of those of the damaged record; return their path."""
    path = record_path(store)
    record = json.loads(path.read_text())
    digest = hashlib.sha256(content).hexdigest()
    path.write_text(seal(record | {"samples": digest}))
    for draw in (store / "draws").glob("*.json"):
        draw.unlink()
    made = store / "samples" / f"{digest}.npz"
    made.write_bytes(content)
    return made


@pytest.mark.parametrize("kind", SAMPLES)
def test_samples_that_are_none(store: Path, kind: str) -> None:
    path = replace_samples(store, SAMPLES[kind]())
    code, out, errors = ampbench(store, "store check")
    assert (code, f"{path} is damaged" in out, errors) == (1, True, "")
    with pytest.raises(ResultsError, match="is damaged"):
        Store(store).samples(record_path(store).parent.name)


@pytest.mark.parametrize("command", ["run", "plan", "atlas", "store merge", "store gc", "results"])
@pytest.mark.parametrize("kind", ["texts", "enormous shape"])
def test_commands_with_samples_that_are_none(store: Path, kind: str, command: str) -> None:
    path = replace_samples(store, SAMPLES[kind]())
    code, out, errors = ampbench(store, COMMANDS[command])
    assert code == EXIT_CODES.get(command, 0), errors
    assert command in ("atlas", "results") or path.name in out + errors


@pytest.mark.parametrize("where", ["samples", "draws"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_no_file_among_samples_and_draws(store: Path, where: str, kind: str) -> None:
    path = min((store / where).iterdir())
    path.unlink()
    UNUSUAL[kind](path)
    code, out, _ = ampbench(store, "store check")
    assert (code, f"{path} is damaged" in out) == (1, True)
    assert ampbench(store, COMMANDS["run"])[0] == 0
    assert len(load(store)) == 2


def test_links_to_regular_files_are_read(store: Path) -> None:
    path = record_path(store)
    path.rename(store / "elsewhere.json")
    path.symlink_to("../../elsewhere.json")
    assert len(load(store)) == 2


@pytest.mark.parametrize("folder", ["runs", "draws", "fits", "samples"])
def test_a_file_in_the_place_of_a_folder(store: Path, folder: str) -> None:
    shutil.rmtree(store / folder)
    (store / folder).write_text("a file")
    code, _, errors = ampbench(store, "store check")
    assert (code, errors.count("\n"), f"cannot read {store / folder}: Not a directory" in errors) == (2, 1, True)


def test_a_file_in_the_place_of_the_folder_of_a_run(store: Path) -> None:
    (store / "runs" / ("a" * 20)).write_text("a file")
    code, out, _ = ampbench(store, "store check")
    assert code == 1
    assert "it is no folder, where the folder of a run should be" in out
    assert len(load(store)) == 2


def status(**changes: Any) -> str:
    activity = {"fit": "f", "step": "s", "done": 1, "total": 2, "seconds": 1.0}
    best = {"task": "t", "budget": 1, "metric": "m", "method": "a", "mean": 0.5, "n": 1}
    state = {"total": 2, "done": 1, "failed": 0, "seconds": 1.0, "left": None, "running": [activity], "best": best}
    content = {"host": "elsewhere", "pid": 1, "began": "2026-01-01T00:00:00+00:00", "state": state}
    return json.dumps(
        {**content, "state": state | changes} if not changes.keys() & content.keys() else content | changes
    )


HUGE = 10**400
STATUSES = {
    "empty": "",
    "torn": status()[:-10],
    "null": "null",
    "array": "[1]",
    "deep": "[" * 10**5,
    "long": status(host="x" * 10**7),
    "huge total": status(total=HUGE),
    "huge seconds": status(seconds=1e300),
    "endless seconds": status(seconds=float("inf")),
    "no number": status(left=float("nan")),
    "negative": status(done=-1),
    "truth value": status(failed=True),
    "text": status(total="2"),
    "huge process": status(pid=HUGE),
    "infinite process": status(pid=float("inf")),
    "number as a host": status(host=1),
    "number as a time": status(began=1),
    "impossible time": status(began="yesterday"),
    "half of a surrogate pair": status(host="\ud800"),
    "running is a number": status(running=1),
    "running is a list of numbers": status(running=[1]),
    "running with a huge number": status(running=[{"fit": "f", "step": "s", "done": 1, "total": HUGE, "seconds": 1}]),
    "running without a step": status(running=[{"fit": "f"}]),
    "best is a text": status(best="x"),
    "best with an infinite mean": status(
        best={"task": "t", "budget": 1, "metric": "m", "method": "a", "mean": float("inf"), "n": 1}
    ),
    "deep best": status(best=deep(300)),
    "state is a list": status(state=[1]),
    "unknown field": status(other=1),
}
"""Contents of a status file that no sweep writes."""


@pytest.mark.parametrize("content", STATUSES)
def test_a_damaged_status_file_is_named(tmp_path: Path, content: str) -> None:
    active = tmp_path / "active"
    active.mkdir()
    (active / "good.json").write_text(status())
    (active / "bad.json").write_text(STATUSES[content])
    assert [sign.host for sign in sweep_statuses(tmp_path)] == ["elsewhere"]
    code, out, errors = ampbench(tmp_path, "status")
    assert (code, errors) == (0, "")
    assert f"damaged: {active / 'bad.json'} is damaged" in out
    assert "on elsewhere, process 1" in out
    with Heartbeat(tmp_path, Tally([]).snapshot):
        assert len(sweep_statuses(tmp_path)) == 2


@pytest.mark.parametrize("suffix", ["json", "lock"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_what_is_no_file_among_status_files(tmp_path: Path, kind: str, suffix: str) -> None:
    active = tmp_path / "active"
    active.mkdir()
    (active / "elsewhere-1.json").write_text(status())
    path = active / f"{'bad' if suffix == 'json' else 'elsewhere-1'}.{suffix}"
    UNUSUAL[kind](path)
    assert len(sweep_statuses(tmp_path)) == 1
    assert [each.path for each in damaged_statuses(tmp_path)] == ([path] if suffix == "json" else [])
    with Heartbeat(tmp_path, Tally([]).snapshot):
        assert len(sweep_statuses(tmp_path)) == 2


def test_a_lock_does_not_empty_what_a_link_names(tmp_path: Path) -> None:
    with Heartbeat(tmp_path, Tally([]).snapshot):
        (lock,) = (tmp_path / "active").glob("*.lock")
    (tmp_path / "diary.txt").write_text("kept")
    lock.symlink_to(tmp_path / "diary.txt")
    with Heartbeat(tmp_path, Tally([]).snapshot):
        pass
    assert (tmp_path / "diary.txt").read_text() == "kept"


@pytest.mark.parametrize("kind", UNUSUAL)
def test_logs_that_are_no_files_cost_nothing_else(store: Path, kind: str) -> None:
    content = json.loads(record_path(store).read_text())["run"]
    run = Run(**{name: tuple(value) if isinstance(value, list) else value for name, value in content.items()})
    path = log_path(store, run)
    path.unlink()
    UNUSUAL[kind](path)
    RunLog(path).write("note")
    shutil.rmtree(store / "runs")
    shutil.rmtree(store / "draws")
    assert ampbench(store, COMMANDS["run"])[0] == 0
