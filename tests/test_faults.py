"""Texts of exceptions, whatever they are, and the difference between a fault and an interruption."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ampbench.cli.interruption import Terminated, interruptible
from ampbench.errors import UsageError
from ampbench.faults import MAX_MESSAGE, MAX_TRACEBACK, describe, named, pass_interruption, trace
from ampbench.running.failures import describe_with_line, failure


class ExitsError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class NoText(BaseException):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class OddText(str):
    def split(self, *arguments: object) -> list[str]:  # type: ignore[override]
        raise SystemExit(0)

    def __len__(self) -> int:
        raise SystemExit(0)


class OddTextError(Exception):
    def __str__(self) -> str:
        return OddText("odd")


class DisguisedError(Exception):
    @property
    def __class__(self) -> type:  # type: ignore[override]
        raise SystemExit(0)


class HiddenError(Exception):
    @property
    def __traceback__(self) -> None:  # type: ignore[override]
        raise SystemExit(0)

    @property
    def __cause__(self) -> None:  # type: ignore[override]
        raise SystemExit(0)


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(0)


class NamelessError(Exception, metaclass=Nameless):
    pass


LONG = "x" * 5_000_000
HOSTILE = {
    "text that raises": (ExitsError(), "ExitsError: (its text cannot be had: SystemExit)"),
    "text that is none": (NoText(), "NoText: (its text cannot be had: TypeError)"),
    "text of another class": (OddTextError(), "OddTextError: odd"),
    "class that raises": (DisguisedError("why"), "DisguisedError: why"),
    "traceback that raises": (HiddenError("why"), "HiddenError: why"),
    "name that raises": (NamelessError("why"), "NamelessError: why"),
    "long text": (RuntimeError(LONG), "RuntimeError: xxx"),
    "long text on purpose": (UsageError(LONG), "xxx"),
    "long name": (type(LONG, (Exception,), {})("why"), "xxx"),
    "exit": (SystemExit(0), "SystemExit: 0"),
    "interruption": (KeyboardInterrupt(), "KeyboardInterrupt: "),
    "several lines": (ValueError("a\n  b"), "ValueError: a b"),
}


@pytest.fixture(params=HOSTILE)
def raised(request: pytest.FixtureRequest) -> Iterator[tuple[BaseException, str]]:
    error, text = HOSTILE[request.param]
    try:
        raise error
    except BaseException as caught:
        yield caught, text


def test_every_exception_has_a_short_text(raised: tuple[BaseException, str]) -> None:
    error, text = raised
    assert describe(error).startswith(text)
    assert describe_with_line(error).startswith(text)
    assert len(describe(error)) < 2 * MAX_MESSAGE + 200
    assert len(named(error)) < 2 * MAX_MESSAGE + 200


def test_a_failure_keeps_no_long_text(raised: tuple[BaseException, str]) -> None:
    found = failure(raised[0])
    assert found.message.startswith(raised[1])
    assert len(found.message) < MAX_MESSAGE + 100
    assert len(found.traceback) < MAX_TRACEBACK + 100
    assert found.traceback.count("x") < 3 * MAX_MESSAGE
    assert found.kind == "error"


def test_a_long_text_says_how_much_is_left_out() -> None:
    text = describe(RuntimeError("begin" + LONG + "end"))
    assert text.startswith("RuntimeError: beginxxx")
    assert " … [4,998,008 characters left out] … " in text
    assert text.endswith("xxxend")


def test_a_traceback_shows_where_it_was_raised() -> None:
    """Head and tail of a long chain of errors."""
    error: Exception = ValueError("the first")
    for number in range(300):
        try:
            raise RuntimeError(f"error {number}") from error
        except RuntimeError as caught:
            error = caught
    text = trace(error)
    assert "the first" in text
    assert "test_faults.py" in text
    assert text.endswith("RuntimeError: error 299\n")
    assert len(text) < MAX_TRACEBACK + 100


@pytest.mark.parametrize("error", [SystemExit(0), GeneratorExit(), ExitsError(), NoText(), KeyboardInterrupt()])
def test_in_an_uninterrupted_command_everything_is_a_fault(error: BaseException) -> None:
    with interruptible():
        pass_interruption(error)


def test_outside_commands_a_keyboard_interrupt_is_none() -> None:
    pass_interruption(SystemExit(0))
    with pytest.raises(KeyboardInterrupt):
        pass_interruption(KeyboardInterrupt())


def test_in_a_process_that_ignores_ctrl_c_it_is_a_fault() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pass_interruption(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "turned into another exception"])
def test_a_signal_is_no_fault(number: signal.Signals, kind: type[BaseException], turned: bool) -> None:
    """Even if the code that it interrupts turns it into another exception."""

    def interrupted() -> None:
        try:
            os.kill(os.getpid(), number)
        except KeyboardInterrupt:
            if turned:
                raise SystemExit(0) from None
            raise

    def guarded() -> None:
        with interruptible():
            try:
                interrupted()
            except BaseException as error:
                pass_interruption(error)

    with pytest.raises(KeyboardInterrupt if turned else kind):
        guarded()
    pass_interruption(SystemExit(0))
