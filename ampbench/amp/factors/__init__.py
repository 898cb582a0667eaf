"""Learned factors: conditional densities of black-box simulators, learned from the simulations of the budget."""

from __future__ import annotations

from ampbench.amp.factors.fitting import LearnedFactor, black_boxes, learn_factor
from ampbench.amp.factors.surrogate import surrogate

__all__ = ["LearnedFactor", "black_boxes", "learn_factor", "surrogate"]
