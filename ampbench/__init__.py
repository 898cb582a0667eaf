"""ampbench: benchmarks for likelihood-free inference, and adversarial message passing.

Importing this package costs next to nothing; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # typing, and all else that takes time, is imported after the command line handles Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from ampbench.amp import AMP
    from ampbench.api import infer, infer_graph, learn, restore, restore_graph, save
    from ampbench.graph import Graph, Node, Simulator, one_at_a_time
    from ampbench.hookspecs import hookimpl
    from ampbench.interfaces import fit
    from ampbench.results import load, validate

    __version__: str

__all__ = [
    "AMP",
    "Graph",
    "Node",
    "Simulator",
    "fit",
    "hookimpl",
    "infer",
    "infer_graph",
    "learn",
    "load",
    "one_at_a_time",
    "read_simulations",
    "restore",
    "restore_graph",
    "save",
    "validate",
]

_HOMES = {
    "AMP": "ampbench.amp",
    "Graph": "ampbench.graph",
    "Node": "ampbench.graph",
    "Simulator": "ampbench.graph",
    "fit": "ampbench.interfaces",
    "hookimpl": "ampbench.hookspecs",
    "infer": "ampbench.api",
    "infer_graph": "ampbench.api",
    "learn": "ampbench.api",
    "load": "ampbench.results",
    "one_at_a_time": "ampbench.graph",
    "read_simulations": "ampbench.simulations",
    "restore": "ampbench.api",
    "restore_graph": "ampbench.api",
    "save": "ampbench.api",
    "validate": "ampbench.results",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "__version__":
        return _installed_version()
    if name in ("interfaces", "results", "testing"):
        return importlib.import_module(f"ampbench.{name}")
    raise AttributeError(f"module 'ampbench' has no attribute {name!r}")


def _installed_version() -> str:
    """Return the version of the installed distribution, which its build took from the tags of the repository."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("ampbench")
    except PackageNotFoundError:
        return "0+not-installed"
