"""Training histories as tables: one row per check of the held-out score.

The columns are described by :data:`ampbench.results.schema.HISTORY`. The players are ``adversary`` and ``family``; a
player without parameters has no columns of gradient norm and learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ampbench.results.schema import HISTORY

if TYPE_CHECKING:
    from pandas import DataFrame


def history_frame(history: Sequence[Mapping[str, float]]) -> DataFrame:
    """Return the rows of a history as a frame; a quantity that a row lacks is NaN.

    Example:
        >>> history_frame([{"step": 10, "held_out_score": 0.5, "family loss (theta | x)": 1.5}]).T
                                    0
        step                     10.0
        held_out_score            0.5
        family loss (theta | x)   1.5
    """
    import pandas as pd

    columns = dict.fromkeys([*HISTORY.names, *(name for row in history for name in row)])
    return pd.DataFrame(list(history), columns=list(columns))
