"""The bundle in a results directory: its results count as if they lay there, runs continue, and nothing is lost."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from damaged_store import SWEEP, call
from published_store import SAMPLES, fill, record, written

from ampbench.errors import ResultsError, ResultsWarning
from ampbench.results import Record, load, upkeep
from ampbench.results.bundle import Bundle
from ampbench.results.origins import OURS
from ampbench.results.publication import held
from ampbench.results.store import STUDY_FILE, Store
from ampbench.results.survey import survey

KEY = record(1).run.key
LATER, EARLIER = "2026-02-01T00:00:00+00:00", "2025-02-01T00:00:00+00:00"


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    return fill(tmp_path / "plain")


@pytest.fixture
def packed(plain: Store, tmp_path: Path) -> Store:
    """A folder that holds nothing but a study."""
    folder = tmp_path / "packed"
    folder.mkdir()
    written(plain, folder / STUDY_FILE, group="Lab X")
    return Store(folder)


def put_beside(store: Store, other: Record) -> None:
    """Write a record into the folder, whatever its study has."""
    store.without_study().put(other, None)


def test_a_study_is_read_as_if_its_files_lay_there(plain: Store, packed: Store) -> None:
    assert load(packed.directory).equals(load(plain.directory))
    assert set(load(packed.directory)["origin"]) == {OURS}, "whose folder it is, whose results"
    assert list(packed.scan()) == list(plain.scan())
    assert (packed.samples(KEY) == plain.samples(KEY)).all()
    assert packed.draw(record(1).run) is not None
    assert packed.done(record(1).run)
    counted = upkeep.check(packed)
    assert counted == replace(upkeep.check(plain), shared=counted.shared)
    assert [each.directory for each in counted.shared] == [packed.directory / STUDY_FILE]
    merged = Store(plain.directory.with_name("merged"))
    upkeep.merge([packed], merged)
    assert list(merged.scan()) == list(plain.scan())


def test_a_run_continues_from_a_study_and_is_published_with_it(tmp_path: Path) -> None:
    first, study = tmp_path / "first", tmp_path / "study" / STUDY_FILE
    study.parent.mkdir()
    assert call(f"run {SWEEP} --executor in-process --results {first}")[0] == 0
    assert call(f"publish {first} -o {study} --from Lab --licence CC-BY-4.0 --samples")[0] == 0
    old = Bundle(study)
    code, out, _ = call(f"run {SWEEP} --observation 3 --executor in-process --results {study.parent}")
    assert (code, "2 of 3 runs are stored" in out) == (0, True)
    assert len(list((study.parent / "runs").iterdir())) == 1
    code, out, errors = call(f"publish {study.parent} -o {study}")
    assert (code, "3 results" in out, "unchanged" in out) == (0, True, False), errors
    new = Bundle(study)
    assert (new.manifest.group, new.manifest.licence, new.manifest.samples) == ("Lab", "CC-BY-4.0", True)
    kept = [name for name in old.manifest.files if name.startswith(("runs/", "samples/", "draws/"))]
    assert all(new.packed.content(name) == old.packed.content(name) for name in kept)
    before = study.stat()
    code, out, _ = call(f"publish {study.parent} -o {study}")
    assert (code, "unchanged" in out) == (0, True)
    assert study.stat() == before
    shutil.rmtree(study.parent / "runs")
    assert len(load(study.parent)) == 3


@pytest.mark.parametrize(("finished", "shown"), [(LATER, 0.9), (EARLIER, 0.5)])
def test_a_contradiction_is_named_and_the_later_result_taken(packed: Store, finished: str, shown: float) -> None:
    other = replace(record(1, value=0.9), finished=finished)
    put_beside(packed, other)
    study = packed.directory / STUDY_FILE
    with pytest.warns(ResultsWarning, match="different results of 1 run,") as heard:
        frame = load(packed.directory)
    assert all(str(where) in str(heard[0].message) for where in (packed.runs, study, KEY))
    assert frame.set_index("key")["c2st"][KEY] == shown
    assert packed.get(KEY).metrics["c2st"].value == shown  # type: ignore[union-attr]
    with pytest.warns(ResultsWarning):  # an index does not silence it
        survey(packed)
    code, _, errors = call(f"publish {packed.directory} -o {study}")
    assert code == 0, errors
    assert Bundle(study).get(KEY).metrics["c2st"].value == shown  # type: ignore[union-attr]
    path = packed.runs / KEY / "record.json"
    assert (path in upkeep.check(Store(packed.directory)).leftovers) == (finished == EARLIER)


def test_checks_that_are_added_to_a_result_of_a_study_are_no_contradiction(packed: Store, plain: Store) -> None:
    found = packed.find(KEY)
    packed.put_checks(found, ())  # type: ignore[arg-type]
    assert packed.find(KEY).record.checks == ()  # type: ignore[union-attr]
    survey(packed)  # warnings are errors
    assert held([plain, packed])


def test_several_sources_make_one_bundle_and_the_later_result_is_taken(
    plain: Store, packed: Store, tmp_path: Path
) -> None:
    again = Store(tmp_path / "again")
    again.put(replace(record(1, value=0.9), finished=LATER), SAMPLES)
    again.put(record(4), SAMPLES)
    again.put(record(2, error="boom"), None)
    study = packed.directory / STUDY_FILE
    before = study.read_bytes()
    code, _, errors = call(f"publish {again.directory} -o {study}")
    assert code == 2
    assert "would be lost" in errors
    assert study.read_bytes() == before
    for order in (f"{packed.directory} {again.directory}", f"{again.directory} {packed.directory}"):
        study.write_bytes(before)
        code, _, errors = call(f"publish {order} -o {study}")
        assert code == 0, errors
        assert all(text in errors for text in ("different results of 1 run,", str(again.directory), KEY))
        scores = load(packed.directory).set_index("observation")["c2st"].dropna().to_dict()
        assert scores == {1: 0.9, 2: 0.5, 4: 0.5}


def test_results_that_were_repeated_with_other_versions_are_left_out_if_asked(packed: Store, tmp_path: Path) -> None:
    again, old = Store(tmp_path / "again"), record(1)
    newer = replace(old, run=replace(old.run, packages=("torch==2.14.*",)), finished=LATER)
    again.put(newer, SAMPLES)
    again.put(replace(newer, run=replace(newer.run, metrics=("mmd",))), SAMPLES)
    study = packed.directory / STUDY_FILE
    sources = f"{again.directory} {study} -o"
    assert call(f"publish {sources} {tmp_path / 'all.zip'}")[0] == 0
    assert len(load(tmp_path / "all.zip")) == 5
    code, _, errors = call(f"publish {sources} {study} --latest")
    assert code == 0, errors
    kept = Bundle(study).all_keys()
    assert (len(kept), KEY in kept, newer.run.key in kept) == (4, False, True), "another metric is another request"


def test_a_damaged_record_in_the_folder_does_not_hide_that_of_the_study(packed: Store) -> None:
    path = packed.runs / KEY / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text("torn")
    assert packed.done(record(1).run)
    assert len(load(packed.directory)) == 3


@pytest.mark.parametrize(
    ("command", "whole"),
    [("results", True), (f"run {SWEEP} --executor in-process", True), ("status", False), (f"plan {SWEEP}", False)],
)
def test_a_damaged_study_is_refused_by_name(packed: Store, command: str, whole: bool) -> None:
    study = packed.directory / STUDY_FILE
    content = study.read_bytes()
    place = content.index(b"/record.json") + 60  # in the first record, which is deflated
    study.write_bytes(content[:place] + b"XXXX" + content[place + 4 :] if whole else content[:-30])
    code, _, errors = call(f"{command} --results {packed.directory}")
    assert (code, f"the bundle {study} is refused" in errors) == (2, True), errors
    code, out, _ = call(f"store check --results {packed.directory}")
    assert (code, str(study) in out) == (1, True)
    assert not packed.runs.exists() or not list(packed.runs.iterdir())


def test_a_study_that_is_replaced_is_read_again(packed: Store, plain: Store) -> None:
    assert len(load(packed.directory)) == 3
    plain.put(record(4), SAMPLES)
    written(plain, packed.directory / STUDY_FILE)
    assert len(load(packed.directory)) == 4


def test_a_file_that_is_no_bundle_is_neither_read_nor_replaced(plain: Store) -> None:
    study = plain.directory / STUDY_FILE
    study.write_text("mine")
    code, _, errors = call(f"publish {plain.directory / 'runs'} -o {study}")
    assert code == 2, errors
    with pytest.raises(ResultsError, match="refused"):
        written(plain, study)
    assert study.read_text() == "mine"


def test_a_study_itself_is_not_written_and_its_folder_named(packed: Store) -> None:
    code, _, errors = call(f"run {SWEEP} --results {packed.directory / STUDY_FILE}")
    assert (code, f"--results {packed.directory}" in errors) == (2, True)
