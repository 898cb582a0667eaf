"""``ampbench list`` and ``ampbench plugins``: the installed components and plugins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ampbench import registry
from ampbench.cli.terminal import COLUMN_GAP
from ampbench.console import LiteralConsole, cell, document, new_table, say
from ampbench.hookspecs import KINDS
from ampbench.registry import Entry

MAX_NAME_WIDTH = 40
"""Largest width, in characters, of names that are not folded."""


def list_components(kind: str | None, as_json: bool = False) -> None:
    """Print the components of one kind, or of all kinds if it is None."""
    loaded = registry.load()
    if as_json:
        kinds = [kind] if kind else list(KINDS)
        document([_row(each, entry) for each in kinds for entry in loaded.entries(each).values()])
        return
    for each in [kind] if kind else KINDS:
        _print_entries(each, list(loaded.entries(each).values()))


def list_plugins(as_json: bool = False) -> None:
    """Print the installed plugins."""
    plugins = registry.load().plugins.values()
    if as_json:
        names = ("name", "distribution", "version", "target")
        document([{name: getattr(plugin, name) for name in names} for plugin in plugins])
        return
    _print(
        [
            _Column("plugin", [plugin.name for plugin in plugins]),
            _Column("distribution", [plugin.distribution for plugin in plugins]),
            _Column("version", [plugin.version for plugin in plugins]),
            _Column("entry point", [plugin.target for plugin in plugins]),
        ]
    )


def _row(kind: str, entry: Entry) -> dict[str, object]:
    """Return a component as a row for JSON."""
    row = {"kind": kind, "name": entry.name, "summary": entry.summary, "source": entry.source}
    return row | {"labels": dict(entry.labels), "plugin": entry.plugin.name, "distribution": entry.plugin.distribution}


@dataclass(frozen=True)
class _Column:
    """A column of a list; one that is less informative than others may be left out."""

    title: str
    cells: Sequence[str]
    droppable: bool = False

    @property
    def width(self) -> int:
        return max(map(len, [self.title, *self.cells]))


def _print_entries(kind: str, entries: Sequence[Entry]) -> None:
    """Print components; if the terminal is too narrow, the least informative columns are left out."""
    labels = dict.fromkeys(label for entry in entries for label in entry.labels)
    owners = [entry.plugin.distribution for entry in entries]
    columns = [
        _Column(kind, [entry.name for entry in entries]),
        *(_Column(label, [entry.labels.get(label, "") for entry in entries]) for label in labels),
        _Column("source", [entry.source for entry in entries]),
        _Column("what it is", [entry.summary for entry in entries], droppable=bool(labels)),
        _Column("from", owners, droppable=len(set(owners)) == 1),
    ]
    room = LiteralConsole().width
    for column in columns[::-1]:
        if column.droppable and sum(COLUMN_GAP + each.width for each in columns) > room:
            columns.remove(column)
    _print(columns)


def _print(columns: Sequence[_Column]) -> None:
    table = new_table()
    for i, column in enumerate(columns):
        short = i == 0 and column.width <= MAX_NAME_WIDTH
        table.add_column(cell(column.title), overflow="fold", no_wrap=short)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(cell, row))
    LiteralConsole().print(table)
    say()
