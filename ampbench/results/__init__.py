"""Results: runs and their records, the store on disk, and the frame of all records.

The module of the frame is imported on first use, since importing pandas takes a second.
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
