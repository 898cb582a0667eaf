"""``ampbench list`` and ``ampbench plugins``: the installed components and plugins."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from ampbench import registry
from ampbench.console import LiteralConsole, cell, new_table, say
from ampbench.hookspecs import KINDS
from ampbench.registry import Entry


def list_components(kind: str | None) -> None:
    """Print the components of one kind, or of all kinds if it is None."""
    loaded = registry.load()
    for each in [kind] if kind else KINDS:
        _print_entries(each, list(loaded.entries(each).values()))


def list_plugins() -> None:
    """Print the installed plugins."""
    table = _table("plugin", "distribution", "version", "entry point")
    for plugin in registry.load().plugins.values():
        table.add_row(*map(cell, (plugin.name, plugin.distribution, plugin.version, plugin.target)))
    _print(table)


def _print_entries(kind: str, entries: Sequence[Entry]) -> None:
    """Print components; if the terminal is too narrow, the least informative columns are left out."""
    console = LiteralConsole()
    labels = dict.fromkeys(label for entry in entries for label in entry.labels)
    columns = {
        kind: [entry.name for entry in entries],
        **{label: [entry.labels.get(label, "") for entry in entries] for label in labels},
        "source": [entry.source for entry in entries],
        "what it is": [entry.summary for entry in entries],
        "from": [entry.plugin.distribution for entry in entries],
    }
    widths = {title: 2 + max(map(len, [title, *cells])) for title, cells in columns.items()}
    droppable = (["from"] if len(set(columns["from"])) == 1 else []) + (["what it is"] if labels else [])
    for title in droppable:
        if sum(widths.values()) > console.width:
            del columns[title], widths[title]
    table = _table(*columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(cell, row))
    _print(table)


def _table(*columns: str) -> Table:
    table = new_table()
    for i, column in enumerate(columns):
        table.add_column(cell(column), overflow="fold", no_wrap=i == 0)
    return table


def _print(table: Table) -> None:
    LiteralConsole().print(table)
    say()
