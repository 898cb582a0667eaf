"""A small store, and what may be wrong with one of its files."""

from __future__ import annotations

import json
import os
import socket
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from ampbench.cli import main

SWEEP = "--task two_moons --method prior --budget 10 --samples 20 --observation 1 --observation 2 --metric mmd"
COMMANDS = {
    "run": f"run {SWEEP} --executor in-process",
    "status": "status",
    "plan": f"plan {SWEEP}",
    "plan as JSON": f"plan {SWEEP} --json",
    "failures": "failures",
    "failures as JSON": "failures --json",
    "store check": "store check",
    "store merge": "store merge",
    "store gc": "store gc --damaged --failed",
    "results": "results",
    "results as JSON": "results --json",
    "results as CSV": "results --csv",
    "atlas": "atlas",
    "export": "export out.nc --observation 1",
    "compare": "compare",
    "compare as JSON": "compare --json",
}


def ampbench(folder: Path, text: str) -> tuple[int, str, str]:
    """Run a command on a results directory, in this process; return its exit code, output and errors."""
    target, file = folder.with_name("target"), folder.with_name("out.nc")
    options = f"{folder} --into {target}" if text == "store merge" else f"--results {folder}"
    return call(f"{text.replace('out.nc', str(file))} {options}")


def call(text: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, output and errors."""
    with (
        redirect_stdout(StringIO()) as out,
        redirect_stderr(StringIO()) as errors,
        warnings.catch_warnings(),
        mock.patch.object(sys, "argv", ["ampbench", *text.split()]),
        mock.patch.dict(os.environ, {"COLUMNS": "500"}),
    ):
        warnings.simplefilter("always")
        try:
            main()
            code = 0
        except SystemExit as ending:
            code = int(ending.code or 0)
    return code, out.getvalue(), errors.getvalue()


def record_path(folder: Path) -> Path:
    """Return the path of the record that is damaged: that of observation 2."""
    (path,) = (
        path for path in folder.glob("runs/*/record.json") if json.loads(path.read_text())["run"]["observation"] == 2
    )
    return path


def seal(content: dict[str, Any]) -> str:
    """Return a record as text, with the checksum of its content."""
    import hashlib

    bare = {name: value for name, value in content.items() if name != "checksum"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"))
    return json.dumps(bare | {"checksum": hashlib.sha256(text.encode()).hexdigest()})


Change = Callable[[dict[str, Any]], object]


def resealed(change: Change) -> Callable[[Path], None]:
    """Return a damage: a changed record, whose checksum is that of its content."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        change(content)
        path.write_text(seal(content))

    return damage


def of_schema_1(change: Change) -> Callable[[Path], None]:
    """Return a damage: a changed record of the first schema, which had no checksums."""

    def damage(path: Path) -> None:
        content = json.loads(path.read_text()) | {"schema": 1}
        del content["checksum"], content["samples"]
        change(content)
        path.write_text(json.dumps(content))

    return damage


def replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Return a damage: something else in the place of a file."""

    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def put(*where: str) -> Callable[[Any], Change]:
    """Return a function that makes a change: a value at a place of the record."""

    def of(value: Any) -> Change:
        def change(content: dict[str, Any]) -> None:
            for name in where[:-1]:
                content = content[name]
            content[where[-1]] = value

        return change

    return of


def text_instead(old: str, new: str) -> Callable[[Path], None]:
    """Return a damage: a text in the place of another one, with the old checksum."""

    def damage(path: Path) -> None:
        content = path.read_text()
        assert old in content
        path.write_bytes(content.replace(old, new).encode(errors="surrogatepass"))

    return damage


def listen(path: Path) -> None:
    """Put a socket at a path, whose name must be short: it is bound in its folder."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def sparse(path: Path) -> None:
    """Write a file of a terabyte of zeros, which takes no room."""
    with open(path, "wb") as file:
        file.truncate(2**40)


def deep(depth: int) -> list[Any]:
    """Return nested lists."""
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


UNUSUAL: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "socket": listen,
    "folder": Path.mkdir,
    "sparse file": sparse,
    "link to a FIFO": lambda path: (os.mkfifo(path.with_suffix(".fifo")), path.symlink_to(path.with_suffix(".fifo"))),
    "link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "link to a terminal": lambda path: path.symlink_to("/dev/tty"),
    "loop of links": lambda path: path.symlink_to(path.name),
    "link to a folder": lambda path: path.symlink_to("/"),
}
"""Paths that are no files, in the place of a file."""

METRIC = ("metrics", "mmd", "value")
RECORDS: dict[str, Callable[[Path], object]] = {
    **{f"a {name}": replaced(make) for name, make in UNUSUAL.items()},
    "empty": lambda path: path.write_bytes(b""),
    "NUL": lambda path: path.write_bytes(bytes(1000)),
    "invalid UTF-8": lambda path: path.write_bytes(b'{"schema": "\xff\xfe"}'),
    "deep": lambda path: path.write_text("[" * 10**6),
    "long number": lambda path: path.write_text('{"schema": ' + "9" * 10**5 + "}"),
    "two fields of one name": text_instead('"status": "ok"', '"status": "ok", "status": "ok"'),
    "huge float": text_instead('"fit_seconds": ', '"fit_seconds": 1e999, "fit_second": '),
    "10**400 seconds": resealed(put("fit_seconds")(10**400)),
    "10**400 simulations": resealed(put("simulations")(10**400)),
    "10**400 of schema 1": of_schema_1(put("fit_seconds")(10**400)),
    "10**400 as a score": resealed(put(*METRIC)(10**400)),
    "10**400 as a score of schema 1": of_schema_1(put(*METRIC)(10**400)),
    "10**400 in a provenance": resealed(put("metrics", "mmd", "provenance", "seed")(10**400)),
    "10**400 in a check": resealed(lambda content: content["checks"][0].update(value=10**400)),
    "budget of 2**63": resealed(put("run", "budget")(2**63)),
    "budget of 10**400": resealed(put("run", "budget")(10**400)),
    "infinite budget": of_schema_1(put("run", "budget")(float("inf"))),
    "infinite score": of_schema_1(put(*METRIC)(float("inf"))),
    "infinite seconds": of_schema_1(put("fit_seconds")(float("nan"))),
    "negative count": resealed(put("simulations")(-1)),
    "truth value as a number": resealed(put("simulations")(True)),
    "truth value as a score": resealed(put(*METRIC)(False)),
    "text as a score": resealed(put(*METRIC)("0.5")),
    "text as a standard error": resealed(put("metrics", "mmd", "provenance", "standard_error")("much")),
    "huge standard error": resealed(put("metrics", "mmd", "provenance", "standard_error")(1e300)),
    "list as a score": resealed(put(*METRIC)([1])),
    "list as a metric": resealed(put("metrics", "mmd")([1])),
    "list of metrics": resealed(put("metrics")([1])),
    "number as a task": resealed(put("run", "task")(1)),
    "no run": resealed(put("run")(None)),
    "other observation": resealed(put("run", "observation")(7)),
    "key of another run": resealed(put("key")("0" * 20)),
    "number as a key": resealed(put("key")(1)),
    "no key": resealed(lambda content: content.pop("key")),
    "path as samples": resealed(put("samples")("../../../../etc/passwd")),
    "number as samples": resealed(put("samples")(3)),
    "list as samples": resealed(put("samples")([])),
    "deep but valid JSON": resealed(put("device")(deep(500))),
    "a million fields": lambda path: path.write_text(json.dumps(dict.fromkeys(range(10**6), 1))),
    "many versions": resealed(put("versions")({str(i): "1" for i in range(10**4)})),
    "many entries of a provenance": resealed(put("metrics", "mmd", "provenance")({str(i): 1 for i in range(1000)})),
    "long provenance": resealed(put("metrics", "mmd", "provenance", "kernel")("x" * 10**6)),
    "thousands of metrics": resealed(put("metrics")({f"m{i}": {"value": 1.0} for i in range(5000)})),
    "metric called task": resealed(put("metrics", "task")({"value": 1.0})),
    "metric called version_torch": resealed(put("metrics", "version_torch")({"value": 1.0})),
    "metric called mmd_provenance": resealed(put("metrics", "mmd_provenance")({"value": 1.0})),
    "version of mmd_provenance": resealed(put("versions", "mmd_provenance")("1")),
    "metric without a name": resealed(put("metrics", "")({"value": 1.0})),
    "half of a surrogate pair": resealed(put("device")("\ud800")),
    "half of a surrogate pair in a name": resealed(put("metrics", "\udfff")({"value": 1.0})),
    "half of a surrogate pair in a provenance": resealed(put("metrics", "mmd", "provenance", "kernel")("\ud800")),
    "impossible date": resealed(put("finished")("2026-02-31T00:00:00+00:00")),
    "distant date": resealed(put("finished")("99999-01-01T00:00:00+00:00")),
    "text of 20 MB": resealed(put("error")("x" * 20_000_000)),
    "checks that are no list": resealed(put("checks")({"a": 1})),
    "list of numbers as checks": resealed(put("checks")([1])),
    "schema of a later version": resealed(put("schema")(3)),
    "schema of a list": resealed(put("schema")([2])),
    "unknown field": resealed(put("extra")(1)),
}
"""Damages of a record, by name."""
