"""The environment variables that enable trackers."""

from __future__ import annotations

TENSORBOARD = "AMPBENCH_TENSORBOARD"
"""Its value is the folder below which training curves for TensorBoard are written."""

MLFLOW = "AMPBENCH_MLFLOW"
"""Its value is the folder below which runs for MLflow are written."""

DIAGNOSTICS = "AMPBENCH_DIAGNOSTICS"
"""Its value is the folder below which the diagnosis of every fit is written."""
