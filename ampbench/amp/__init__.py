"""Adversarial message passing: Algorithm 1, the method that runs it under a budget, and the models that it learns."""

from ampbench.amp.learning import LearnedModel, learn
from ampbench.amp.method import AMP
from ampbench.amp.posterior import AMPPosterior

__all__ = ["AMP", "AMPPosterior", "LearnedModel", "learn"]
