"""The end of a command by an error: a message on standard error, and with ``--json`` an object on standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import takewhile
from typing import NoReturn

from ampbench.console import complain, document
from ampbench.text import plain


def fail(message: str, exit_code: int) -> NoReturn:
    """Print a message, and exit with a code."""
    complain(message)
    if asks_for_json(sys.argv[1:]):
        document({"error": plain(message).removeprefix("ampbench: "), "exit_code": exit_code})
    sys.exit(exit_code)


def asks_for_json(arguments: Sequence[str]) -> bool:
    """Return whether a command line, which may be wrong, has the option ``--json``.

    Example:
        >>> asks_for_json(["run", "--taks", "x", "--json"]), asks_for_json(["export", "--", "--json"])
        (True, False)
    """
    return "--json" in takewhile(lambda each: each != "--", arguments)
