"""Tables of this folder: rows in a CSV file, to which cells are added as they are finished."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def read(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none if it does not exist."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def append(table: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of a cell at the end of a table, at once, and print them."""
    new = not table.exists()
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        for row in rows:
            short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
            writer.writerow(short)
            print(*short.values(), flush=True)
