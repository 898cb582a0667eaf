"""Ensembles: several fits to the same simulations, trained as one stack of networks, and mixed."""

from __future__ import annotations

from ampbench.amp.ensembles.method import AMPEnsemble
from ampbench.amp.ensembles.posterior import EnsemblePosterior

__all__ = ["AMPEnsemble", "EnsemblePosterior"]
