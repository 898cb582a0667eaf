"""The environment variables that switch trackers on."""

from __future__ import annotations

TENSORBOARD = "AMPBENCH_TENSORBOARD"
"""The folder below which training curves are written for TensorBoard."""

DIAGNOSTICS = "AMPBENCH_DIAGNOSTICS"
"""The folder below which the diagnosis of every fit is written."""
