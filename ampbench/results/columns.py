"""Definitions of tables: a column defines its type and allowed values, and a table validates frames.

One definition validates the fields of a JSON record, validates and converts the columns of a frame, and generates the
page of the documentation (:mod:`ampbench.results.schema` defines the tables). A value that is not allowed is reported
with its row and column, the value, and the allowed values; no value is guessed or repaired. A frame that was read from
CSV or JSON, and so lost types, is converted: digits in a column of numbers become numbers. The reverse conversion is
refused, because a version ``1.10`` that was read as a number has become ``1.1``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from ampbench.errors import ResultsError

if TYPE_CHECKING:
    import pandas as pd

MAX_SHOWN_CHARACTERS = 100
"""Characters of a value that a message shows."""

KINDS = {str: "text", int: "an integer", float: "a finite number"}
NUMBERS: Mapping[type, tuple[type[int] | type[float], ...]] = {str: (), int: (int,), float: (int, float)}
"""The types of the numbers that a column of a kind may hold."""


@dataclass(frozen=True)
class Form:
    """A format of text: its description, and a predicate that accepts texts of that format."""

    description: str
    accepts: Callable[[str], bool]


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field of a record.

    Attributes:
        name: such as ``budget``; a placeholder ``<…>`` matches any text: ``version_<package>`` describes any number of
            columns.
        kind: ``str``, ``int`` or ``float``.
        meaning: description for the documentation.
        optional: whether a value may be missing (NaN in a frame, null in JSON).
        blank: whether a text may be empty; a missing text is then read as an empty one.
        minimum, maximum: bounds of a number, inclusive.
        values: the allowed texts; empty if any text is allowed.
        form: the format that every text must have.
        companion: for a name with a placeholder: a second column that must be present as well; without it the name is
            that of a column that this definition does not describe.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    meaning: str
    optional: bool = False
    blank: bool = False
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    form: Form | None = None
    companion: str = ""

    @property
    def dtype(self) -> str:
        """The pandas dtype of the column."""
        if self.kind is int:
            return "Int64" if self.optional else "int64"
        return "string" if self.kind is str else "float64"

    @property
    def allowed(self) -> str:
        """A description of the allowed values.

        Example:
            >>> Column("budget", int, "simulations", minimum=1).allowed
            'an integer of at least 1'
        """
        if self.values:
            said = " or ".join(filter(None, [", ".join(map(repr, self.values[:-1])), repr(self.values[-1])]))
        else:
            said = self.form.description if self.form else KINDS[self.kind]
        if self.minimum is not None:
            said += (
                f" of at least {self.minimum:g}"
                if self.maximum is None
                else f" from {self.minimum:g} to {self.maximum:g}"
            )
        return said + (" (or empty)" if self.blank else "") + (" (or missing)" if self.optional else "")

    def accepts(self, value: object) -> bool:
        """Whether a Python value is allowed; None stands for a missing value."""
        if isinstance(value, str):
            if self.kind is not str or not is_unicode(value):
                return False
            if not value:
                return self.blank
            return value in self.values if self.values else self.form is None or self.form.accepts(value)
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, NUMBERS[self.kind]) or not is_finite(value):
            return False
        if self.kind is int and not -(2**63) <= value < 2**63:
            return False
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    def fault(self, value: object, where: str = "") -> str:
        """Return a description of what is wrong with a value, or ""."""
        return (
            ""
            if self.accepts(value)
            else f"{where or self.name} is {_described(value)}, where {self.allowed} should be"
        )

    def names(self, columns: Iterable[str]) -> list[str]:
        """Return those of the given column names that this definition describes.

        Example:
            >>> Column("version_<package>", str, "its version").names(["version_torch", "versions"])
            ['version_torch']
        """
        every = list(columns)
        found = [(name, text) for name in every if (text := self._placeholder(name)) is not None]
        return [
            name for name, text in found if not self.companion or text.join(re.split("<.*?>", self.companion)) in every
        ]

    def _placeholder(self, name: str) -> str | None:
        """Return the text that the placeholder matches in a name, "" without a placeholder, None if nothing matches."""
        pattern = re.sub(r"<.*?>", "(.+)", re.sub(r"[.+*?()\[\]{}^$|\\]", r"\\\g<0>", self.name))
        match = re.fullmatch(pattern, name, re.DOTALL)
        return None if match is None else match[1] if match.groups() else ""


@dataclass(frozen=True)
class Table:
    """The columns of a frame.

    Attributes:
        title: heading in the documentation.
        source: the functions and commands that return or print the frame, as Markdown.
        rows: description of one row.
        columns: the columns of every frame, in order.
        open_columns: columns with a placeholder in their name, which may follow.
        consistent: checks a row whose values are all allowed; returns a description of a contradiction, or "".
        related: the columns that it needs.
    """

    title: str
    source: str
    rows: str
    columns: tuple[Column, ...]
    open_columns: tuple[Column, ...] = ()
    consistent: Callable[[Mapping[str, Any]], str] = lambda row: ""
    related: tuple[str, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns of every frame, by name."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> list[str]:
        """The names of the columns of every frame."""
        return list(self.by_name)

    @property
    def dtypes(self) -> dict[str, str]:
        """The pandas dtypes of the columns of every frame."""
        return {column.name: column.dtype for column in self.columns}

    def described(self, columns: Iterable[str]) -> dict[str, Column]:
        """Return the definitions of the given columns by name; undefined columns are left out."""
        every = [name for name in columns if isinstance(name, str)]
        open_names = {name: column for column in reversed(self.open_columns) for name in column.names(every)}
        return {name: column for name in every if (column := self.by_name.get(name) or open_names.get(name))}

    def validated(self, frame: pd.DataFrame, what: str) -> pd.DataFrame:
        """Validate a frame and convert its columns to the types of this table; undefined columns stay unchanged.

        A column whose values may be missing or empty may be missing altogether: a frame of an older version lacks it.

        Arguments:
            frame: with any dtypes, such as those of CSV.
            what: name of the frame in messages.

        Raises:
            ResultsError: a column is missing or duplicated, or a value is not allowed; the message names row, column,
                value and allowed values.
        """
        if twice := list(frame.columns[frame.columns.duplicated()]):
            raise ResultsError(f"{what} has several columns {twice[0]!r}; keep one of them")
        absent = [column for column in self.columns if column.name not in frame.columns]
        if lacking := [column.name for column in absent if not (column.optional or column.blank)]:
            raise ResultsError(
                f"{what} has no column {', '.join(map(repr, lacking))}; docs/schema.md lists what {self.title} need, "
                f"and this has: {', '.join(map(str, frame.columns))}"
            )
        frame = frame.assign(**dict.fromkeys((column.name for column in absent), None))
        checked = {name: _checked(frame[name], column) for name, column in self.described(frame.columns).items()}
        faults = [_first(found) for _, found in checked.values() if found]
        if not faults:
            frame = frame.assign(**{name: series for name, (series, _) in checked.items()})
            rows = zip(frame.index, *(frame[name].tolist() for name in self.related), strict=True)
            judge = cache(lambda *cells: self.consistent(dict(zip(self.related, cells, strict=True))))
            found = [f"row {i}: {fault}" for i, *cells in rows if (fault := judge(*cells))]
            faults = [_first(found)] if found else []
        if faults:
            raise ResultsError(f"{what}: {'; '.join(faults)}")
        return frame


def is_finite(value: float) -> bool:
    """Return whether a number is finite in double precision, which some integers are not.

    Example:
        >>> is_finite(1), is_finite(10**400)
        (True, False)
    """
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_unicode(text: str) -> bool:
    r"""Return whether a text can be written, which one with half of a surrogate pair cannot.

    Example:
        >>> is_unicode("θ"), is_unicode("\ud800")
        (True, False)
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _first(faults: Sequence[str]) -> str:
    more = len(faults) - 1
    return faults[0] + (f" ({more} more row{'s' if more > 1 else ''} like it)" if more else "")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame for JSON: missing values as None, and numbers with all digits."""
    plain = frame.astype(object)
    return plain.where(frame.notna(), None).to_dict("records")


def _checked(series: pd.Series, column: Column) -> tuple[pd.Series, list[str]]:
    """Return a column converted to its type, or unchanged with a list of its faults."""
    import pandas as pd

    if _holds_only_allowed(series, column):
        return series, []
    cells = series.astype(object).where(series.notna(), None).tolist()
    if isinstance(series.dtype, pd.StringDtype):  # each text is looked at once
        casts = {value: _cast(value, column) for value in dict.fromkeys(cells)}
        values = [casts[value] for value in cells]
        if all(map(column.accepts, casts.values())):
            return pd.Series(values, index=series.index, dtype=column.dtype), []
    else:
        values = [_cast(value, column) for value in cells]
    where = zip(series.index, values, strict=True)
    faults = [fault for i, value in where if (fault := column.fault(value, f"row {i}: {series.name}"))]
    return series if faults else pd.Series(values, index=series.index, dtype=column.dtype), faults


def _holds_only_allowed(series: pd.Series, column: Column) -> bool:
    """Whether a column has its type, and no value that is not allowed, or is read as another one."""
    import numpy as np

    if str(series.dtype) not in ("int64", "float64", "string") or str(series.dtype) != column.dtype:
        return False
    if column.kind is str:  # each text is looked at once
        complete = (column.optional and not column.blank) or not series.hasnans
        return complete and all(map(column.accepts, series.dropna().unique().tolist()))
    values = series.to_numpy()
    missing = np.isnan(values)
    within = np.isfinite(values)
    if column.minimum is not None:
        within &= values >= column.minimum
    if column.maximum is not None:
        within &= values <= column.maximum
    return bool((within | missing).all() and (column.optional or not missing.any()))


def _cast(value: Any, column: Column) -> Any:
    """Convert a cell to a Python value: text of CSV to a number, a missing value to None or ""."""
    value = getattr(value, "item", lambda: value)()  # numpy's scalars
    if value in (None, "") and column.kind is str:
        return "" if column.blank else None
    if column.kind is str:
        return value
    if isinstance(value, str):
        value = _number(value)
    if (
        column.kind is int and isinstance(value, float) and value.is_integer()
    ):  # pandas stores integers with missing values as floats
        return int(value)
    return value


def _number(text: str) -> int | float | str | None:
    """Convert a text to a number, an empty text or NaN to None; return any other text unchanged."""
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            return None if number != number else number  # NaN
    return text or None


def _described(value: object) -> str:
    if value is None:
        return "missing"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"
