"""Posterior predictive plots; see :mod:`ampbench.figures.predictive`."""

from ampbench.figures.predictive import MAX_HISTOGRAMS, predictive_plot

__all__ = ["MAX_HISTOGRAMS", "predictive_plot"]
