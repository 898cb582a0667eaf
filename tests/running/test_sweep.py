"""Sweeps: the product, grids, parts of it, and whatever nonsense a file may hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ampbench import hookimpl
from ampbench.errors import PluginError, UsageError
from ampbench.interfaces import Observation, ShipsReference, Task
from ampbench.registry import Plugin, Registry
from ampbench.results import Run
from ampbench.running import sweep

GOOD = {"tasks": ["two_moons"], "methods": ["amp", "npe"], "budgets": [10, 100], "observations": [1, 2]}


def test_the_product(registry: Registry) -> None:
    runs = sweep.runs(sweep.check(GOOD, "here"), registry)
    assert len(runs) == len({run.key for run in runs}) == 8
    assert {run.seed for run in runs} == {0}
    assert runs[0].metrics == ("c2st:folds=5,seed=1", "mmd")


def test_all_observations_by_default_and_no_doubles(registry: Registry) -> None:
    content = GOOD | {"observations": [], "methods": ["amp", "amp:divergence=jsd"], "budgets": [10]}
    assert len(sweep.runs(sweep.check(content, "here"), registry)) == 10


def test_a_file_and_options_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        'tasks = ["two_moons"]\nmethods = ["amp", "npe"]\nbudgets = [10, 100]\nobservations = [1, 2]\n',
        encoding="utf-8",
    )
    assert sweep.read(path) == sweep.check(GOOD, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": [1]}, "here: unknown key 'budget'; known: tasks, .*did you mean 'budgets'"),
        ({"budgets": [0]}, "here: budgets.0: .*greater than or equal to 1, got 0"),
        ({"budgets": ["many"]}, "here: budgets.0: .*integer, got 'many'"),
        ({"tasks": []}, "here: tasks: .*at least 1 item"),
        ({"samples": 3}, "here: samples: .*10, got 3"),
        ({"seeds": [-1]}, "here: seeds.0"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.check(GOOD | change, "here")


def test_a_misspelt_key_is_named_instead_of_the_missing_one() -> None:
    content = {("methdos" if key == "methods" else key): value for key, value in GOOD.items()}
    with pytest.raises(UsageError, match=r"here: unknown key 'methdos'; known: .*; did you mean 'methods'\?$"):
        sweep.check(content, "here")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ["two_mons"]}, "unknown task 'two_mons'.*did you mean 'two_moons'"),
        ({"methods": ["amp:divergence=jds"]}, "unknown divergence 'jds'.*did you mean 'jsd'"),
        ({"methods": ["amp:scope=everywhere"]}, "option 'scope' of method 'amp' cannot be 'everywhere'"),
        ({"metrics": ["c2st", "c2st:seed=2"]}, "metric 'c2st' is given 2 times"),
    ],
)
def test_names_are_checked_before_anything_runs(registry: Registry, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.runs(sweep.check(GOOD | change, "here"), registry)


def test_an_unknown_observation_is_named_with_file_key_and_what_is_known(registry: Registry) -> None:
    content = sweep.check(GOOD | {"observations": [1, 11]}, "here")
    known = "unknown observation 11 of task 'two_moons'; known: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10$"
    with pytest.raises(UsageError, match=f"^{known}"):
        sweep.runs(content, registry)
    with pytest.raises(UsageError, match=rf"^here: observations\.1: {known}"):
        sweep.runs(content, registry, "here")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*none.toml"):
        sweep.read(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("tasks = [")
    with pytest.raises(UsageError, match=r"bad.toml is not a TOML file"):
        sweep.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"bad.toml is not a TOML file"):
        sweep.read(path)


def test_a_grid_is_all_combinations(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(
        """
        tasks = ["two_moons"]
        budgets = [10]
        observations = [1]
        [[methods]]
        spec = "amp:family=implicit"
        [methods.grid]
        divergence = ["jsd", "kl", "mmd(bandwidths=3)"]
        steps = [1000, 2000]
        divergences.theta = ["(jsd:width=8,depth=1)"]
        [[methods]]
        spec = "npe"
        """
    )
    runs = sweep.Request(path).runs(registry)
    assert len(runs) == 7
    assert runs[5].method == (
        "amp:divergence=mmd(bandwidths=3),divergences.theta=(jsd:width=8,depth=1),family=implicit,steps=2000"
    )
    assert "divergences.theta=jsd(depth=1," in runs[5].resolved
    assert runs[6].method == "npe"
    inline = GOOD | {"methods": ["npe", {"spec": "amp", "grid": {"steps": [1, 2]}}], "budgets": [10]}
    assert len(sweep.runs(sweep.check(inline, "here"), registry)) == 6


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ({"spec": "amp", "gird": {}}, "unknown key 'methods.0.gird'; known: spec, grid; did you mean 'grid'"),
        ({"grid": {}}, "methods.0.spec: Field required"),
        ({"spec": "amp", "grid": {"steps": []}}, "methods.0.grid.steps: .*at least 1 item"),
        ({"spec": "amp", "grid": {"steps": 5}}, "methods.0.grid.steps: .*valid list, got 5"),
        ({"spec": "amp", "grid": {"steps": [[1]]}}, "methods.0.grid.steps.0"),
        (5, 'methods.0: write a spec in quotes, or a table {spec = "…", grid = {…}}, got 5'),
        ({"spec": "amp:steps=1", "grid": {"steps": [1]}}, "methods.0: option 'steps' is in the spec 'amp:steps=1' and"),
        ({"spec": "amp", "grid": {"stpes": [1]}}, "methods.0: .*did you mean 'steps'"),
        ({"spec": "amp", "grid": {"divergence": ["jsd:width=8,depth=1"]}}, "put values with commas into parentheses"),
        ({"spec": "amp", "grid": {"divergence": ["jsd\x1b"]}}, r"holds control characters"),
        ({"spec": "amp", "grid": {name: list(range(101)) for name in ("a", "b", "c")}}, "1,030,301 combinations"),
    ],
)
def test_what_is_wrong_with_a_grid_is_named(registry: Registry, method: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.runs(sweep.check(GOOD | {"methods": [method]}, "here"), registry, "here")


def test_a_wrong_name_in_a_file_is_found_by_file_and_key(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('tasks = ["two_moons"]\nmethods = ["npe", "amq"]\nbudgets = [10]\n')
    with pytest.raises(UsageError, match=r"sweep.toml: methods.1: unknown method 'amq'.*did you mean 'amp'"):
        sweep.Request(path).runs(registry)
    path.write_text('tasks = ["two_moons"\n\nmethods = 5 5')
    with pytest.raises(UsageError, match=r"sweep.toml is not a TOML file: .*at line 3"):
        sweep.Request(path).runs(registry)
    with pytest.raises(UsageError, match=r"either the file .*sweep.toml or options"):
        sweep.Request(path, {"budgets": [10]}).runs(registry)


@pytest.mark.parametrize(
    ("key", "choice", "message"),
    [
        (
            "methods",
            "amp:family=flow(dropout=1.5)",
            r"flow\(dropout=1.5\)': .* at least 0 and below 1, got dropout=1.5",
        ),
        ("methods", {"spec": "npe", "grid": {"max_epochs": [9, 0]}}, "method 'npe:max_epochs=0': .* at least 1, got"),
        ("metrics", "c2st:folds=1", "metric 'c2st:folds=1': C2ST needs folds of at least 2, got folds=1"),
        ("tasks", "ricker:steps=0", "task 'ricker:steps=0': .* at least one step, got steps=0"),
    ],
)
def test_values_that_a_component_refuses_are_found_by_file_and_key(
    registry: Registry, key: str, choice: object, message: str
) -> None:
    good = {"tasks": "two_moons", "methods": "prior", "metrics": "mmd"}[key]
    with pytest.raises(UsageError, match=rf"^sweep.toml: {key}.1: .*{message}"):
        sweep.runs(sweep.check(GOOD | {key: [good, choice]}, "sweep.toml"), registry, "sweep.toml")


def test_runs_belong_to_the_packages_they_are_computed_with(registry: Registry) -> None:
    npe, amp = (sweep.runs(sweep.check(GOOD | {"methods": [name]}, ""), registry)[0] for name in ("npe", "amp"))
    names = {text.partition("==")[0] for text in npe.packages}
    assert {"ampbench", "torch", "numpy", "sbi"} == names
    assert not any(text.startswith("sbi") for text in amp.packages)
    assert any(text.startswith("scikit-learn==") for text in amp.metric_packages)
    assert all(text.endswith(".*") for text in npe.packages if not text.startswith("ampbench"))


def make_runs(registry: Registry) -> list[Run]:
    methods = ["npe", {"spec": "amp", "grid": {"steps": [1, 2], "divergence": ["jsd", "kl"]}}]
    content = {"tasks": ["two_moons", "gaussian_linear"], "methods": methods, "budgets": [10, 100, 1000]}
    return sweep.runs(sweep.check(content | {"seeds": [0, 1]}, "here"), registry)


@pytest.mark.parametrize(
    ("select", "count"),
    [
        ([], 600),
        (["task=two_moons"], 300),
        (["task=two_moons,method=npe"], 60),
        (["task!=two_moons,method!=npe"], 240),
        (["method=amp"], 480),
        (["method=amp(divergence=jsd,steps=1)"], 120),
        (["method=amp:steps=1"], 240),
        (["method=amp:learning_rate=0.001"], 480),
        (["method~divergence=kl"], 240),
        (["method!~jsd"], 360),
        (["budget<=100,budget>10"], 200),
        (["budget>=100,seed=1,observation<3"], 40),
        (["budget=10", "budget!=10,observation=1"], 240),
        (["task=two_moons", "task=two_moons"], 300),
    ],
)
def test_selections(registry: Registry, select: list[str], count: int) -> None:
    assert len(sweep.chosen(make_runs(registry), select)) == count


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("", "cannot read ''"),
        ("two_moons", "cannot read 'two_moons' in the selection"),
        ("taks=two_moons", "unknown field 'taks'; .*did you mean 'task'"),
        ("method=amp:steps=1,divergence=kl", "unknown field 'divergence'.*parentheses"),
        ("budget~1", "cannot select budget~1"),
        ("budget=1.5", "cannot select budget=1.5"),
        ("task<a", "cannot select task<a"),
        ("method=", "cannot select method="),
        ("task=gaussian", "none of 600 runs is selected by task=gaussian; there are two_moons, gaussian_linear"),
        ("method=(amp", "do not match"),
        ("method=[red]", r"cannot read the spec '\[red\]'"),
    ],
)
def test_selections_that_make_no_sense(registry: Registry, select: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep.chosen(make_runs(registry), [select])


def test_shards_are_a_stable_partition_that_keeps_fits_together(registry: Registry) -> None:
    runs = make_runs(registry)
    shards = [sweep.chosen(runs, shard=f"{i}/7") for i in range(1, 8)]
    assert sorted(run.key for shard in shards for run in shard) == sorted(run.key for run in runs)
    assert sum(len({run.fit_digest for run in shard}) for shard in shards) == 60
    assert all(len(shard) % 10 == 0 for shard in shards)
    kept = sweep.chosen(runs, ["method=npe"], "3/7")
    assert kept == [run for run in shards[2] if run.method == "npe"], "whatever else is in the sweep"
    assert sweep.chosen(runs, shard="1/1") == runs


def test_the_shard_of_a_fit_is_the_same_everywhere_and_for_ever() -> None:
    run = Run("two_moons", "1", "npe", "npe:batch_size=200", 1000, 1, 0, 100, ("mmd",))
    assert (
        run.fit_digest
        == hashlib.sha256(b'["two_moons", "npe:batch_size=200", 1000, 0]').hexdigest()[:12]
        == "26855132092b"
    )


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "1/0", "-1/3", "a/b", "1/3/5", "1/99999999", ""])
def test_shards_that_make_no_sense(shard: str) -> None:
    with pytest.raises(UsageError, match="cannot read the shard"):
        sweep.chosen([], shard=shard)


class Nothing:
    """A component with options of every kind."""

    def __init__(self, number: int = 1, text: str = "a", flag: bool = False, limit: float | None = None) -> None: ...


class TwoObservations(Task, ShipsReference):
    version = "1"

    def __init__(self, text: str = "") -> None:
        if text == "broken":
            raise ValueError("a broken plugin")

    @property
    def graph(self) -> None:  # type: ignore[override]
        return None

    def observations(self) -> Mapping[int, Observation]:
        return {i: Observation(torch.zeros(1), torch.zeros(1), i) for i in (1, 2)}

    def shipped_reference(self, number: int) -> torch.Tensor:
        return torch.zeros(100, 1)


@pytest.fixture(scope="module")
def small() -> Registry:
    made = Registry()
    components = SimpleNamespace(
        tasks=hookimpl(lambda: {"t": TwoObservations}),
        methods=hookimpl(lambda: {"m": Nothing}),
        metrics=hookimpl(lambda: {"c2st": Nothing, "mmd": Nothing, "seed": Nothing}),
    )
    made.register(Plugin("test", "test", "0", "test"), components)
    return made


def test_a_task_that_cannot_list_its_observations(small: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    content = {"tasks": ["t"], "methods": ["m"], "budgets": [1]}
    assert len(sweep.runs(sweep.check(content, ""), small)) == 2
    monkeypatch.setattr(TwoObservations, "observations", lambda self: 1 / 0)
    with pytest.raises(PluginError, match="task 't' cannot say what its observations are: ZeroDivisionError"):
        sweep.runs(sweep.check(content, ""), small)


def test_a_task_without_what_metrics_compare_with(registry: Registry) -> None:
    content = {"tasks": ["two_moons", "epidemic"], "methods": ["prior"], "budgets": [1], "metrics": ["mpd"]}
    assert {run.task for run in sweep.runs(sweep.check(content, ""), registry)} >= {"two_moons"}
    content["metrics"] = ["mpd", "mmd", "c2st"]
    with pytest.raises(UsageError, match=r"file: metrics: task 'epidemic' is forward-only.* with one: mmd, c2st; take"):
        sweep.runs(sweep.check(content, ""), registry, "file")


def test_a_metric_named_like_a_column_is_refused(small: Registry) -> None:
    with pytest.raises(UsageError, match="metric 'seed' is named like a column"):
        sweep.runs(sweep.check({"tasks": ["t"], "methods": ["m"], "budgets": [1], "metrics": ["seed"]}, ""), small)


def to_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_toml(key)} = {to_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    return str(value).lower() if isinstance(value, bool | float) else str(value)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
PARTS = [
    "m",
    ":",
    "(",
    ")",
    ",",
    "=",
    "number",
    "text",
    "flag",
    "limit",
    "1",
    "None",
    "../",
    "\n",
    '"',
    "[red]",
    "\x1b",
]
GOOD_SPECS = st.sampled_from(
    ["m", " m", "(m)", "m:number=2", "m(number=2,text=x y)", "m:text=[red],flag=1", "t:text=../x"]
)
SPECS = GOOD_SPECS | GOOD_SPECS | st.lists(st.sampled_from(PARTS), max_size=9).map("".join) | TEXT
SCALARS = st.booleans() | st.integers() | st.floats() | SPECS
OPTIONS = st.sampled_from(["number", "text", "flag", "limit", "text", "x.y"])
GRIDS = st.dictionaries(OPTIONS | OPTIONS | TEXT, st.lists(SCALARS, max_size=3), max_size=3)
CHOICES = SPECS | st.fixed_dictionaries({"spec": SPECS}, optional={"grid": GRIDS}) | SCALARS | GRIDS
KEYS = st.sampled_from([*sweep.Sweep.model_fields, "budget"])
VALUES = SCALARS | st.lists(st.integers(), max_size=3) | st.lists(CHOICES, max_size=3) | GRIDS
SWEEPS = st.dictionaries(KEYS | TEXT, VALUES, max_size=8)
GOOD_METHODS = st.lists(st.fixed_dictionaries({"spec": GOOD_SPECS}, optional={"grid": GRIDS}), min_size=1, max_size=3)
SOUND = {"tasks": ["t"], "methods": ["m"], "budgets": [1], "metrics": ["mmd"]}
ALMOST = st.dictionaries(KEYS | TEXT, VALUES, max_size=1).map(lambda change: SOUND | change)
NEARLY = st.fixed_dictionaries({"methods": GOOD_METHODS, "budgets": st.lists(st.integers(1, 3), min_size=1)})


@settings(max_examples=700, deadline=None)
@given(content=SWEEPS | ALMOST | NEARLY.map(lambda change: SOUND | change))
def test_fuzzed_sweeps_run_or_say_what_is_wrong(
    small: Registry, tmp_path_factory: pytest.TempPathFactory, content: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    lines = [f"{to_toml(key)} = {to_toml(value)}" for key, value in content.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    judge(path, small)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=100) | st.text("[]{}=\"'.,#\n atmk01\\u\x00é", max_size=100).map(str.encode))
def test_fuzzed_files_say_what_is_wrong(
    small: Registry, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    path.write_bytes(content)
    judge(path, small)


def judge(path: Path, registry: Registry) -> None:
    """Either runs, whose texts are printable, or an error that names the file (and prints no control characters)."""
    try:
        runs = sweep.Request(path).runs(registry)
    except UsageError as error:
        texts = [str(error)]
    else:
        assert runs
        texts = [text for run in runs for text in (run.task, run.method, run.resolved, *run.metrics)]
    assert all(text.isprintable() for text in texts)


def test_the_example_of_the_documentation(registry: Registry, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text(encoding="utf-8")
    (tmp_path / "sweep.toml").write_text(page.partition("```toml\n")[2].partition("```")[0])
    runs = sweep.Request(tmp_path / "sweep.toml").runs(registry)
    assert len(runs) == 2 * 2 * 2 * 7 * 10
    for text in (
        line.partition("--select")[2] for line in page.splitlines() if line.startswith("$") and "--select" in line
    ):
        assert sweep.chosen(runs, [part.strip("' ") for part in text.split("--select")])


def test_a_file_nested_without_end(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(UsageError, match=r"deep.toml"):
        sweep.read(path)
