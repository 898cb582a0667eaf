"""Progress bars, where a person looks: in a terminal and in a notebook, and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ampbench.console import LiteralConsole
from ampbench.text import line

NOTEBOOK_WIDTH = 100
"""Characters of the line in a notebook."""


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error inside the block, with the time so far and the time left.

    Arguments:
        label: what is being done.

    Yields:
        A function of (steps done, steps in total), which does nothing where no person looks: standard error is neither
        a terminal nor a notebook, or the block runs beside the main thread.
    """
    console = LiteralConsole(stderr=True)
    if console.is_jupyter:  # where rich needs ipywidgets; a line of text needs none
        console = LiteralConsole(stderr=True, force_jupyter=False, force_terminal=True, width=NOTEBOOK_WIDTH)
    if not console.is_terminal or threading.current_thread() is not threading.main_thread():
        yield lambda done, total: None
        return
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(line(label), total=None, count="")

        def show(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, count=f"{done:,}/{total:,}")

        yield show
