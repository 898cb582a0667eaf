"""Execute the notebooks of this folder and store their outputs: ``python docs/notebooks/make.py``.

Rule: outputs are stored, so that a reader without ampbench sees them, and times and paths are not, so that the files
change only when results do. ``tests/test_notebooks.py`` executes the notebooks too, and compares texts and tables.
Needs ``pip install 'ampbench[docs]'``.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
TIMEOUT = 300
"""Largest time of a cell, in seconds."""


def notebooks() -> list[Path]:
    """Return the paths of all notebooks."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path) -> NotebookNode:
    """Return a notebook with the outputs of an execution in its folder; raises what a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": str(FOLDER)}}).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
        cell.metadata = {}
    return notebook


def main() -> None:
    """Write all notebooks."""
    for path in notebooks():
        nbformat.write(executed(path), path)
        print(path)


if __name__ == "__main__":
    main()
