"""Declarations of the commands, a module for each group; :mod:`ampbench.cli.app` registers them.

Slow imports are inside the commands, so that ``--help`` and ``list`` start fast.
"""
