"""How a child ended is what the parent says: a plugin may choose any exit status, and any signal."""

from __future__ import annotations

import re
from functools import partial

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
