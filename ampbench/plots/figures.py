"""Matplotlib, which is an optional dependency, and figures that no window shows."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ampbench.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POSTERIOR, DATA = "C0", "C3"
"""Colours of what the posterior says, and of data."""


def needed(module: str) -> Any:
    """Return a module that draws.

    Raises:
        UsageError: it is not installed; the message tells how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"a plot needs {module.partition('.')[0]}, which is not installed: pip install 'ampbench[plots]'"
        ) from error


def new_figure(width: float, height: float, layout: str | None = "constrained") -> Figure:
    """Return an empty figure of a size in inches, which belongs to no window."""
    return needed("matplotlib.figure").Figure(figsize=(width, height), layout=layout)
