"""x"""
from __future__ import annotations
from ampbench.hookspecs import hookimpl
__all__ = ["hookimpl"]
__version__ = "0.1.0"
