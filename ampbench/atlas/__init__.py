"""Checks of posterior samples for dropped modes, invented mass, wrong widths, shifts and heavy tails."""
