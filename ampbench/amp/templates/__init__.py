"""Adversarial message passing on graphs with repeated variables: one family and one adversary for all repeats."""

from ampbench.amp.templates.method import TemplateAMP

__all__ = ["TemplateAMP"]
