"""The command line: a file for each command, and one that declares them all."""

from ampbench.cli.app import main

__all__ = ["main"]
