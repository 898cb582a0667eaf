"""``ampbench doctor``: checks of the installation."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

from ampbench import registry
from ampbench.errors import AmpbenchError
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
    try:
        loaded = registry.load()
    except AmpbenchError as error:
        yield Check("plugins", str(error), False)
        return
    yield Check("plugins", ", ".join(loaded.plugins), True)
    for kind in KINDS:
        for name, entry in loaded.entries(kind).items():
            if not Spec(name).is_readable:
                unusable = f"its name cannot stand in a spec, so that nothing can use it; see plugin {entry.plugin}"
                yield Check(f"{KINDS[kind]} {name!r}", unusable, False)
            try:
                entry.factory()
            except AmpbenchError as error:
                yield Check(f"{KINDS[kind]} {name}", str(error), False)
        yield Check(kind, ", ".join(loaded.entries(kind)) or "none", True)
