"""Bundles: what is written is read back, equal records make equal bytes, and no archive harms who reads it."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damaged_store import COMMANDS, ampbench, call
from published_store import SAMPLES, WHEN, fill, record, written

from ampbench.errors import ResultsError, UsageError
from ampbench.plots.pairs import of_runs
from ampbench.plots.stored import kept_fits
from ampbench.results import load, manifest, upkeep
from ampbench.results.archive import MAX_RATIO, Archive
from ampbench.results.bundle import Bundle, open_store
from ampbench.results.manifest import Manifest, about
from ampbench.results.packed import ALLOWED
from ampbench.results.store import Store

Content = dict[str, bytes]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return fill(tmp_path / "results")


@pytest.fixture
def path(store: Store, tmp_path: Path) -> Path:
    return written(store, tmp_path / "bundle.zip")


def test_a_bundle_is_read_like_the_folder(store: Store, path: Path) -> None:
    bundle = Bundle(path)
    assert list(bundle.scan()) == list(store.scan())
    assert load(path).equals(load(store.directory))
    for number in (1, 2):
        run = record(number).run
        assert np.array_equal(bundle.samples(run.key), SAMPLES + number)
        there, here = bundle.draw(run), store.draw(run)
        assert there
        assert here
        assert there[0] == here[0]
        assert bundle.done(run)
    assert upkeep.check(bundle) == replace(upkeep.check(store), shared=(bundle,))


def test_the_manifest_says_what_is_inside(store: Store, tmp_path: Path) -> None:
    says = {"licence": "cc-by-4.0", "group": "Lab X", "authors": ["Doe, Jane"], "title": "Moons"}
    found = Bundle(written(store, tmp_path / "b.zip", samples=False, **says)).manifest
    assert (found.licence, found.group, found.authors, found.title) == ("CC-BY-4.0", "Lab X", ["Doe, Jane"], "Moons")
    assert (found.results, found.failures, found.samples, found.finished) == (2, 1, False, WHEN.format(3))
    assert found.versions == {"ampbench": ["0.1.0"], "torch": ["2.11", "2.12", "2.13"]}
    assert not any(name.startswith(("samples", "draws")) for name in found.files)
    with pytest.raises(ResultsError, match="only its numbers were kept"):
        Bundle(tmp_path / "b.zip").samples(record(1).run.key)
    assert set(load(tmp_path / "b.zip")["origin"]) == {"Lab X"}


def test_equal_records_make_equal_bytes(store: Store, path: Path, tmp_path: Path) -> None:
    copy = Store(tmp_path / "copy")
    upkeep.merge([store], copy)
    assert written(copy, tmp_path / "again.zip").read_bytes() == path.read_bytes()
    adopted = Store(tmp_path / "adopted")
    upkeep.merge([Bundle(path)], adopted)
    assert written(adopted, tmp_path / "third.zip").read_bytes() == path.read_bytes()
    assert written(Bundle(path), tmp_path / "fourth.zip").read_bytes() == path.read_bytes()


def test_a_failed_write_leaves_the_old_bundle(store: Store, path: Path) -> None:
    before = path.read_bytes()
    array = store.array(store.find(record(1).run.key).samples)  # type: ignore[union-attr]
    array.write_bytes(b"torn")
    with pytest.raises(ResultsError, match=array.name):
        written(store, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if each.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("says", "message"),
    [
        ({"licence": "free"}, "--licence: 'free' is no SPDX"),
        ({"group": "OURS"}, "--from: 'OURS' cannot name a group"),
        ({"group": "a]b"}, "--from"),
        ({"group": "a\nb"}, "--from"),
        ({"title": " padded"}, "--title"),
        ({"title": "x" * 301}, "--title"),
        ({"authors": ["a\x1b[2J"]}, "--author"),
    ],
)
def test_impossible_publishers_are_refused(says: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        about(**says)
    assert len(str(caught.value)) < 400


def test_names_and_amounts_that_are_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in \.zip"):
        written(store, tmp_path / "bundle.tar")
    with pytest.raises(UsageError, match="no results to publish"):
        written(Store(tmp_path / "empty"), tmp_path / "bundle.zip")
    with pytest.raises(ResultsError, match="nor such a bundle"):
        open_store(tmp_path / "nothing.zip")


READING = [name for name in COMMANDS if name not in ("run", "store merge", "store gc")]


@pytest.mark.parametrize("name", READING)
def test_every_reading_command_takes_a_bundle(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    if name == "export":
        pytest.importorskip("arviz_base")
    folder = sound(tmp_path_factory)
    before = (folder.parent / "bundle.zip").read_bytes()
    inside = ampbench(folder, COMMANDS[name])
    bundled = ampbench(folder.parent / "bundle.zip", COMMANDS[name])
    assert bundled[0] == 0, bundled
    assert (folder.parent / "bundle.zip").read_bytes() == before
    if name.startswith(("results", "compare", "failures", "export")):
        assert bundled[:2] == inside[:2]


def test_plots_take_a_bundle(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = sound(tmp_path_factory)
    wanted = {"observation": [1]}
    (inside,), (bundled,) = (of_runs(path, wanted).samples.values() for path in (folder, folder.parent / "bundle.zip"))
    assert inside.equal(bundled)
    with pytest.raises(UsageError, match=r"bundle\.zip is a bundle, and bundles hold no fits"):
        kept_fits(folder.parent / "bundle.zip", wanted)


def sound(factory: pytest.TempPathFactory, made: list[Path] = []) -> Path:  # noqa: B006 — one for all tests
    """Return a store with real results, and a bundle of them beside it."""
    if not made:
        folder = factory.mktemp("sound") / "results"
        assert ampbench(folder, COMMANDS["run"])[0] == 0
        code, _, errors = call(f"publish {folder} -o {folder.parent / 'bundle.zip'} --samples")
        assert code == 0, errors
        made.append(folder)
    return made[0]


@pytest.mark.parametrize("name", ["run", "store gc"])
def test_commands_that_write_say_what_to_do(name: str, path: Path) -> None:
    code, _, errors = ampbench(path, COMMANDS[name])
    assert code == 2
    assert "store merge --ours" in errors
    code, _, errors = call(f"store merge {path} --into {path}")
    assert (code, "store merge --ours" in errors) == (2, True)


@pytest.mark.parametrize("name", ["run", "plan", "results", "store gc", "export"])
def test_a_bundle_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    code, _, errors = ampbench(tmp_path / "nowhere.zip", COMMANDS[name])
    assert (code, "nowhere.zip" in errors, "ampbench run --results" in errors) == (2, True, False)
    assert not (tmp_path / "nowhere.zip").exists()


# what anybody may have written


def content_of(path: Path) -> Content:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack(path: Path, content: Content | list[tuple[str | zipfile.ZipInfo, bytes]]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items() if isinstance(content, dict) else content:
            archive.writestr(name, text)


def resealed(content: Content, change: Callable[[dict[str, Any]], None]) -> Content:
    """Return the files with another manifest, whose checksum is right."""
    found = json.loads(content["manifest.json"])
    del found["checksum"]
    change(found)
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    found["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    return content | {"manifest.json": json.dumps(found).encode()}


def with_entry(name: str, text: bytes = b"x", mode: int = 0o100644) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        pack(path, [*content_of(path).items(), (entry, text)])

    return forge


def with_manifest(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    return lambda path: pack(path, resealed(content_of(path), change))


def patched(old: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(old(path.read_bytes())), None)[1]


def set_in_directory(offset: int, form: str, value: int) -> Callable[[Path], None]:
    """Return a forgery that changes a number of the last entry of the central directory, which is the manifest."""

    def change(content: bytes) -> bytes:
        at = content.rindex(b"PK\x01\x02")
        changed = bytearray(content)
        struct.pack_into(form, changed, at + offset, value)
        return bytes(changed)

    return patched(change)


def twice(path: Path) -> None:
    content = list(content_of(path).items())
    with pytest.warns(UserWarning, match="Duplicate name"):
        pack(path, [*content, content[0]])


def other_record(path: Path) -> None:
    content = content_of(path)
    name = next(name for name in content if name.endswith("record.json"))
    pack(path, content | {name: content[name].replace(b'"value": 0.5', b'"value": 0.1')})


def without(name: str) -> Callable[[Path], None]:
    return lambda path: pack(path, {each: text for each, text in content_of(path).items() if name not in each})


RECORD = f"runs/{record(1).run.key}/record.json"
REFUSED: dict[str, tuple[Callable[[Path], None], str]] = {
    "an absolute path": (with_entry("/etc/passwd"), "'/etc/passwd' has an absolute path"),
    "an absolute path of Windows": (with_entry("C:\\x"), "absolute path"),
    "a path to the outside": (with_entry("runs/../../x.json"), r"leaves its folder by '\.\.'"),
    "a link": (with_entry(f"runs/{'0' * 20}/record.json", b"/etc/passwd", stat.S_IFLNK | 0o777), "is a link"),
    "a folder": (with_entry("runs/"), "'runs/' has a name that no file"),
    "another file": (with_entry("setup.py"), "'setup.py' has a name that no file"),
    "a pickle": (with_entry("samples/x.pkl"), r"'samples/x\.pkl' has a name"),
    "a long name": (with_entry("x" * 10_000), "'x{50,90}…' has a name"),
    "a line end": (with_entry("runs/a\nb"), r"'runs/a\\nb' has a name"),
    "two of one name": (twice, "two of its entries have the name 'CITATION.cff'"),
    "an encrypted file": (set_in_directory(8, "<H", 1), "is encrypted"),
    "another compression": (set_in_directory(10, "<H", 12), "compressed by method 12"),
    "a bomb": (with_entry(f"draws/{'0' * 20}.json", b"0" * 2**21), f"{MAX_RATIO} times"),
    "a large record": (with_entry(RECORD.replace(RECORD[5:25], "0" * 20), bytes(5 * 2**20)), "more than 4,194,304"),
    "a manifest of a gigabyte": (set_in_directory(24, "<L", 2**30), "has 1,073,741,824 bytes, more than"),
    "a truncated archive": (patched(lambda content: content[: len(content) // 2]), "cut off while it was copied"),
    "no archive": (patched(lambda content: b"hello"), "is no zip archive"),
    "an empty file": (patched(lambda content: b""), "is no zip archive"),
    "no manifest": (without("manifest.json"), r"has no manifest\.json"),
    "a missing file": (without("CITATION.cff"), r"its manifest\.json has 'CITATION\.cff', and it has not"),
    "an unlisted file": (with_entry(f"draws/{'0' * 20}.json"), r"and manifest\.json has not"),
    "another format": (with_manifest(lambda found: found.update(format=2)), "format is 2, and this ampbench reads 1"),
    "a format that is no number": (with_manifest(lambda found: found.update(format="x" * 10_000)), "its format is 'x"),
    "a manifest that was changed": (
        lambda path: pack(path, content_of(path) | {"manifest.json": content_of(path)["manifest.json"] + b" x"}),
        "is no JSON object",
    ),
    "a changed text": (
        lambda path: pack(
            path,
            content_of(path)
            | {"manifest.json": content_of(path)["manifest.json"].replace(b"Results of", b"Findings of")},
        ),
        "checksum in its manifest.json does not match",
    ),
    "a hostile title": (with_manifest(lambda found: found.update(title="a\x1b[2J")), "title"),
    "a surrogate": (with_manifest(lambda found: found.update(title="\ud800")), "title"),
    "a group called ours": (with_manifest(lambda found: found.update(group="ours")), "cannot name a group"),
    "an unknown field": (with_manifest(lambda found: found.update(more=1)), "more"),
    "a number for a text": (with_manifest(lambda found: found.update(title=1)), "title"),
    "deep nesting": (
        lambda path: pack(path, content_of(path) | {"manifest.json": b"[" * 50_000}),
        "is no JSON object",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_hostile_bundles_are_refused(path: Path, what: str) -> None:
    forge, message = REFUSED[what]
    forge(path)
    with pytest.raises(ResultsError, match=message) as caught:
        load(path)
    text = str(caught.value)
    assert str(path) in text
    assert "get it again" in text.lower()
    assert len(text) < 700
    code, _, errors = call(f"results --results {path}")
    assert (code, len(errors.splitlines())) == (2, 1)


def test_a_surrogate_in_a_name_is_refused(path: Path) -> None:
    with_entry("runs/xxxx")(path)
    path.write_bytes(path.read_bytes().replace(b"runs/xxxx", b"runs/\xed\xa0\x80x"))
    with pytest.raises(ResultsError, match="refused"):
        load(path)


def test_a_wrong_checksum_is_an_error_that_names_the_file(path: Path) -> None:
    other_record(path)
    with pytest.raises(ResultsError, match=r"record\.json is damaged: .*SHA-256 in manifest\.json; get the bundle"):
        load(path)
    code, out, _ = call(f"store check --results {path}")
    assert code == 1
    assert "record.json is damaged" in out
    code, _, errors = call(f"store merge {path} --into {path.parent / 'target'}")
    assert (code, "is damaged" in errors) == (2, True)


def test_wrong_samples_are_named(path: Path) -> None:
    content = content_of(path)
    name = next(name for name in content if name.startswith("samples/"))
    pack(path, content | {name: b"PK"})
    assert len(load(path)) == 3
    assert [damage.path.name for damage in upkeep.check(Bundle(path)).damages] == [Path(name).name]


def test_samples_are_never_unpickled(store: Store, path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, theta=np.array([print], dtype=object))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    content = content_of(path)
    old = next(name for name in content if name.startswith("samples/"))
    text = buffer.getvalue()

    def change(found: dict[str, Any]) -> None:
        del found["files"][old]
        found["files"][f"samples/{digest}.npz"] = digest

    pack(path, resealed({name: each for name, each in content.items() if name != old}, change) | {})
    with_entry(f"samples/{digest}.npz", text)(path)
    assert "allow_pickle=False" in str(upkeep.check(Bundle(path)).damages)


def test_entries_together_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ampbench.results.archive.MAX_TOTAL_BYTES", 1000)
    with pytest.raises(ResultsError, match=r"inflate to .* more than 1,000"):
        load(path)
    monkeypatch.setattr("ampbench.results.archive.MAX_ENTRIES", 2)
    with pytest.raises(ResultsError, match="entries, more than 2"):
        load(path)


def test_an_entry_is_read_no_further_than_its_directory_says(path: Path) -> None:
    with path.open("rb") as file:
        archive = Archive(file, ALLOWED)
        archive.entries["CITATION.cff"].file_size = 1
        with pytest.raises(ValueError, match=r"CITATION\.cff"):
            archive.read("CITATION.cff")


def test_a_manifest_is_read_as_it_was_written(path: Path) -> None:
    found = Bundle(path).manifest
    assert Manifest.parse(found.dump()) == found
    assert found.format == manifest.FORMAT
