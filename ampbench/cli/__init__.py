"""The command line: a module for each command, and :mod:`ampbench.cli.app`, which declares all commands."""

from ampbench.cli.app import main

__all__ = ["main"]
