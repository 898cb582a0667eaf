"""Columns of stored simulations: which of them are parameters, and which are data.

Columns are parameters if they are called ``theta``, or ``theta`` with a number (``theta_1``, ``theta1``, ``theta[0]``),
and data if they are called ``x`` likewise. If no column is called x, all others are data. Otherwise the caller names
the columns of parameters, and all others, or those that the caller names too, are data. No column is left out unless
the caller names the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ampbench.errors import UsageError
from ampbench.simulations.arrays import Simulations, rows_of

NUMBER = r"(?:[ ._]?\[?(\d+)\]?)?"
"""The pattern of the number of a component, which follows the name of its variable in the name of a column."""
INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__|")
"""Names that pandas gives to the index of a frame when it writes or reads it as a column."""


@dataclass(frozen=True)
class Columns:
    """Columns of a table, or variables of a dataset.

    Attributes:
        arrays: by name, shape (n,) or (n, …).
        parameters, observed: names of those that are parameters and data, if the source says so.
    """

    arrays: Mapping[str, Any]
    parameters: Sequence[str] = ()
    observed: Sequence[str] = ()


def theta_and_x(columns: Columns, parameters: Sequence[str], observed: Sequence[str], origin: str) -> Simulations:
    """Return the simulations of theta and x, joined from their columns.

    Arguments:
        columns: of the source.
        parameters, observed: names of the columns that the caller chose; empty for those that the source or
            the convention says.
        origin: the source, for messages.

    Raises:
        UsageError: it is unclear which columns are meant, or they hold no numbers.
    """
    parameters, observed = parameters or columns.parameters, observed or columns.observed
    theta, x = _chosen(list(columns.arrays), parameters, observed, origin)
    values = {name: rows_of(name, columns.arrays[name], origin) for name in (*theta, *x)}
    each = Simulations(values, origin)  # refuses unequal numbers of rows, and NaN by the name of the column

    def joined(names: Sequence[str]) -> np.ndarray:
        return np.concatenate([each.values[name].numpy() for name in names], axis=1)

    made = Simulations.of({"theta": joined(theta), "x": joined(x)}, origin)
    named = bool(parameters) and made.values["theta"].shape[1] == len(theta)
    return replace(made, names=tuple(theta)) if named else made


def by_variable(columns: Columns, variables: Sequence[str], origin: str) -> Simulations:
    """Return the simulations of the variables of a graph; those with several components may be numbered columns.

    Raises:
        UsageError: a variable has no column.
    """
    names, values = list(columns.arrays), {}
    for variable in variables:
        chosen = [variable] if variable in names else _numbered(names, variable, origin)
        if not chosen:
            raise UsageError(f"{origin} has no column for variable {variable!r}; it has {_listed(names)}")
        parts = [rows_of(name, columns.arrays[name], origin) for name in chosen]
        values[variable] = np.concatenate([each.numpy() for each in parts], axis=1)
    return Simulations.of(values, origin)


def _chosen(
    names: Sequence[str], parameters: Sequence[str], observed: Sequence[str], origin: str
) -> tuple[list[str], list[str]]:
    """Return the names of the columns of parameters and of data."""
    for what, given in (("parameters", parameters), ("observed", observed)):
        if isinstance(given, str):
            raise UsageError(f"{what} is the text {given!r}; give a list of names of columns, such as [{given!r}]")
        for number, name in enumerate(given):
            if name not in names:
                raise UsageError(f"{origin} has no column {name!r}; it has {_listed(names)}")
            if name in given[:number]:
                raise UsageError(f"{what} names the column {name!r} twice; name each column once")
    theta = list(parameters) or _numbered(names, "theta", origin)
    if not theta:
        raise UsageError(
            f"{origin} has the columns {_listed(names)}, none of which is called theta, theta_1, theta_2, …; name "
            "those of the parameters: read_simulations(file, parameters=[…]), or --parameters NAME,NAME"
        )
    rest = [name for name in names if name not in theta]
    x = list(observed) or ([] if parameters else _numbered(names, "x", origin))
    unclear = [] if observed else ([name for name in rest if name not in x] if x else [])
    x = x or rest
    unclear += [name for name in x if INDEX.fullmatch(name) and name not in observed]
    if unclear:
        raise UsageError(
            f"{origin} has the column {unclear[0]!r} beside those of theta and x; remove it, or name the columns of "
            "the data: read_simulations(file, observed=[…]), or --data NAME,NAME"
        )
    if both := sorted(set(theta) & set(x)):
        raise UsageError(f"the column {both[0]!r} is named among the parameters and the data; take it out of one")
    if not x:
        raise UsageError(f"{origin} has no column of data x beside the parameters {_listed(theta)}")
    return theta, x


def _numbered(names: Sequence[str], what: str, origin: str) -> list[str]:
    """Return the columns of a variable in the order of their numbers, which have no gap."""
    found: dict[int | None, str] = {}
    for name in names:
        if match := re.fullmatch(re.escape(what) + NUMBER, name):
            number = None if match[1] is None else int(match[1])
            if number in found:
                raise UsageError(f"{origin} has two columns {found[number]!r} and {name!r}; rename or remove one")
            found[number] = name
    if None in found:
        if len(found) > 1:
            others = _listed([name for name in found.values() if name != found[None]])
            raise UsageError(f"{origin} has a column {found[None]!r} and also {others}; rename or remove one")
        return [found[None]]
    ordered = sorted(number for number in found if number is not None)
    first = min([*ordered, 1])
    if gaps := [number for number in range(first, max([*ordered, 0]) + 1) if number not in found]:
        raise UsageError(
            f"{origin} has the columns {_listed([found[each] for each in ordered])}, but number {gaps[0]} is missing; "
            "number them from 0 or from 1 without a gap"
        )
    return [found[number] for number in ordered]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:8]))
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "no columns"
