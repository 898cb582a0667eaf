"""The committed times and scores of the engine: the page shows the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def make(committed: Callable[[str], ModuleType]) -> ModuleType:
    return committed("pace")


def test_the_page_shows_the_table(make: ModuleType) -> None:
    text = (make.FOLDER / "README.md").read_text(encoding="utf-8")
    assert text == make.page(), "run results/pace/make.py"


def test_a_stored_cell_is_not_measured_again(make: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    (tmp_path / "README.md").write_text(f"# Pace\n{make.BEGIN}{make.END}after\n", encoding="utf-8")
    asked = []

    def measured(*cell: object) -> dict[str, object]:
        asked.append(cell)
        return {"seconds": 10.0, "c2st": 0.75, "c2st_each": "0.750"}

    monkeypatch.setattr(make, "measure", measured)
    for code in ("before", "now", "now"):
        monkeypatch.setattr("sys.argv", ["make.py", "slcp", "--only", "jsd", "--code", code])
        make.main()
    assert asked == [("slcp", "jsd", 0)] * 2
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| slcp | `jsd` | before | 0.750 | 0.750 | 10 | |" in page
    assert page.endswith("after\n")
