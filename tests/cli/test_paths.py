"""Paths that cannot be used, in every command and option that takes one: one line that names path and reason."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from damaged_store import UNUSUAL, ampbench, call

from ampbench.assess.subject import read_observation
from ampbench.errors import ResultsError, UsageError
from ampbench.results import load

SWEEP = "--task two_moons --method prior --budget 10 --samples 20 --observation 1 --metric mmd"
MODEL = "--prior uniform(0,1)^2 --method rejection-abc --budget 20"
OPTIONS = {
    "run": f"run {SWEEP} --executor in-process --results",
    "run of a file": "run --results r",
    "plan": f"plan {SWEEP} --results",
    "plan of a file": "plan",
    "status": "status --results",
    "failures": "failures --results",
    "store check": "store check --results",
    "store merge": "store merge --into into",
    "store merge into": "store merge source --into",
    "store gc": "store gc --results",
    "results": "results --results",
    "atlas": "atlas --results",
    "compare": "compare --results",
    "export from": "export out.nc --results",
    "export to": "export --results source",
    "reference export": "reference export two_moons --samples 10 --output",
    "infer to": "infer two_moons --method rejection-abc --budget 20 --observation 1,2 --output",
    "infer simulations": "infer --observation 1,2 --simulations",
    "assess simulations": "assess --simulations",
    "assess store": "assess two_moons --methods rejection-abc --budgets 20 --store",
}
"""Commands whose last argument is a path."""

PATHS = {
    "long name": "x" * 300,
    "long path": "/".join(["x" * 200] * 30),
    "below a file": "file/below",
    "a loop of links": "loop",
}
FOLDERS = ("folder", "link to a folder")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "source" / "runs").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_path_that_cannot_be_used(folder: Path, option: str, path: str) -> None:
    code, _, errors = call(f"{OPTIONS[option]} {PATHS[path]}")
    if (option, path) == ("reference export", "a loop of links"):  # a file takes the place of the link
        assert code == 0
        return
    assert (code, errors.count("\n"), errors[:10]) == (2, 1, "ampbench: "), errors
    assert option == "export to" or Path(PATHS[path]).parts[0] in errors


def test_a_long_observation_is_no_name_of_a_file() -> None:
    assert read_observation(",".join(["0.25"] * 2000)).shape == (2000,)


@pytest.mark.parametrize("suffix", ["txt", "npy"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_observation_that_is_no_file(kind: str, suffix: str) -> None:
    UNUSUAL[kind](Path(f"x.{suffix}"))
    with pytest.raises(UsageError, match=rf"cannot read the observation 'x\.{suffix}': "):
        read_observation(f"x.{suffix}")


@pytest.mark.parametrize("array", [np.array([{}], dtype=object), np.array(["a"]), np.zeros(0)])
def test_an_observation_that_is_no_numbers(array: np.ndarray) -> None:
    np.save("x.npy", array)
    if array.dtype == float:
        assert not len(read_observation("x.npy"))
        return
    with pytest.raises(UsageError, match="cannot read the observation"):
        read_observation("x.npy")


def test_an_observation_that_claims_an_enormous_shape() -> None:
    np.save("x.npy", np.zeros(3))
    content = Path("x.npy").read_bytes()
    Path("x.npy").write_bytes(content.replace(b"(3,), }      ", b"(10**13,), } ").replace(b"10**13", b"9" * 6))
    with pytest.raises(UsageError, match="cannot read the observation"):
        read_observation("x.npy")


@pytest.mark.parametrize("kind", UNUSUAL)
def test_a_sweep_that_is_no_file(kind: str) -> None:
    UNUSUAL[kind](Path("sweep.toml"))
    code, _, errors = call("plan sweep.toml")
    assert (code, errors.count("\n"), errors[:32]) == (2, 1, "ampbench: cannot read sweep.toml"), errors


@pytest.mark.parametrize("path", [*PATHS.values(), "nul\0", "half of a pair \ud800"])
def test_loading_from_a_path_that_cannot_be_used(path: str) -> None:
    with pytest.raises(ResultsError):
        load(path)


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_export_that_is_no_file(kind: str, suffix: str) -> None:
    path = Path(f"out.{suffix}")
    UNUSUAL[kind](path)
    with pytest.raises(ResultsError, match=str(path)) if kind not in FOLDERS else nullcontext():
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"\xff\xfe", b"[" * 10**5, b"[1]", b'[{"budget": ' + b"9" * 10**4 + b"}]", b'{"a": 1}'],
    ids=["empty", "NUL", "no UTF-8", "deep", "a number", "a long number", "an object"],
)
def test_an_export_that_is_damaged(content: bytes) -> None:
    for path in (Path("out.json"), Path("out.csv")):
        path.write_bytes(content)
        with pytest.raises(ResultsError, match=str(path)):
            load(path)


@pytest.mark.parametrize("value", ["1" + "0" * 400, "1e999", "nan", "-1e400", "1" * 5000])
def test_an_export_with_a_huge_number(value: str, tmp_path: Path) -> None:
    assert ampbench(tmp_path / "results", f"run {SWEEP} --executor in-process")[0] == 0
    frame = load(tmp_path / "results")
    for column in ("budget", "simulations", "fit_seconds", "mmd"):
        frame.astype(str).assign(**{column: value}).to_csv("out.csv", index=False)
        with pytest.raises(ResultsError, match=column) if (column, value) != ("mmd", "nan") else nullcontext():
            load("out.csv")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def without_rights() -> Iterator[None]:
    """Work as the user nobody, who may not read what belongs to others."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes its user")
@pytest.mark.parametrize("where", [".", "runs", "active", f"runs/{'a' * 20}", f"runs/{'a' * 20}/record.json"])
@pytest.mark.parametrize("command", ["status", "results", "failures", "store check", "compare"])
def test_what_may_not_be_read(open_folder: Path, command: str, where: str) -> None:
    folder = open_folder / "results"
    (folder / "runs" / ("a" * 20)).mkdir(parents=True)
    (folder / "runs" / ("a" * 20) / "record.json").write_text("{}")
    (folder / "active").mkdir()
    ampbench(folder, command)  # imports what nobody may not import
    (folder / where).chmod(0)
    with without_rights():
        code, out, errors = ampbench(folder, command)
    assert "Traceback" not in errors
    assert code in ((0, 1) if "aaa" in where or where == "active" else (2,))
    if where != "active" or command == "status":
        assert str(folder / where) in out + errors
        assert "Permission denied" in out + errors


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG, errno.ELOOP])
@pytest.mark.parametrize("command", ["status", "results", "failures", "store check", "store gc", "compare", "atlas"])
def test_a_folder_that_the_system_does_not_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, error: int
) -> None:
    folder = tmp_path / "results"
    (folder / "runs").mkdir(parents=True)
    (folder / "draws").mkdir()

    def listdir(path: Any) -> Any:
        if str(path).startswith(str(folder)):
            raise OSError(error, os.strerror(error), str(path))
        return real(path)

    real = os.listdir
    monkeypatch.setattr(os, "listdir", listdir)
    code, _, errors = ampbench(folder, command)
    assert (code, errors.count("\n")) == (2, 1)
    assert f"cannot read {folder}/" in errors
    assert os.strerror(error) in errors
