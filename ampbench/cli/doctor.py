"""``ampbench doctor``: what is wrong with the installation, the machine and the results, and how to mend it."""

from __future__ import annotations

import os
import platform
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

import ampbench
from ampbench import registry
from ampbench.cli.environment import Check, check_devices, check_machine
from ampbench.console import LiteralConsole, cell, document, is_quiet, new_table, say
from ampbench.errors import PluginError, ResultsError, UsageError
from ampbench.hookspecs import KINDS
from ampbench.results import upkeep
from ampbench.results.bundle import is_bundle, open_store
from ampbench.results.checksums import is_directory
from ampbench.results.provenance import versions
from ampbench.spec import Spec

EXTRAS = {
    "sbi": "the methods of sbi",
    "dask": "sweeps on clusters",
    "arviz": "ampbench export",
    "plots": "plots of posteriors",
    "parquet": "simulations from .parquet",
    "tensorboard": "training curves in TensorBoard",
    "mlflow": "sweeps in MLflow",
    "digits": "handwritten digits",
    "radon": "the task radon",
}
"""The purpose of each optional group of packages."""


def run_doctor(results: Path, as_json: bool) -> int:
    """Print the checks, with ``--quiet`` those that failed, and return 1 if one failed."""
    checks = check_installation(results)
    wrong = [check for check in checks if not check.ok]
    if as_json:
        document([asdict(check) for check in checks])
        return int(bool(wrong))
    table = new_table()
    for title, fixed in (("", True), ("check", False), ("what was found", False)):
        table.add_column(title, no_wrap=fixed, overflow="fold")
    for check in wrong if is_quiet() else checks:
        table.add_row(*map(cell, ("ok" if check.ok else "PROBLEM", check.what, check.found)))
        if check.mend:
            table.add_row("", "", cell(f"{'optional' if check.ok else 'to mend'}: {check.mend}"))
    if table.row_count:
        LiteralConsole().print(table)
    if not is_quiet():
        say(f"\n{len(wrong)} of {len(checks)} checks found a problem" if wrong else "\nall is in order")
    return int(bool(wrong))


def check_installation(results: Path = Path("results")) -> list[Check]:
    """Check packages, entry points, devices, machine, plugins, components and results.

    Arguments:
        results: the results directory, which need not exist, or a bundle.
    """
    checks = [Check("python", platform.python_version()), *_packages(), *_entry_points()]
    machine = check_machine(results.absolute().parent if is_bundle(results) else results)
    if any(check.what == "torch" and not check.ok for check in checks):
        return [*checks, *machine]  # nothing else can be imported
    return [*checks, *check_devices(), *machine, *_components(), *_results(results)]


def _packages() -> Iterator[Check]:
    """Compare the installed packages with the requirements of ampbench and of its extras."""
    try:
        own = distribution("ampbench")
    except PackageNotFoundError:
        return
    requirements = [Requirement(each) for each in own.requires or ()]
    shown = versions()
    yield Check("ampbench", own.version)
    for required in requirements:
        if required.marker is None or required.marker.evaluate({"extra": ""}):
            found = _installed(required)
            if fault := _fault(required, found):
                yield Check(required.name, fault, False, f"pip install '{required}'")
            elif required.name in shown:
                yield Check(required.name, found)
    for extra, purpose in EXTRAS.items():
        if brought := [each for each in requirements if _belongs(each, extra)]:
            yield _extra(extra, purpose, brought)


def _belongs(required: Requirement, extra: str) -> bool:
    marker = required.marker
    return marker is not None and not marker.evaluate({"extra": ""}) and marker.evaluate({"extra": extra})


def _extra(extra: str, purpose: str, requirements: list[Requirement]) -> Check:
    """Check an optional group of packages: it may be missing, but what is there must have the right version."""
    what, command = f"ampbench[{extra}]", f"pip install 'ampbench[{extra}]'"
    found = {each.name: _installed(each) for each in requirements}
    missing = [name for name, version in found.items() if not version]
    faults = [_fault(each, found[each.name]) for each in requirements if found[each.name]]
    if wrong := [fault for fault in faults if fault]:
        return Check(what, f"for {purpose}: {'; '.join(wrong)}", False, command)
    if missing:
        return Check(what, f"not installed: {', '.join(missing)}", True, f"for {purpose}: {command}")
    return Check(what, ", ".join(f"{name} {version}" for name, version in found.items()))


def _installed(required: Requirement) -> str:
    """Return the installed version of a required package; "" if there is none."""
    try:
        return distribution(required.name).version
    except PackageNotFoundError:
        return ""


def _fault(required: Requirement, version: str) -> str:
    if not version:
        return f"{required.name} is not installed"
    if not required.specifier.contains(version, prereleases=True):
        return f"{required.name} {version} is installed, {required.specifier} is needed"
    return ""


def _entry_points() -> Iterator[Check]:
    """Check that ampbench is installed, with the entry points of its source if that lies beside it."""
    again = "pip install -e . in the folder of the source"
    try:
        own = distribution("ampbench")
    except PackageNotFoundError:
        folder = Path(ampbench.__file__).parents[1]
        yield Check("entry points", f"ampbench is imported from {folder}, but not installed", False, again)
        return
    declared, known = _declared(), _known(own)
    if missing := sorted(declared - known):
        found = f"the installation does not know the plugins {', '.join(missing)} of its source"
        yield Check("entry points", found, False, again)
    elif not known:
        yield Check("entry points", "the installation has no plugins", False, "pip install --force-reinstall ampbench")
    else:
        yield Check("entry points", f"{len(known)} built-in plugins")
    if off := os.environ.get(registry.DISABLE):
        yield Check(
            "entry points", f"{registry.DISABLE}={off}", True, f"to use these plugins: unset {registry.DISABLE}"
        )


def _known(own: Distribution) -> set[str]:
    return {point.name for point in own.entry_points if point.group == registry.GROUP}


def _declared() -> set[str]:
    """Return the names of plugins in the pyproject.toml beside the package; none for an installed wheel."""
    try:
        project = tomllib.loads((Path(ampbench.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return set()
    return set(project["entry-points"][registry.GROUP]) if project.get("name") == "ampbench" else set()


def _components() -> Iterator[Check]:
    faults: list[PluginError] = []
    loaded = registry.load(faults.append)
    for fault in faults:
        yield Check("plugins", str(fault), False)
    yield Check("plugins", ", ".join(loaded.plugins))
    for kind in KINDS:
        for name, entry in loaded.entries(kind).items():
            if not Spec(name).is_readable:
                unusable = "its name cannot stand in a spec, so that nothing can use it"
                yield Check(f"{KINDS[kind]} {name!r}", unusable, False, f"rename it in plugin {entry.plugin}")
            try:
                entry.factory()
                with suppress(UsageError):  # it has options without a default
                    loaded.packages(kind, name)
            except PluginError as error:
                yield Check(f"{KINDS[kind]} {name}", str(error), False)
        yield Check(kind, ", ".join(loaded.entries(kind)) or "none")


def _results(folder: Path) -> Iterator[Check]:
    """Verify the checksums of a results directory or a bundle."""
    if not is_directory(folder) and not is_bundle(folder):
        return
    try:
        found = upkeep.check(open_store(folder))
    except ResultsError as error:
        yield Check("results", str(error), False, "get the bundle again from where it was published")
        return
    if found.damages:
        first = f"{len(found.damages)} damaged files in {folder}, such as {found.damages[0]}"
        mend = f"ampbench store check --results {folder} lists them; the ampbench run that made them repeats them"
        yield Check("results", first, False, mend)
    else:
        yield Check("results", f"{found.good} good results and {found.failed} failures in {folder}")
