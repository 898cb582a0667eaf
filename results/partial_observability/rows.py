"""Rows with holes, and what is left of them when the incomplete ones are dropped."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

Rows = Mapping[str, Tensor]
"""One tensor (n, D_i) per variable; a row of NaN is missing."""


def masked(rows: Rows, missing: Mapping[str, slice]) -> dict[str, Tensor]:
    """Return a copy of the rows in which each named variable is missing in a slice of them."""
    result = {name: value.clone() for name, value in rows.items()}
    for name, where in missing.items():
        result[name][where] = torch.nan
    return result


def dropped(rows: Rows) -> dict[str, Tensor]:
    """Return the complete rows alone."""
    complete = ~torch.stack([value.isnan().any(1) for value in rows.values()]).any(0)
    return {name: value[complete] for name, value in rows.items()}


def complete_only(rows: Rows) -> dict[str, Tensor]:
    """Drop the incomplete rows, and put masked copies of the complete ones in their place.

    Each pattern of missing variables stays, so that the same networks are trained for the same number of steps on
    batches of the same size; only the information of the incomplete rows is gone.
    """
    names = list(rows)
    held = torch.stack([~rows[name].isnan().any(1) for name in names], dim=1)
    complete = dropped(rows)
    parts = []
    for pattern in held.unique(dim=0).tolist():
        absent = {name: slice(None) for name, there in zip(names, pattern, strict=True) if not there}
        parts.append(masked(complete, absent))
    return {name: torch.cat([part[name] for part in parts]) for name in names}
