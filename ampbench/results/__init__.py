"""Where do results lie? Runs and their records, the store that keeps them, and the frame that shows them.

The frame is imported when it is asked for, since pandas takes a second to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ampbench.results.record import Record, Run

if TYPE_CHECKING:
    from ampbench.results.frame import load, validate

__all__ = ["Record", "Run", "load", "validate"]


def __getattr__(name: str) -> Any:
    if name in ("load", "validate"):
        from ampbench.results import frame

        return getattr(frame, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
