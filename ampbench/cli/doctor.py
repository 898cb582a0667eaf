"""``ampbench doctor``: checks of the installation."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from ampbench import registry
from ampbench.errors import PluginError, UsageError
from ampbench.hookspecs import KINDS
from ampbench.results.provenance import versions
from ampbench.spec import Spec


@dataclass(frozen=True)
class Check:
    """A check: its subject, its result, and whether it is in order."""

    what: str
    found: str
    ok: bool


def check_installation() -> list[Check]:
    """Check versions, devices, plugins and all components."""
    return [*_versions(), *_devices(), *_components()]


def _versions() -> Iterator[Check]:
    for package, version in versions().items():
        yield Check(package, version, True)
    if importlib.util.find_spec("sbi") is None:
        yield Check("sbi", "not installed; the sbi baselines need it: pip install 'ampbench[sbi]'", True)


def _devices() -> Iterator[Check]:
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    yield Check("device", f"cpu, {accelerator}" if accelerator else "cpu only", True)


def _components() -> Iterator[Check]:
    faults: list[PluginError] = []
    loaded = registry.load(faults.append)
    for fault in faults:
        yield Check("plugins", str(fault), False)
    yield Check("plugins", ", ".join(loaded.plugins), True)
    for kind in KINDS:
        for name, entry in loaded.entries(kind).items():
            if not Spec(name).is_readable:
                unusable = f"its name cannot stand in a spec, so that nothing can use it; see plugin {entry.plugin}"
                yield Check(f"{KINDS[kind]} {name!r}", unusable, False)
            try:
                entry.factory()
                with suppress(UsageError):  # it has options without a default
                    loaded.packages(kind, name)
            except PluginError as error:
                yield Check(f"{KINDS[kind]} {name}", str(error), False)
        yield Check(kind, ", ".join(loaded.entries(kind)) or "none", True)
