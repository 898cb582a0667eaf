"""Draw plot.png from table.csv: times of steps, fits and samples, and memory, one column of panels per axis."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
QUANTITIES = (
    ("step_ms", "step [ms]"),
    ("fit_seconds", "fit of 17 steps [s]"),
    ("sample_seconds", "1,000 samples [s]"),
    ("peak_mb", "peak memory [MB]"),
)
"""Column of the table, and label."""


def main() -> None:
    """Draw all axes that the table has."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = pd.read_csv(FOLDER / "table.csv")
    axes = [name for name in dict.fromkeys(table["axis"]) if name != "workers"]
    size = (3.2 * len(axes), 2.4 * len(QUANTITIES))
    figure, panels = pyplot.subplots(len(QUANTITIES), len(axes), figsize=size, squeeze=False, layout="constrained")
    for (column, label), row in zip(QUANTITIES, panels, strict=True):
        row[0].set_ylabel(label)
        for panel, name in zip(row, axes, strict=True):
            for method, part in table[table["axis"] == name].sort_values("value").groupby("method"):
                panel.loglog(part["value"], part[column], "o-", label=method)
            panel.set_xlabel(name)
    for panel in panels[0]:
        panel.legend(fontsize=8)
    figure.savefig(FOLDER / "plot.png", dpi=60, metadata={"Software": None})


if __name__ == "__main__":
    main()
