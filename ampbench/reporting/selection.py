"""Selections of stored runs by the values of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ampbench.errors import UsageError
from ampbench.reporting.compare import latest
from ampbench.spec import Spec, component_name

RUN_COLUMNS = ("task", "method", "budget", "samples", "seed", "observation", "origin")
"""The columns that tell the runs of a store apart, up to versions."""


def select_run(frame: pd.DataFrame, wanted: Mapping[str, object]) -> pd.Series:
    """Return the row of the one matching run, in its latest version.

    Raises:
        UsageError: no run matches, or several do; the message lists the choices.
    """
    for name, value in wanted.items():
        frame = matching(frame, name, [value])
    if frame.empty:
        raise UsageError("there are no results yet; run 'ampbench run' first")
    refuse_several(frame, RUN_COLUMNS)
    return latest(frame)[0].iloc[-1]


def matching(frame: pd.DataFrame, column: str, wanted: Sequence[object]) -> pd.DataFrame:
    """Return the rows in which a column has one of the values, all rows without values; a spec also by its name.

    Raises:
        UsageError: no row has one of the values; the message lists the choices.
    """
    if not wanted:
        return frame
    kept = pd.Series(False, index=frame.index)
    for value in wanted:
        fits = _fits(frame[column], value)
        if not fits.any():
            raise UsageError(f"no stored run has {column} {str(value)!r}; there are: {_some(frame[column])}")
        kept |= fits
    return frame[kept]


def refuse_several(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise :class:`UsageError` if one of the columns has several values; the message lists them."""
    if differ := [name for name in columns if frame[name].nunique() > 1]:
        choices = "; ".join(f"--{name} {_some(frame[name])}" for name in differ)
        raise UsageError(f"{len(frame)} runs match; select one by: {choices}")


def _fits(column: pd.Series, value: object) -> pd.Series[bool]:
    """Return where a column equals a value; a spec also matches by its name, if no spec equals the value."""
    if not isinstance(value, str) or column.name in ("key", "origin"):
        return column == value
    exact = column == str(Spec.parse(value))
    return exact if exact.any() else column.map(lambda text: component_name(text) == value).astype(bool)


def _some(column: pd.Series) -> str:
    return " or ".join(str(value) for value in column.drop_duplicates())
