"""Plots of posteriors and of their predictions, as figures of matplotlib."""
