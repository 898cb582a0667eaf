"""Whole numbers: one reading of counts and seeds, whatever type they have.

An ``int``, a numpy integer, a tensor or an array of one number without dimensions, and any object with ``__index__``
are the integer that they stand for, and so is a float without a fraction, such as ``1e4``. Truth values and texts are
refused, since they are mistakes: ``True`` would count as 1.
"""

from __future__ import annotations

import math
import operator
from decimal import Decimal, InvalidOperation
from numbers import Real
from typing import Any, SupportsIndex

from ampbench.errors import UsageError

MAX_PARALLEL = 1024
"""Largest number of processes or threads that may be asked for; as many would fill the memory of any machine."""


def whole(name: str, value: object) -> int:
    """Return a whole number as an ``int``.

    Arguments:
        name: of the argument, for the message.
        value: the number, of any type.

    Raises:
        UsageError: the value is a truth value, a text, a number with a fraction, infinite, NaN, or no number; the
            message names argument and value.

    Example:
        >>> import numpy as np
        >>> whole("budget", 1e4), whole("seed", np.int64(3))
        (10000, 3)
        >>> whole("seed", True)
        Traceback (most recent call last):
        ampbench.errors.UsageError: seed must be a whole number, got True (bool); write a number such as 200
    """
    if type(value) is int:  # most are: a record has four
        return value
    number = plain(value)
    if not isinstance(number, bool) and not getattr(number, "ndim", 0):
        if isinstance(number, SupportsIndex):
            return int(operator.index(number))
        real = isinstance(number, Real | Decimal)
        if real and math.isfinite(number) and number == int(number):
            return int(number)
    raise UsageError(
        f"{name} must be a whole number, got {value!r} ({type(value).__name__}); write a number such as 200"
    )


def count(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """Return a whole number within bounds; raises :class:`UsageError` as :func:`whole` does, and beyond the bounds.

    Example:
        >>> count("workers", 0)
        Traceback (most recent call last):
        ampbench.errors.UsageError: workers must be at least 1, got 0
        >>> count("threads", 10**9, most=1024)
        Traceback (most recent call last):
        ampbench.errors.UsageError: threads must be at most 1024, got 1000000000
    """
    number = whole(name, value)
    if number < least:
        raise UsageError(f"{name} must be at least {least}, got {number}")
    if most is not None and number > most:
        raise UsageError(f"{name} must be at most {most}, got {number}")
    return number


def read_whole(name: str, text: str) -> int:
    """Return the whole number that a text stands for, such as ``1000`` or ``1e4``; raises :class:`UsageError` if none.

    Example:
        >>> read_whole("budget", "1e4")
        10000
    """
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return whole(name, Decimal(text))
    except (InvalidOperation, UsageError):
        raise UsageError(f"{name} must be a whole number, got {text!r}; write a number such as 200 or 1e4") from None


def plain(value: Any) -> Any:
    """Return a scalar of numpy or torch as a number of Python; any other value as it is.

    Example:
        >>> import numpy as np
        >>> plain(np.int64(3)), plain("fit")
        (3, 'fit')
    """
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
