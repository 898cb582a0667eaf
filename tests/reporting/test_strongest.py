"""The strongest published scores: one for each scale, sequential ones apart."""

from __future__ import annotations

import pandas as pd
import pytest

from ampbench.reporting.ledger import ledger
from ampbench.reporting.strongest import SCALE, lowest_published, strongest

MLP, FOREST = ("mlp-10d (sbibm)", 10_000), ("random forest (sbi)", 10_000)


def results(task: str = "two_moons", samples: int = 10_000, **scores: float) -> pd.DataFrame:
    """Results of two methods at one observation, 10,000 simulations."""
    rows = [
        {"task": task, "method": method, "budget": 10_000, "samples": samples, "seed": 0, "observation": 1}
        | {name.replace("_", "-"): score + more for name, score in scores.items()}
        for method, more in (("a", 0.1), ("b", 0.0))
    ]
    return pd.DataFrame(rows)


def test_scales_are_apart() -> None:
    table = strongest(results(c2st=0.6, c2st_rf=0.55)).set_index(["classifier", "samples"])
    found = {scale: table.loc[[scale], ["method", "mean", "sequential"]].to_numpy().tolist() for scale in (MLP, FOREST)}
    assert found == {
        MLP: [["SNPE", 0.5539, "yes"], ["NRE-C", 0.5946, "no"]],
        FOREST: [["GenSBI SM (Flux1Joint)", 0.5222, "no"]],
    }
    assert set(table.loc[[FOREST], "choice"]) == {"best by this score"}
    assert set(table.loc[[MLP], "ours_mean"]) == {0.6}
    assert set(table.loc[[FOREST], "ours_mean"]) == {0.55}
    assert set(table.loc[[MLP, FOREST], "ours"]) == {"b"}
    assert set(table.loc[[MLP, FOREST], "ours_n"]) == {1}


def test_a_scale_without_scores_of_ours_is_shown() -> None:
    table = strongest(results(c2st=0.6, samples=1000))
    assert set(table["ours"]) == {""}
    assert table["ours_mean"].isna().all()
    assert {*table[["classifier", "samples"]].itertuples(index=False, name=None)} >= {MLP, FOREST}
    pd.testing.assert_frame_equal(table, strongest(results(mmd=0.1)))


@pytest.mark.parametrize("task", ["lgssm:length=5", "epidemic"])
def test_a_task_that_nobody_has_published(task: str) -> None:
    assert strongest(results(task, c2st=0.6)).empty


def test_no_published_score_is_lower() -> None:
    scores = ledger()
    scores = scores[(scores["classifier"] != "unknown") & scores["samples"].notna()]
    lowest = lowest_published()
    for part in (slice(None), scores["sequential"] == "no"):
        minimum = scores[part].groupby(SCALE)["c2st"].min()
        chosen = lowest if isinstance(part, slice) else lowest[lowest["sequential"] == "no"]
        pd.testing.assert_series_equal(chosen.groupby(SCALE)["c2st"].min(), minimum)
    assert lowest.groupby(SCALE).size().max() == 2
