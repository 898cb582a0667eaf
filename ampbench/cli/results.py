"""``ampbench results``: all stored results, one row per run."""

from __future__ import annotations

from pathlib import Path

from ampbench.cli.terminal import print_folded, print_groups
from ampbench.console import document, say
from ampbench.reporting.labels import labels, legend
from ampbench.results import load
from ampbench.results.columns import records
from ampbench.results.frame import metric_columns
from ampbench.results.origins import marked
from ampbench.text import to_csv


def show_results(results: Path, as_json: bool, as_csv: bool) -> None:
    """Print the frame of a results directory, or of an exported file."""
    frame = load(results)
    if as_json:
        document(records(frame))
    elif as_csv:
        say(to_csv(frame), end="")
    else:
        frame = marked(frame)
        named = labels(frame["method"])
        print_groups(
            frame.assign(method=frame["method"].map(named)),
            ["task", "method", "budget", "seed"],
            ["observation", "status", *metric_columns(frame), "fit_seconds", "findings"],
        )
        for text in legend(named):
            print_folded(text)
