"""Summaries of posterior draws: moments and quantiles of each component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pandas import DataFrame

LEVELS = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Levels of the quantiles."""


def summary_table(draws: Tensor, names: Sequence[str]) -> DataFrame:
    """Return mean, standard deviation and quantiles of draws (n, D), one row for each component.

    Example:
        >>> summary_table(torch.arange(5.0)[:, None], ["rate"]).round(2)
              mean    sd  2.5 %  25 %  50 %  75 %  97.5 %
        rate   2.0  1.58    0.1   1.0   2.0   3.0     3.9
    """
    from pandas import DataFrame

    exact = draws.double()
    spread = exact.std(0) if len(exact) > 1 else torch.full_like(exact[0], torch.nan)
    columns = {"mean": exact.mean(0), "sd": spread}
    columns |= {f"{100 * level:g} %": exact.quantile(level, 0) for level in LEVELS}
    return DataFrame({name: column.numpy() for name, column in columns.items()}, index=list(names))
