"""The analysis of one observation: fit, samples, summary, predictions, calibration and plots, as files in a folder."""

from ampbench.analysis.calibration import Calibration
from ampbench.analysis.folder import Analysis
from ampbench.analysis.request import Request

__all__ = ["Analysis", "Calibration", "Request"]
