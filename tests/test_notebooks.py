"""The notebooks of the documentation run, and their stored outputs are those of an execution."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from walkthrough import agree

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def outputs(notebook: Any) -> list[tuple[int, dict[str, Any]]]:
    """Return the results of cells, with the number of their cell."""
    found = ((i, each) for i, cell in enumerate(notebook.cells) for each in cell.get("outputs", ()))
    return [(i, each["data"]) for i, each in found if "data" in each]


@pytest.mark.filterwarnings("ignore")  # of Jupyter and its event loop
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_its_outputs_are_current(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks need: pip install 'ampbench[docs]'")
    pytest.importorskip("nbclient", reason="notebooks need: pip install 'ampbench[docs]'")
    pytest.importorskip("matplotlib_inline", reason="notebooks need: pip install 'ampbench[docs]'")
    stored = outputs(nbformat.read(path, as_version=4))
    found = outputs(runpy.run_path(str(FOLDER / "make.py"))["executed"](path))
    assert [(i, sorted(data)) for i, data in stored] == [(i, sorted(data)) for i, data in found]
    for (i, before), (_, after) in zip(stored, found, strict=True):
        for kind in ("text/plain", "text/html"):
            one, other = (re.sub(r"0x[0-9a-f]+|-?\d\.\d+e[-+]\d+", "N", data.get(kind, "")) for data in (before, after))
            assert agree(one, other), f"{path.name}, cell {i}: run docs/notebooks/make.py"


def test_notebooks_show_posteriors_tables_and_figures() -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks need: pip install 'ampbench[docs]'")
    (path,) = NOTEBOOKS
    notebook = nbformat.read(path, as_version=4)
    shown = [data for _, data in outputs(notebook)]
    assert sum("text/html" in data for data in shown) >= 5
    assert sum("image/png" in data for data in shown) == 2
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert path.stat().st_size < 300_000
