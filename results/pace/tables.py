"""The tables of README.md, made from table.csv by ``python results/pace/tables.py``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- begin tables: results/pace/tables.py -->\n", "<!-- end tables -->\n"
CELL = ["task", "configuration", "code"]


def cells() -> pd.DataFrame:
    """Of every task, configuration and version of the code: scores and seconds of all seeds, and their means."""
    rows = pd.read_csv(FOLDER / "table.csv").sort_values("seed", kind="stable")
    groups = rows.groupby(CELL, sort=False)
    found = groups[["c2st", "seconds"]].mean()
    found["scores"] = groups["c2st"].agg(lambda scores: ", ".join(f"{score:.3f}" for score in scores))
    found["times"] = groups["seconds"].agg(lambda times: ", ".join(f"{time:.0f}" for time in times))
    return found


def before_and_after() -> str:
    """Cells that were measured with two versions of the code, in Markdown."""
    found = cells()
    lines = ["| task | configuration | | C2ST of each seed | mean | seconds | now / before |"]
    lines.append("|---|---|---|---|---|---|---|")
    for task, configuration, code in found.index:
        if code == "before":
            before, now = found.loc[(task, configuration, "before")], found.loc[(task, configuration, "now")]
            ratio = f"{now['seconds'] / before['seconds']:.2f}"
            lines.append(f"| {task} | `{configuration}` | before | {_shown(before)} | |")
            lines.append(f"| | | now | {_shown(now)} | {ratio} |")
    return "\n".join(lines) + "\n"


def _shown(cell: pd.Series) -> str:
    return f"{cell['scores']} | {cell['c2st']:.3f} | {cell['times']}"


def against_npe() -> str:
    """Tasks on which ``npe`` was measured, in Markdown."""
    found = cells().xs("now", level="code")
    lines = ["| task | `npe` | `short flow` | lower | `npe`, s | `short flow`, s | `npe` / `short flow` |"]
    lines.append("|---|---|---|---|---|---|---|")
    for task in found.index.unique("task"):
        if (task, "npe") in found.index:
            npe, flow = found.loc[(task, "npe")], found.loc[(task, "short flow")]
            lower = "yes" if flow["c2st"] <= npe["c2st"] else "no"
            ratio = f"{npe['seconds'] / flow['seconds']:.1f}"
            scores = f"{npe['c2st']:.3f} | {flow['c2st']:.3f} | {lower}"
            lines.append(f"| {task} | {scores} | {npe['seconds']:.0f} | {flow['seconds']:.0f} | {ratio} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write both tables into README.md."""
    page = FOLDER / "README.md"
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    made = f"### Before and after\n\n{before_and_after()}\n### Against `npe`\n\n{against_npe()}"
    page.write_text(f"{before}{BEGIN}{made}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
