"""Fixtures of the tests of plots: matplotlib, and the frame of the committed results."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from ampbench.results import load

if not all(map(find_spec, ("matplotlib", "corner"))):  # pip install 'ampbench[plots]'
    collect_ignore_glob = ["test_*.py"]

COMMITTED = Path(__file__).parents[2] / "results" / "without_density"


@pytest.fixture(scope="session")
def committed() -> pd.DataFrame:
    """The committed results without densities: two tasks, two methods, one budget, one seed, ten observations."""
    return load(COMMITTED)


@pytest.fixture
def frame(committed: pd.DataFrame) -> pd.DataFrame:
    """These results, and others at a tenth of the budget, in a second seed, with other scores and times."""
    import hashlib

    parts = []
    for i, (budget, seed) in enumerate([(100_000, 0), (10_000, 0), (100_000, 1), (10_000, 1)]):
        part = committed.assign(budget=budget, seed=seed)
        part["c2st"] = part["c2st"] + 0.01 * i
        part["fit_seconds"] = part["fit_seconds"] * (1 + i)
        part["key"] = [hashlib.sha256(f"{key}{i}".encode()).hexdigest()[:20] for key in part["key"]]
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
