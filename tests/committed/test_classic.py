"""The committed results of the classic tasks: the tables of the pages are those of the records."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def make(committed: Callable[[str], ModuleType]) -> ModuleType:
    return committed("classic")


def test_pages_show_what_is_stored(make: ModuleType) -> None:
    for page, text in make.pages().items():
        assert page.read_text(encoding="utf-8") == text, f"{page}: run results/classic/make.py"


def test_every_stored_run_is_one_that_a_sweep_asks_for(make: ModuleType) -> None:
    found = [make.cells(file) for file in ("sweep.toml", "seeds.toml")]
    assert sum(cells["there"].sum() for cells in found) == len(make.stored()) > 0
    assert all((cells["there"] <= cells["wanted"]).all() for cells in found)


def test_published_scores_beside_ours_are_not_sequential(make: ModuleType) -> None:
    """Two moons, 10,000 simulations with a budget for all: NRE-C has 0.595, NPE 0.606, and sequential NPE 0.554."""
    best = make.best_published().set_index(["task", "budget"])
    assert not best.index.duplicated().any()
    assert best.loc[("two_moons", 10_000), "method"] == "NRE-C"
    assert best.loc[("gaussian_mixture", 10_000), "source"] == "sbi-benchmark/results gaussian_mixture_rerun"
    assert not best["method"].isin(["SNPE", "SNLE", "SNRE", "SMC-ABC"]).any()
