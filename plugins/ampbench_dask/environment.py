"""The environment variable that permits dask workers to start child processes, as ampbench's jobs do."""

from __future__ import annotations

DAEMON = "DASK_DISTRIBUTED__WORKER__DAEMON"
"""Must be ``False`` for ampbench's jobs: daemonic processes cannot have children."""
