"""Learned factors: conditional densities of black-box simulators, learned from the simulations of the budget."""

from __future__ import annotations

from ampbench.amp.factors.method import LearnedFactors

__all__ = ["LearnedFactors"]
