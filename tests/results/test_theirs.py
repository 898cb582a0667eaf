"""Results of other groups beside ours: marked, never pooled, never lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from damaged_store import call
from published_store import RUN, SAMPLES, fill, record, written

from ampbench.errors import ResultsError, ResultsWarning
from ampbench.reporting.compare import latest, summarise
from ampbench.reporting.ledger import compare_published
from ampbench.results import Record, load, upkeep, validate
from ampbench.results.bundle import Bundle
from ampbench.results.origins import OURS, marked
from ampbench.results.store import Store
from ampbench.results.theirs import adopt, gathered, stores
from ampbench.text import to_csv


def bundle_of(folder: Path, *records: Record, group: str = "Lab X") -> Bundle:
    store = Store(folder)
    for each in records:
        store.put(each, SAMPLES + each.run.observation if each.ok else None)
    return Bundle(written(store, folder.with_suffix(".zip"), group=group))


@pytest.fixture
def ours(tmp_path: Path) -> Store:
    return fill(tmp_path / "ours")


def test_their_results_become_rows_beside_ours(ours: Store, tmp_path: Path) -> None:
    before = load(ours.directory)
    theirs = bundle_of(tmp_path / "x", record(1, value=0.9), record(4))
    done = adopt(theirs, ours)
    assert (done.origin, done.added, done.present, done.repeated) == ("Lab X", 2, 0, 1)
    assert done.different == (record(1).run.key,)
    frame = load(ours.directory)
    assert frame[frame["origin"] == OURS].reset_index(drop=True).equals(before)
    assert frame[frame["origin"] == "Lab X"]["c2st"].tolist() == [0.9, 0.5]
    assert ours.find(record(1).run.key).record == record(1)  # type: ignore[union-attr]
    assert not ours.done(record(4).run), "their result is not taken for ours: the run is still to do"
    assert (stores(ours.directory, "Lab X")[0].samples(record(4).run.key) == SAMPLES + 4).all()
    with pytest.raises(ResultsError, match="there are results of: 'ours', 'Lab X'"):
        stores(ours.directory, "Lab Y")


def test_a_bundle_is_merged_once(ours: Store, tmp_path: Path) -> None:
    theirs = bundle_of(tmp_path / "x", record(4), record(5))
    adopt(theirs, ours)
    again = adopt(theirs, ours)
    assert (again.added, again.present) == (0, 2)
    assert len(list(ours.bundles.iterdir())) == 1


def test_equal_results_are_kept_once(ours: Store, tmp_path: Path) -> None:
    done = adopt(bundle_of(tmp_path / "x", record(1), record(4)), ours)
    assert (done.added, done.present, done.repeated) == (1, 1, 0)
    second = adopt(bundle_of(tmp_path / "y", record(4), group="Lab Y"), ours)
    assert (second.added, second.present) == (0, 1)
    assert load(ours.directory)["origin"].value_counts().to_dict() == {OURS: 3, "Lab X": 1}


def test_a_group_that_contradicts_itself_is_refused(ours: Store, tmp_path: Path) -> None:
    adopt(bundle_of(tmp_path / "x", record(4)), ours)
    second = bundle_of(tmp_path / "y", record(4, seconds=2.0))
    with pytest.raises(ResultsError, match=f"both of 'Lab X'.* of the run {record(4).run.key}"):
        adopt(second, ours)
    (ours.bundles / "copied.zip").write_bytes(second.directory.read_bytes())
    with pytest.raises(ResultsError, match="out of date"):
        load(ours.directory)


def test_a_later_success_replaces_a_failure_of_the_group(ours: Store, tmp_path: Path) -> None:
    adopt(bundle_of(tmp_path / "x", record(4, error="boom")), ours)
    adopt(bundle_of(tmp_path / "y", record(4)), ours)
    found = load(ours.directory)
    assert found[found["origin"] == "Lab X"]["status"].tolist() == ["ok"]


def test_a_damaged_bundle_in_the_folder_is_left_out_and_named(ours: Store, tmp_path: Path) -> None:
    adopt(bundle_of(tmp_path / "x", record(4)), ours)
    (path,) = ours.bundles.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(ResultsWarning, match=path.name):
        frame = load(ours.directory)
    assert set(frame["origin"]) == {OURS}
    assert [damage.path for damage in upkeep.check(ours).damages] == [path]
    assert path in upkeep.collect(ours, damaged=True)


def test_a_bundle_without_a_group_is_named_by_its_content(ours: Store, tmp_path: Path) -> None:
    anonymous = bundle_of(tmp_path / "x", record(4), group="")
    assert set(load(anonymous.directory)["origin"]) == {OURS}
    assert adopt(anonymous, ours).origin == f"bundle {anonymous.id}"


def test_our_own_bundle_is_resumed_from(ours: Store, tmp_path: Path) -> None:
    path, target = written(ours, tmp_path / "study.zip"), tmp_path / "new"
    assert call(f"store merge --ours {path} --into {target}")[0] == 0
    assert load(target).equals(load(ours.directory))
    assert Store(target).done(RUN)
    assert not (target / "bundles").exists() or not list((target / "bundles").iterdir())


def test_merging_a_folder_carries_its_bundles(ours: Store, tmp_path: Path) -> None:
    adopt(bundle_of(tmp_path / "x", record(4)), ours)
    code, out, _ = call(f"store merge {ours.directory} --into {tmp_path / 'new'}")
    assert code == 0
    assert "Lab X" in out
    assert load(tmp_path / "new").equals(load(ours.directory))


def test_no_table_pools_groups(ours: Store, tmp_path: Path) -> None:
    theirs = [replace(record(number, value=0.9), run=replace(RUN, observation=number)) for number in (1, 2)]
    adopt(bundle_of(tmp_path / "x", *theirs), ours)
    frame = load(ours.directory)
    found = summarise(frame).table.set_index("method")["mean"].to_dict()
    assert found == {"npe": 0.5, "npe [Lab X]": 0.9}
    assert set(latest(frame)[0]["method"]) == set(found)
    beside = compare_published(latest(frame)[0], mix=True).table
    assert set(beside[beside["origin"].isin([OURS, "Lab X"])]["method"]) == set(found)
    assert marked(marked(frame)).equals(marked(frame))


def test_frames_without_origins_are_ours(ours: Store, tmp_path: Path) -> None:
    frame = load(ours.directory)
    assert set(validate(frame.drop(columns="origin"))["origin"]) == {OURS}
    adopt(bundle_of(tmp_path / "x", record(1, value=0.9)), ours)
    both = load(ours.directory)
    (tmp_path / "all.csv").write_text(to_csv(both))
    assert load(tmp_path / "all.csv")["origin"].tolist() == both["origin"].tolist()
    with pytest.raises(ResultsError, match="are of one run"):
        validate(both.assign(origin=OURS))


def test_gathered_names_every_origin(ours: Store, tmp_path: Path) -> None:
    adopt(bundle_of(tmp_path / "x", record(1, value=0.9)), ours)
    assert sorted(origin for origin, _ in gathered(ours.directory)) == ["Lab X", OURS, OURS, OURS]
