"""Citations: every component that names a publication gives its entry, and results cite exactly what they use."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ampbench import registry
from ampbench.errors import PluginError, UsageError
from ampbench.hookspecs import Lazy, hookimpl
from ampbench.registry import Entry as Component
from ampbench.registry import Plugin, Registry
from ampbench.reporting.bibtex import Entry, parse
from ampbench.reporting.cff import citation_file
from ampbench.reporting.citations import Citations, bundle_entry, cite, cite_runs
from ampbench.results import Run
from ampbench.results.manifest import Manifest
from ampbench.results.provenance import versions

LOADED = registry.load()
CITED_KINDS = ("tasks", "methods", "divergences", "families", "metrics")
COMPONENTS = [each for kind in CITED_KINDS for each in LOADED.entries(kind).values()]
PLUGIN = Plugin("theirs", "their-distribution", "1.0", "theirs")
RUN = Run("two_moons", "1", "amp", "amp:divergence=jsd,family=flow", 10, 1, 0, 100, ("mmd",))


def keys(found: Citations) -> list[str]:
    return [each.key for each in found.entries]


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda each: f"{each.kind}-{each.name}")
def test_a_component_gives_the_entry_of_its_source(component: Component) -> None:
    """A source such as 'Gelman & Hill 2007, chapter 12' has an entry of that first author and year."""
    source = re.match(r"(\S+).*?\b(\d{4})\b", component.source)
    entries = [dict(each.fields) for each in parse(component.bibtex)]
    if source:
        assert any(each["author"].startswith(f"{source[1]},") and each["year"] == source[2] for each in entries)
    else:
        assert (component.source, entries) == ("a reference point", [])


def test_built_in_entries_have_one_key_each() -> None:
    every = [each for component in COMPONENTS for each in parse(component.bibtex)]
    by_key = {each.key: each for each in every}
    assert all(by_key[each.key] == each for each in every)
    assert len({each.fields for each in by_key.values()}) == len(by_key)
    for each in by_key.values():
        year = dict(each.fields)["year"]
        assert re.fullmatch(f"[a-z]+{year}[a-z]+", each.key)
        assert re.fullmatch(r"\d{4}\.\d{4,5}", dict(each.fields).get("eprint", "1234.5678"))


def test_components_inside_are_cited() -> None:
    found = keys(
        cite(LOADED, [("methods", "amp:divergence=blend(first=riesz,second=forward-kl),family=embedded(family=maf)")])
    )
    assert found == [
        "ampbench",
        "karaletsos2016adversarial",
        "hertrich2024generative",
        "papamakarios2016fast",
        "radev2020bayesflow",
        "papamakarios2017masked",
        "rozet2022zuko",
    ]
    assert keys(cite(LOADED, [("tasks", "nile")])) == ["ampbench", "durbin2012time", "cobb1978problem"]
    with pytest.raises(UsageError, match="unknown method"):
        cite(LOADED, [("methods", "nope")])


def test_runs_cite_what_they_use_once() -> None:
    found = cite_runs(LOADED, [RUN, replace(RUN, seed=1)], ["0.0.9"])
    assert found.uses == {
        "ampbench": ["ampbench"],
        "lueckmann2021benchmarking": ["task two_moons"],
        "greenberg2019automatic": ["task two_moons"],
        "karaletsos2016adversarial": ["method amp", "divergence jsd"],
        "goodfellow2014generative": ["divergence jsd"],
        "durkan2019neural": ["family flow"],
        "rozet2022zuko": ["family flow"],
        "gretton2012kernel": ["metric mmd"],
    }
    assert "Version 0.0.9" in str(found)
    assert f"Version {versions()['ampbench']}" in str(cite(LOADED, []))


def test_what_is_printed_is_bibtex() -> None:
    every = [(each.kind, each.name) for each in COMPONENTS if each.kind not in ("divergences", "families")]
    text = str(cite(LOADED, [pair for pair in every if pair[1] != "blend"]))
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert len(parse(without_comments)) > 40
    assert without_comments.isascii()
    assert not any("@" in line for line in text.splitlines() if line.startswith("%"))


def test_what_is_not_installed_or_changed_is_named() -> None:
    hostile = replace(RUN, method="x", resolved="gone:a=1", task="gone@home", metrics=("mmd:no_such_option=1",))
    found = cite_runs(LOADED, [hostile])
    assert keys(found) == ["ampbench", "gretton2012kernel"]
    assert [text.split(":")[0] for text in found.remarks] == ["no entry", "no entry", "incomplete"]
    assert "% no entry: task gone(at)home is not installed here; install its plugin" in str(found)


def theirs(bibtex: object) -> Registry:
    class Hooks:
        @hookimpl
        def methods(self) -> object:
            return {"theirs": Lazy("ampbench.amp:AMP", bibtex=bibtex)}  # type: ignore[arg-type]

    made = Registry()
    made.register(PLUGIN, Hooks())
    return made


def test_a_plugin_gives_its_entries_as_the_built_in_ones_do() -> None:
    loaded = theirs("@misc{theirs2026, author = {A & B}, title = {T}}")
    component = loaded.entries("methods")["theirs"]
    assert component.bibtex.startswith("@misc{theirs2026")

    def method() -> None:
        """Do something."""

    method.bibtex = "@misc{me, title = {M}}"  # type: ignore[attr-defined]

    class Hooks:
        @hookimpl
        def methods(self) -> object:
            return {"plain": method, "bare": lambda: None}

    made = Registry()
    made.register(PLUGIN, Hooks())
    found = cite(made, [("methods", "plain"), ("methods", "bare")])
    assert keys(found) == ["ampbench", "me"]
    assert found.remarks == ["no entry: method bare of their-distribution gives none"]


def test_what_a_plugin_gives_is_checked() -> None:
    with pytest.raises(PluginError, match="bibtex of method 'theirs' is a int, not a text"):
        theirs(1)

    class Hooks:
        @hookimpl
        def methods(self) -> object:
            def broken() -> None:
                """Do something."""

            broken.bibtex = "@misc{a"  # type: ignore[attr-defined]
            return {"broken": broken}

    made = Registry()
    made.register(PLUGIN, Hooks())
    with pytest.raises(PluginError, match=r"bibtex of method 'broken' of plugin 'theirs'.* cannot be read: line 1"):
        cite(made, [("methods", "broken")])


def test_keys_are_stable_and_distinct() -> None:
    one, other = (Entry("misc", key, (("title", title),)) for key, title in (("a", "One"), ("A", "Other")))
    found = Citations()
    for each in (one, other, one, other):
        found.add(each, "x")
    first, second = keys(found)
    assert first == "a"
    assert re.fullmatch("A-[0-9a-f]{6}", second)
    same = Entry("article", "b", (("title", "Elsewhere"), ("eprint", "1.2")))
    found.add(same, "y")
    found.add(Entry("misc", "c", (("title", "Again"), ("eprint", "1.2"))), "z")
    assert found.uses["b"] == ["y", "z"]


def manifest(**given: object) -> Manifest:
    base = {"format": 1, "ampbench": "1", "results": 1, "failures": 0, "samples": False, "versions": {}, "files": {}}
    return Manifest.model_validate(base | {"finished": "2026-11-30T00:00:00+00:00"} | given)


def test_a_bundle_is_cited_whatever_it_is_called() -> None:
    about = manifest(
        title=r"} \input{x} 5 $ @misc{y", group="A & {B", authors=["Doe, J}ane", "The {Group"], licence="MIT"
    )
    (found,) = parse(str(bundle_entry(about, "123456789012")))
    text = str(found)
    assert found.key == "bundle:123456789012"
    assert r"\input" not in text
    assert r"{{Doe}, J{\textbraceright}ane and {The {\textbraceleft}Group}}" in text


def test_a_citation_file_is_yaml() -> None:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    about = manifest(title='a: "b" # c', authors=["Doe, Jane", "Ünal: group"], licence="CC-BY-4.0")
    assert yaml.safe_load(citation_file(about)) == {
        "cff-version": "1.2.0",
        "message": "If you use these results, please cite them, and the sources in references.bib.",
        "title": 'a: "b" # c',
        "type": "dataset",
        "authors": [{"family-names": "Doe", "given-names": "Jane"}, {"name": "Ünal: group"}],
        "license": "CC-BY-4.0",
        "date-released": "2026-11-30",
    }
    assert "license" not in citation_file(manifest(licence="MIT OR Apache-2.0"))
