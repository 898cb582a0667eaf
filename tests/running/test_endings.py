"""How a child ended is what the parent says: a plugin may choose any exit status, and any signal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from work_in_child import end

from ampbench.interfaces import Limits
from ampbench.running.calls import CallError, call_in_child


@pytest.mark.parametrize(
    ("kind", "number", "message"),
    [
        *(("exit", status, f"its worker process ended itself with exit status {status}") for status in (0, 1, 77, 255)),
        ("signal", 11, "its worker process crashed with SIGSEGV"),
        ("signal", 37, "its worker process crashed with signal 37"),
        ("signal", 9, "its worker process was killed by SIGKILL, by hand or by the system when memory is short"),
        ("signal", 15, "its worker process was killed by SIGTERM, by hand or by the system when memory is short"),
        ("sys.exit", 77, "SystemExit: 77"),
        ("close", 0, "its worker process ended itself with exit status 4"),
        ("close", 600, "the work took longer than the 2 s allowed"),
    ],
)
def test_endings(kind: str, number: int, message: str) -> None:
    with pytest.raises(CallError, match=re.escape(message)):
        call_in_child(partial(end, kind, number), Limits(seconds=2))


def test_a_long_path_of_temporary_files_is_named(tmp_path: Path) -> None:
    """In which the socket of the fork server cannot have a name."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    code = (
        "from ampbench.errors import UsageError\nfrom ampbench.running.process import start_server\n"
        "try:\n    start_server((), 1)\nexcept UsageError as error:\n    print(error)"
    )
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert str(folder) in done.stdout
    assert "set TMPDIR to a shorter path" in done.stdout
