r"""Simulators that are other programs, which communicate through standard input and output.

The program is started once per batch. It reads JSON lines: first ``{"seed": 123, "n": 2}``, then one list of D
numbers per row of theta. It answers, per row and in the same order, with one line: the list of the L numbers of x.

::

    stdin                      stdout
    {"seed": 123, "n": 2}
    [0.5, 1.0]                 [10, 12, 15]
    [0.1, 0.4]                 [9, 9, 7]

The seed comes from torch's global generator, so that a run is reproducible if the program uses the seed. If the program
crashes, hangs or prints anything else, the caller gets a :class:`ampbench.errors.SimulationError` that says so, and no
process is left behind.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ampbench.errors import SimulationError, UsageError
from ampbench.graph.precision import stored

MAX_SHOWN_CHARACTERS = 120
"""Characters of a faulty line that an error shows."""
MAX_STDERR_CHARACTERS = 600
"""Characters of standard error that an error shows."""


@dataclass(frozen=True)
class External:
    """A simulator that calls a program: theta, shape (n, D), to x, shape (n, L).

    Arguments:
        command: the program and its arguments; no shell is involved.
        timeout: seconds that one batch may take.
        size: L, the numbers expected per line.
        may_fail: whether NaN and infinite numbers are returned, as failed simulations (``infer(…, failed="drop")``);
            by default they are an error, which names the line.

    Raises:
        UsageError: an empty command, a timeout or a size that is not positive.

    Example:
        >>> import sys
        >>> program = "import sys; next(sys.stdin); [print(line.strip()) for line in sys.stdin]"
        >>> External((sys.executable, "-c", program), timeout=60, size=2)(torch.tensor([[1.0, 2.0]]))
        tensor([[1., 2.]])
    """

    command: Sequence[str]
    timeout: float
    size: int
    may_fail: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "command", tuple(self.command))
        if not self.command:
            raise UsageError("the external simulator has an empty command; give a program and its arguments")
        if not (self.timeout > 0 and self.size > 0):
            raise UsageError(
                "the external simulator needs a positive timeout and size, "
                f"got timeout={self.timeout}, size={self.size}"
            )

    def __call__(self, theta: Tensor) -> Tensor:
        """Run the program on theta, (n, D); returns (n, L) on theta's device.

        It is in double precision if rounding would lose information.

        Raises:
            SimulationError: the program is missing, crashed, hung, or answered with anything but n lines of L finite
                numbers; the message names the command, the fault, the tail of its standard error and the next step.
        """
        seed = int(torch.randint(2**31, ()))
        lines = [json.dumps({"seed": seed, "n": len(theta)}), *map(json.dumps, theta.tolist())]
        out, err = self._run("\n".join(lines) + "\n")
        rows = self._rows(out, len(theta), err)
        x = torch.tensor(rows, dtype=torch.float64).reshape(len(theta), self.size)
        dtype = stored(x[x.isfinite().all(1)]).dtype
        return x.to(theta.device, torch.promote_types(theta.dtype, dtype))

    def _run(self, text: str) -> tuple[str, str]:
        """Return standard output and error of the program, which has ended afterwards."""
        with self._start() as process:
            try:
                # communicate reads both pipes while it writes, so that no full pipe can block either side
                out, err = process.communicate(text.encode(), timeout=self.timeout)
            except subprocess.TimeoutExpired as expired:
                _kill(process)
                raise self._error(
                    f"did not finish within {self.timeout:g} s",
                    _text(expired.stderr),
                    "raise the timeout, or ask for fewer simulations at a time",
                ) from None
            finally:
                _kill(process)  # also what it started and left running
        if process.returncode:
            raise self._error(_exit(process.returncode), _text(err), "run it by hand with the same input")
        return _text(out), _text(err)

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(list(self.command), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        except (OSError, ValueError) as error:
            raise self._error(f"could not be started: {error}", "", "check the path and its permissions") from error

    def _rows(self, out: str, n: int, err: str) -> list[list[float]]:
        lines = out.splitlines()
        if len(lines) != n:
            shown = f"; line {len(lines)} is {_short(lines[-1])}" if lines else ""
            raise self._error(
                f"wrote {len(lines)} lines for {n} rows of theta{shown}", err, "let it print one line per row, no more"
            )
        return [self._row(number, line, err) for number, line in enumerate(lines, 1)]

    def _row(self, number: int, line: str, err: str) -> list[float]:
        """Return the numbers of one line."""
        try:
            row = json.loads(line)
            numbers = [float(each) for each in row if not isinstance(each, str | bool)]
        except (ValueError, TypeError, OverflowError, RecursionError):
            row, numbers = None, []
        form = f"let it print a JSON list of {self.size} finite numbers"
        if not isinstance(row, list) or len(numbers) != len(row):
            raise self._error(f"wrote line {number}, which is not a list of numbers: {_short(line)}", err, form)
        if len(row) != self.size:
            raise self._error(
                f"wrote {len(row)} numbers in line {number}, expected {self.size}: {_short(line)}", err, form
            )
        if not self.may_fail and not all(map(math.isfinite, numbers)):
            raise self._error(f"wrote NaN or infinite numbers in line {number}: {_short(line)}", err, form)
        return numbers

    def _error(self, fault: str, err: str, advice: str) -> SimulationError:
        said = f"; its standard error ends: {err.strip()[-MAX_STDERR_CHARACTERS:]}" if err.strip() else ""
        return SimulationError(f"the external simulator `{_short(shlex.join(self.command))}` {fault}{said}; {advice}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its children, which share its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _exit(code: int) -> str:
    if code > 0:
        return f"failed with exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else "unknown"
    return f"was killed by signal {-code} ({name})"


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + f"… ({len(text)} characters)"
