"""Files that ship with the tasks: a damaged one is named, with the next step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from damaged_store import UNUSUAL

from ampbench.errors import PluginError
from ampbench_tasks import packaged

FILES: dict[str, Callable[[], object]] = {
    "observations.json": lambda: packaged.observations("sir"),
    "golden.json": lambda: packaged.golden("sir"),
    "reference.npz": lambda: packaged.reference("sir", 1),
}


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the files of a task."""
    folder = shutil.copytree(str(packaged.DATA.joinpath("sir")), tmp_path / "sir")
    monkeypatch.setattr(packaged, "DATA", tmp_path)
    for read in (packaged.observations, packaged.golden):
        read.cache_clear()
    return folder


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["sound", "missing", "empty", "text", *UNUSUAL])
def test_a_damaged_file_is_named(shipped: Path, kind: str, name: str) -> None:
    path = shipped / name
    if kind == "sound":
        assert FILES[name]() is not None
        return
    path.unlink()
    if kind in UNUSUAL:
        UNUSUAL[kind](path)
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "[[1]]")
    with pytest.raises(PluginError, match=rf"{path}, which ships with ampbench_tasks, cannot be read.*install"):
        FILES[name]()
