"""What may stand in a table: a column says what its values are, and a table checks them.

The same definition checks the fields of a JSON record, checks and types the columns of a frame, and writes the page of
the documentation (:mod:`ampbench.results.schema` has the tables). A value that is not allowed is reported with where it
stands, what it is and what is allowed; nothing is guessed or repaired. A frame that was read with fewer types than it
had, from CSV or JSON, gets them back: text of digits where numbers should be becomes numbers. The reverse is refused,
because ``1.10`` that was read as a number is ``1.1`` for ever.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ampbench.errors import ResultsError

if TYPE_CHECKING:
    import pandas as pd

KINDS = {str: "text", int: "an integer", float: "a finite number"}


@dataclass(frozen=True)
class Form:
    """Text of a certain form: its description, and whether a text has it."""

    description: str
    accepts: Callable[[str], bool]


@dataclass(frozen=True)
class Column:
    """A column of a table, or a field of a record.

    Attributes:
        name: such as ``budget``; ``<…>`` in it stands for any text: ``version_<package>`` is any number of columns.
        kind: ``str``, ``int`` or ``float``.
        meaning: for the documentation.
        optional: whether a value may be missing (NaN in a frame, null in JSON).
        blank: whether a text may be empty; a missing one then counts as empty.
        least, most: bounds of a number, inclusive.
        values: the only texts that are allowed.
        form: that every text must have.
        beside: of an open name: the column that stands beside it, without which it is none of ours.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    meaning: str
    optional: bool = False
    blank: bool = False
    least: float | None = None
    most: float | None = None
    values: tuple[str, ...] = ()
    form: Form | None = None
    beside: str = ""

    @property
    def dtype(self) -> str:
        """Of pandas."""
        if self.kind is int:
            return "Int64" if self.optional else "int64"
        return "string" if self.kind is str else "float64"

    @property
    def allowed(self) -> str:
        """What may stand there, in words.

        Example:
            >>> Column("budget", int, "simulations", least=1).allowed
            'an integer of at least 1'
        """
        if self.values:
            said = " or ".join(filter(None, [", ".join(map(repr, self.values[:-1])), repr(self.values[-1])]))
        else:
            said = self.form.description if self.form else KINDS[self.kind]
        if self.least is not None:
            said += f" of at least {self.least:g}" if self.most is None else f" from {self.least:g} to {self.most:g}"
        return said + (" (or empty)" if self.blank else "") + (" (or missing)" if self.optional else "")

    def accepts(self, value: object) -> bool:
        """Whether a value of Python may stand there; None is a missing one."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int | float if self.kind is float else self.kind):
            return False
        if isinstance(value, str):
            if not value:
                return self.blank
            return value in self.values if self.values else self.form is None or self.form.accepts(value)
        assert isinstance(value, int | float)
        if not math.isfinite(value) or (self.kind is int and not -(2**63) <= value < 2**63):
            return False
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def fault(self, value: object, where: str = "") -> str:
        """Return what is wrong with a value, or ""."""
        return (
            ""
            if self.accepts(value)
            else f"{where or self.name} is {_described(value)}, where {self.allowed} should be"
        )

    def names(self, columns: Iterable[str]) -> list[str]:
        """Return those columns that this one describes.

        Example:
            >>> Column("version_<package>", str, "its version").names(["version_torch", "versions"])
            ['version_torch']
        """
        every = list(columns)
        found = [(name, text) for name in every if (text := self._placeholder(name)) is not None]
        return [name for name, text in found if not self.beside or text.join(re.split("<.*?>", self.beside)) in every]

    def _placeholder(self, name: str) -> str | None:
        """What stands in a name for ``<…>``; None if it is the name of something else."""
        pattern = re.sub(r"<.*?>", "(.+)", re.sub(r"[.+*?()\[\]{}^$|\\]", r"\\\g<0>", self.name))
        match = re.fullmatch(pattern, name)
        return None if match is None else match[1] if match.groups() else ""


@dataclass(frozen=True)
class Table:
    """The columns of a frame.

    Attributes:
        title: for the documentation.
        source: what returns or prints it, as Markdown.
        rows: what a row is.
        columns: those that every frame has, in their order.
        more: columns with open names, which may follow.
        consistent: returns what is wrong with a row of which every value is allowed, or "".
    """

    title: str
    source: str
    rows: str
    columns: tuple[Column, ...]
    more: tuple[Column, ...] = ()
    consistent: Callable[[Mapping[str, Any]], str] = lambda row: ""

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns that every frame has."""
        return {column.name: column for column in self.columns}

    @property
    def names(self) -> list[str]:
        """Their names."""
        return list(self.by_name)

    @property
    def dtypes(self) -> dict[str, str]:
        """Their types in pandas."""
        return {column.name: column.dtype for column in self.columns}

    def described(self, columns: Iterable[str]) -> dict[str, Column]:
        """Return what describes each of a frame's columns; those that nothing describes are left out."""
        every = [name for name in columns if isinstance(name, str)]
        open_names = {name: column for column in reversed(self.more) for name in column.names(every)}
        return {name: column for name in every if (column := self.by_name.get(name) or open_names.get(name))}

    def validated(self, frame: pd.DataFrame, what: str) -> pd.DataFrame:
        """Return a frame with the types of this table; columns that it does not describe stay as they are.

        A column of which every value may be missing or empty may itself be missing: there were none when the frame was
        made by an older version.

        Arguments:
            frame: with any types, such as those of CSV.
            what: what the frame is called in messages.

        Raises:
            ResultsError: a column is missing or there twice, or a value is not allowed: which, where, and what is.
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
            rows = zip(frame.index, frame.to_dict("records"), strict=True)
            found = [f"row {i}: {fault}" for i, row in rows if (fault := self.consistent(row))]
            faults = [_first(found)] if found else []
        if faults:
            raise ResultsError(f"{what}: {'; '.join(faults)}")
        return frame


def _first(faults: Sequence[str]) -> str:
    more = len(faults) - 1
    return faults[0] + (f" ({more} more row{'s' if more > 1 else ''} like it)" if more else "")


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame for JSON: None for what is missing, and every digit of the numbers."""
    plain = frame.astype(object)
    return plain.where(frame.notna(), None).to_dict("records")


def _checked(series: pd.Series, column: Column) -> tuple[pd.Series, list[str]]:
    """Return a column with its type, or as it is, with what is wrong with it."""
    import pandas as pd

    values = [
        _cast(None if missing else value, column) for value, missing in zip(series.tolist(), series.isna(), strict=True)
    ]
    where = zip(series.index, values, strict=True)
    faults = [fault for i, value in where if (fault := column.fault(value, f"row {i}: {series.name}"))]
    return series if faults else pd.Series(values, index=series.index, dtype=column.dtype), faults


def _cast(value: Any, column: Column) -> Any:
    """Return a cell as the value of Python that it means: numbers from text of CSV, None or "" where nothing is."""
    value = getattr(value, "item", lambda: value)()  # numpy's scalars
    if value in (None, "") and column.kind is str:
        return "" if column.blank else None
    if column.kind is str:
        return value
    if isinstance(value, str):
        value = _number(value)
    if column.kind is int and isinstance(value, float) and value.is_integer():  # a column with a gap is of floats
        return int(value)
    return value


def _number(text: str) -> int | float | str | None:
    """Return the number that a text means, None for an empty one or NaN, and what is no number as it is."""
    for kind in (int, float):
        with suppress(ValueError):
            number = kind(text)
            return None if math.isnan(number) else number
    return text or None


def _described(value: object) -> str:
    return "missing" if value is None else repr(value)
