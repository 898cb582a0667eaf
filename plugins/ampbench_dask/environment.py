"""The environment variable by which dask's workers may have child processes, which ampbench's jobs need."""

from __future__ import annotations

DAEMON = "DASK_DISTRIBUTED__WORKER__DAEMON"
