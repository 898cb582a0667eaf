"""Provenance of results: versions of packages, and the commit of the source."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("ampbench", "torch", "numpy", "pandas", "scikit-learn", "sbi")
"""Packages whose versions are recorded, if they are installed."""


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the installed :data:`PACKAGES`."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


@cache
def commit() -> str:
    """Return the commit of ampbench's source checkout, with "+" for uncommitted changes; "" outside a checkout."""
    folder = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        if not git("ls-files", "hookspecs.py"):  # a checkout of another project
            return ""
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--", ".") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
