"""The door for plugins: what is broken is named, with its owner and the way out."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Annotated

import pytest

from ampbench import hookimpl
from ampbench.errors import PluginError, UsageError
from ampbench.hookspecs import KINDS, Lazy
from ampbench.interfaces import Default, Divergence
from ampbench.registry import Plugin, Registry, load
from ampbench.running import sweep


def plugin(name: str = "mine") -> Plugin:
    return Plugin(name, f"{name}-dist", "1.2", f"{name}_module")


def hooks(**functions: object) -> SimpleNamespace:
    return SimpleNamespace(**{name: hookimpl(function) for name, function in functions.items()})


class Plain:
    """Do nothing at all.

    More text.
    """

    source = "Nobody 2020"

    def __init__(self, clip: float = 0.5, steps: int = 3, loud: bool = False) -> None:
        self.clip, self.steps, self.loud = clip, steps, loud


@pytest.fixture
def filled() -> Registry:
    registry = Registry()
    registry.register(plugin(), hooks(divergences=lambda: {"plain": Plain}))
    return registry


def test_classes_are_components(filled: Registry) -> None:
    entry = filled.entries("divergences")["plain"]
    assert (entry.summary, entry.source, entry.plugin.distribution) == ("Do nothing at all", "Nobody 2020", "mine-dist")
    made = filled.build("divergences", "plain:clip=1e-3,loud=true")
    assert (made.clip, made.steps, made.loud) == (0.001, 3, True)
    assert str(filled.resolve("divergences", "plain")) == "plain:clip=0.5,loud=False,steps=3"


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("divergences", "plian", "unknown divergence 'plian'; known: plain; did you mean 'plain'"),
        ("divergences", "plain:clp=1", "divergence 'plain'.*'clp'; known: clip, loud, steps; did you mean 'clip'"),
        ("divergences", "plain:steps=many", "option 'steps' of divergence 'plain' cannot be 'many'"),
        ("divergence", "plain", "unknown kind of component 'divergence'.*did you mean 'divergences'"),
    ],
)
def test_misspelt_specs(filled: Registry, kind: str, spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        filled.build(kind, spec)


def test_two_owners_of_one_name(filled: Registry) -> None:
    with pytest.raises(PluginError, match=r"'plain' is claimed by plugin 'mine' .*mine-dist 1.2.* 'other' .*=other"):
        filled.register(plugin("other"), hooks(divergences=lambda: {"plain": Plain}))
    with pytest.raises(PluginError, match="plugin 'mine' is claimed by"):
        filled.register(plugin(), hooks())


def raising() -> dict[str, object]:
    raise RuntimeError("no licence")


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        (hooks(divergence=lambda: {}), "unknown hook 'divergence'"),
        (hooks(run_started=lambda runn: None), "runn"),
        (hooks(tasks=raising), "RuntimeError: no licence"),
        (hooks(tasks=lambda: 3), "AttributeError|TypeError"),
        (hooks(tasks=lambda: {"t": 3}), "task 't' is a int, not a class"),
    ],
    ids=["misspelt hook", "misspelt argument", "raises", "no mapping", "no component"],
)
def test_broken_plugins_name_their_owner(implementation: object, message: str) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        Registry().register(plugin(), implementation)
    for part in ("'mine'", "mine-dist", "1.2", "AMPBENCH_DISABLE_PLUGINS=mine"):
        assert part in str(caught.value)


def test_lazy_components_that_do_not_import() -> None:
    registry = Registry()
    registry.register(plugin(), hooks(tasks=lambda: {"gone": Lazy("no_such_module:X", "a task")}))
    assert registry.entries("tasks")["gone"].summary == "a task"
    with pytest.raises(PluginError, match=r"task 'gone' of plugin 'mine'.*mine-dist.*no_such_module"):
        registry.build("tasks", "gone")


def test_components_that_cannot_be_built() -> None:
    registry = Registry()
    registry.register(plugin(), hooks(tasks=lambda: {"bad": raising}))
    with pytest.raises(PluginError, match=r"task 'bad' of plugin 'mine'.*cannot be built.*no licence"):
        registry.build("tasks", "bad")


def test_nested_components_are_built_from_annotations(registry: Registry) -> None:
    method = registry.build("methods", "amp:divergence=jsd(saturating=true),family=implicit(noise=5)")
    assert method.divergence.saturating
    assert method.family.noise == 5
    assert "divergence=jsd(" in str(registry.resolve("methods", "amp"))
    assert Default("jsd").spec == "jsd"
    assert isinstance(method.divergence, Divergence)


class Mixed:
    """Some divergences and numbers by name."""

    def __init__(
        self,
        divergence: Annotated[Divergence, Default("plain")],
        divergences: Mapping[str, Divergence] = MappingProxyType({}),
        weights: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.divergence, self.divergences, self.weights = divergence, divergences, weights


class Alone:
    """The same without mappings."""

    def __init__(self, divergence: Annotated[Divergence, Default("plain")]) -> None:
        self.divergence = divergence


@pytest.fixture
def mixing() -> Registry:
    registry = Registry()
    components = {"mixed": Mixed, "alone": Alone}
    registry.register(plugin(), hooks(divergences=lambda: {"plain": Plain}, methods=lambda: components))
    return registry


def test_a_mapping_takes_its_entries_one_by_one(mixing: Registry) -> None:
    spec = "mixed:divergences.z1=plain,divergences.z_2=(plain:clip=2,steps=7),weights.z1=1e-3,divergence=plain(clip=3)"
    made = mixing.build("methods", spec)
    assert {name: (part.clip, part.steps) for name, part in made.divergences.items()} == {"z1": (0.5, 3), "z_2": (2, 7)}
    assert made.weights == {"z1": 0.001}
    assert made.divergence.clip == 3
    empty = mixing.build("methods", "mixed")
    assert (empty.divergences, empty.weights) == ({}, {})


def test_mappings_are_written_out_by_entry(mixing: Registry) -> None:
    resolved = str(mixing.resolve("methods", "mixed:weights.b=2,divergences.z2=(plain:loud=yes,clip=2),weights.a=1"))
    plain = "plain(clip=0.5,loud=False,steps=3)"
    assert resolved == (
        f"mixed:divergence={plain},divergences.z2=plain(clip=2.0,loud=True,steps=3),weights.a=1.0,weights.b=2.0"
    )
    assert str(mixing.resolve("methods", resolved)) == resolved


def test_an_empty_mapping_leaves_the_keys_of_stored_results_alone(mixing: Registry) -> None:
    mixed, alone = (str(mixing.resolve("methods", name)) for name in ("mixed", "alone"))
    assert mixed.replace("mixed", "alone") == alone


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mixed:divergences=plain", r"option 'divergences' of method 'mixed' is a mapping: .*divergences.NAME=…"),
        ("mixed:divergence.z1=plain", r"option of method 'mixed': 'divergence.z1'; .*did you mean 'divergences.z1'"),
        (
            "mixed:divregences.z1=plain",
            r"'divregences.z1'; known: divergence, divergences.z1, weights.z1; did you mean",
        ),
        ("mixed:divergenc=plain", r"known: divergence, divergences.NAME, weights.NAME; did you mean 'divergence'"),
        ("mixed:divergences.z1=plian", "unknown divergence 'plian'; known: plain; did you mean 'plain'"),
        ("mixed:divergences.z1=plain(clp=1)", "option of divergence 'plain': 'clp'"),
        ("mixed:weights.z1=heavy", "option 'weights.z1' of method 'mixed' cannot be 'heavy'"),
        ("alone:divergence.z1=plain", "unknown option of method 'alone': 'divergence.z1'; known: divergence; did you"),
    ],
)
@pytest.mark.parametrize("act", ["build", "resolve", "checked"])
def test_misspelt_entries(mixing: Registry, act: str, spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        getattr(mixing, act)("methods", spec)


def test_defaults_of_a_mapping_yield_to_its_entries() -> None:
    def weighted(weights: Mapping[str, int] = MappingProxyType({"a": 1, "b": 2})) -> object:
        return weights

    registry = Registry()
    registry.register(plugin(), hooks(tasks=lambda: {"weighted": weighted}))
    assert registry.build("tasks", "weighted:weights.b=3,weights.c=4") == {"a": 1, "b": 3, "c": 4}
    assert str(registry.resolve("tasks", "weighted")) == "weighted:weights.a=1,weights.b=2"


def test_mappings_in_a_sweep_file(mixing: Registry, registry: Registry, tmp_path: Path) -> None:
    """A method of a TOML file is a spec like any other; the order of its entries makes no difference."""
    path = tmp_path / "sweep.toml"
    path.write_text(
        """
        tasks = ["two_moons"]
        budgets = [100]
        observations = [1]
        methods = ["mixed:weights.b=2,weights.a=1", "mixed:weights.a=1,weights.b=2.0", "mixed:weights.a=1"]
        """
    )
    tasks, metrics = (
        {name: entry.component for name, entry in registry.entries(kind).items()} for kind in ("tasks", "metrics")
    )
    mixing.register(plugin("builtin"), hooks(tasks=lambda: tasks, metrics=lambda: metrics))
    assert len(sweep.runs(sweep.read(path), mixing)) == 2


class Learned:
    """Depends on another package."""

    packages = ("scikit-learn", "not-installed")


class Outer:
    """Holds a divergence."""

    def __init__(
        self, inner: Annotated[Divergence, Default("learned")], more: Mapping[str, Divergence] = {}
    ) -> None: ...


def test_a_component_belongs_to_versions() -> None:
    """Of all owners, at their very version; of what the numbers come from, up to patch releases."""
    registry = Registry()
    registry.register(plugin(), hooks(methods=lambda: {"outer": Outer, "plain": Plain}))
    registry.register(plugin("other"), hooks(divergences=lambda: {"learned": Learned, "plain": Plain}))
    minor = {name: f"{name}=={'.'.join(version(name).split('.')[:2])}.*" for name in ("torch", "numpy", "scikit-learn")}
    release = re.split(r"\.post|\.dev|\+", version("ampbench"))[0]
    everywhere = {f"ampbench=={release}", minor["torch"], minor["numpy"]}
    assert registry.packages("methods", "plain") == everywhere | {"mine-dist==1.2"}
    both = everywhere | {"mine-dist==1.2", "other-dist==1.2"}
    assert registry.packages("methods", "outer:inner=plain") == both
    assert registry.packages("methods", "outer") == both | {minor["scikit-learn"]}
    assert registry.packages("methods", "outer:inner=plain,more.x=learned") == both | {minor["scikit-learn"]}


def test_required_options() -> None:
    def needs(level: int) -> object:
        return level

    registry = Registry()
    registry.register(plugin(), hooks(tasks=lambda: {"needy": needs}))
    with pytest.raises(UsageError, match="task 'needy' needs the option 'level'"):
        registry.build("tasks", "needy")
    assert registry.build("tasks", "needy:level=3") == 3


def test_resolved_specs_can_be_built_again() -> None:
    def optional(level: int | None = None, name: str = "") -> object:
        return level, name

    def unwritable(name: str = "a,b)") -> object:
        return name

    registry = Registry()
    registry.register(plugin(), hooks(tasks=lambda: {"optional": optional, "unwritable": unwritable}))
    assert registry.build("tasks", str(registry.resolve("tasks", "optional"))) == (None, "")
    assert registry.build("tasks", "optional:level=2") == (2, "")
    with pytest.raises(PluginError, match="default cannot be written in a spec"):
        registry.resolve("tasks", "unwritable")


def test_every_builtin_has_summary_and_source(registry: Registry) -> None:
    for kind in KINDS:
        assert registry.entries(kind)
        for entry in registry.entries(kind).values():
            assert entry.summary
            assert entry.source or kind == "executors"
            assert callable(entry.factory())


def test_the_core_imports_no_builtin_plugin() -> None:
    """Import every module of the core in a fresh interpreter, and look at what came along."""
    code = """
        import importlib, pkgutil, sys, ampbench
        for module in pkgutil.walk_packages(ampbench.__path__, "ampbench."):
            if module.name != "ampbench.__main__":
                importlib.import_module(module.name)
        print([name for name in sys.modules if name.split(".")[0].startswith("ampbench_")])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list"], ["plugins"]])
def test_help_and_list_import_no_torch(arguments: list[str]) -> None:
    code = f"""
        import sys
        from ampbench.cli.app import app
        try:
            app({arguments!r})
        except SystemExit:
            pass
        heavy = {{"torch", "pandas", "sbi", "sklearn", "scipy", "networkx"}} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, check=True)


def third_party(folder: Path, module: str, entry: str) -> None:
    """Install a distribution by hand: a module and its metadata."""
    (folder / "ampbench_third.py").write_text(textwrap.dedent(module))
    metadata = folder / "third-7.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third\nVersion: 7.0\n")
    (metadata / "entry_points.txt").write_text(f"[ampbench]\n{entry}\n")


def test_a_third_party_comes_in_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(
        tmp_path,
        """
        from ampbench import hookimpl
        class Mine:
            "A metric of mine."
        @hookimpl
        def metrics():
            return {"mine": Mine}
        """,
        "third = ampbench_third",
    )
    monkeypatch.syspath_prepend(tmp_path)
    entry = load().entries("metrics")["mine"]
    assert (entry.plugin.distribution, entry.plugin.version) == ("third", "7.0")
    monkeypatch.setenv("AMPBENCH_DISABLE_PLUGINS", "other, third")
    assert "mine" not in load().entries("metrics")


def test_a_third_party_that_does_not_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(tmp_path, "raise OSError('driver missing')", "broken = ampbench_third")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ampbench_third", raising=False)
    with pytest.raises(PluginError, match=r"'broken' .*third 7.0.*driver missing.*AMPBENCH_DISABLE_PLUGINS=broken"):
        load()
