"""The table of README.md, made from table.csv by ``python results/structure/page.py``."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).parent
TABLE, PAGE = FOLDER / "table.csv", FOLDER / "README.md"
MODELS = ("lgssm", "hierarchical", "chain_binomial_sites", "radon", "tree_3", "tree_4", "tree_6", "chain_50")
CONFIGURATIONS = (
    *("forward-kl", "jsd", "jsd, resampled", "energy", "riesz", "global", "global, equal time"),
    *("no sharing", "old order", "npe", "npe gru", "npe set", "bayesflow"),
)
HEADS = (
    *("model", "size", "configuration", "seed", "seconds", "tuple", "worst tuple", "block of ten", "joint", "roots"),
    *("KL per latent", "largest W1", "SBC p"),
)
DIGITS = {"tuple": 3, "tuple_worst": 3, "block": 3, "joint": 3, "root": 3, "kl": 4, "w1": 2, "sbc": 3}
"""The columns of table.csv that are shown, and their decimals."""
BEGIN, END = "<!-- begin table: results/structure/page.py -->\n", "<!-- end table -->\n"


def table() -> str:
    """Return all cells in Markdown, by model, configuration, seed and size."""
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows.sort(key=_place)
    return _line(HEADS) + _line(["---"] * len(HEADS)) + "".join(_line(_cells(row)) for row in rows)


def _place(row: dict[str, str]) -> tuple[int, ...]:
    places = MODELS.index(row["model"]), CONFIGURATIONS.index(row["configuration"])
    return (*places, int(row["seed"]), int(row["size"]))


def _cells(row: dict[str, str]) -> list[str]:
    numbers = [f"{float(row[name]):.{digits}f}" if row[name] else "" for name, digits in DIGITS.items()]
    named = [row[name] for name in ("model", "size", "configuration", "seed")]
    return [*named, f"{float(row['cpu_seconds']):.0f}", *numbers]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |\n"


def page() -> str:
    """Return README.md with the table as it is now."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
