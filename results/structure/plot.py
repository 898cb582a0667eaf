"""Draw plot.png from table.csv: C2ST against the size, one panel per model and one line per configuration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
PANELS = (
    ("lgssm", "tuple", "state space: tuples"),
    ("lgssm", "kl", "state space: KL in nats per latent"),
    ("hierarchical", "root", "hierarchy: (mu, tau)"),
    ("hierarchical", "tuple", "hierarchy: (mu, tau, theta_j)"),
    ("chain_binomial_sites", "root", "sites: roots"),
    ("tree", "joint", "tree, by depth: all latents"),
)
"""Model, column of the table, and title."""


def main() -> None:
    """Draw all panels whose cells the table has."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = pd.read_csv(FOLDER / "table.csv")
    table["family"] = table["model"].str.replace(r"tree_\d+", "tree", regex=True)
    labels: Sequence[str] = list(dict.fromkeys(table["configuration"]))
    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7))
    for axis, (model, column, title) in zip(axes.flat, PANELS, strict=True):
        rows = table[(table["family"] == model) & table[column].notna()]
        for i, label in enumerate(labels):
            part = rows[rows["configuration"] == label].groupby("size")[column].mean()
            if len(part):
                axis.plot(
                    part.index,
                    part.clip(lower=1e-5) if column == "kl" else part,
                    "osvD^P*X"[i % 8] + ("-" if i < 10 else "--"),
                    color=f"C{i % 10}",
                    label=label,
                )
        sizes = sorted(rows["size"].unique())
        axis.set_xscale("log")
        axis.set_xticks(sizes, map(str, sizes))
        axis.minorticks_off()
        if column == "kl":
            axis.set_yscale("log")
        else:
            axis.axhline(0.5, color="grey", linewidth=0.8)
        axis.set_title(title)
        axis.set_xlabel("size")
    axes[0, 0].set_ylabel("C2ST (0.5: indistinguishable)")
    handles = {label: line for axis in axes.flat for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=8)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(FOLDER / "plot.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
