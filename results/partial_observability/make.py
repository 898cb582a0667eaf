"""Do incomplete rows help? Learn each model with them, and with masked copies of the complete rows in their place.

Run ``python results/partial_observability/make.py``. Cells that ``table.csv`` holds are not computed again; delete the
file to start afresh. With the name of a case (``digits``, ``modality``, ``series``) only that one is computed.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from types import ModuleType

import digits
import matplotlib.pyplot as plt
import modality
import pandas as pd
import series
import torch
from rows import complete_only, dropped

CASES = {"modality": modality, "series": series, "digits": digits}
SEEDS = range(1, 11)
ROWS = {"with incomplete rows": (dict, dict), "without": (complete_only, dropped)}
"""The treatment of incomplete rows, for the model and for the reference."""
FOLDER = Path(__file__).parent
TABLE = FOLDER / "table.csv"
COLUMNS = ["case", "measure", "seed", "rows", "value", "reference", "seconds"]


def main(names: list[str]) -> None:
    """Compute what is missing from the table, then draw it."""
    torch.set_num_threads(1)
    done = set() if not TABLE.exists() else set(pd.read_csv(TABLE)[["case", "seed", "rows"]].itertuples(False, None))
    for name in names or CASES:
        for seed in SEEDS:
            for arm in ROWS:
                if (name, seed, arm) not in done:
                    _append(_cell(name, CASES[name], seed, arm))
    table = pd.read_csv(TABLE).sort_values(["case", "seed", "rows"])
    table.to_csv(TABLE, index=False)
    _plot(table)


def _cell(name: str, case: ModuleType, seed: int, arm: str) -> list[object]:
    """Learn once, and judge on held-out rows; seconds are of the processor."""
    rows = case.rows(seed)
    for_model, for_reference = ROWS[arm]
    start = time.process_time()
    model = case.learn(for_model(rows), seed)
    seconds = time.process_time() - start
    value, reference = case.judge(model, seed), case.reference(for_reference(rows), seed)
    return [name, case.MEASURE, seed, arm, round(value, 4), round(reference, 4), round(seconds, 1)]


def _append(row: list[object]) -> None:
    new = not TABLE.exists()
    with TABLE.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, row] if new else [row])
    print(*row, sep=", ", flush=True)


def _plot(table: pd.DataFrame) -> None:
    """One panel for each case, a line for each seed, and what there is to compare with."""
    present = [name for name in CASES if name in set(table["case"])]
    figure, axes = plt.subplots(1, len(present), figsize=(3.2 * len(present), 3.4), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], present, strict=True):
        case = table[table["case"] == name]
        values, references = (
            case.pivot(index="rows", columns="seed", values=column).loc[["without", "with incomplete rows"]]
            for column in ("value", "reference")
        )
        one, *_ = axis.plot(values.index, values, "o-", color="tab:blue", alpha=0.6)
        one.set_label("one seed")
        axis.plot(references.index, references.mean(axis=1), "k:", label=f"{CASES[name].REFERENCE}, mean")
        axis.set(title=name, ylabel=case["measure"].iloc[0])
        axis.margins(x=0.3)
        axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    figure.savefig(FOLDER / "plot.png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1:])
