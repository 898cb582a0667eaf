"""Range checks of options, for the constructors of components.

Truth values and texts are no numbers; an option that the constructor annotates as ``int`` must be an integer.
"""

from __future__ import annotations

import inspect
import math
from typing import SupportsIndex

from ampbench.counts import plain
from ampbench.errors import UsageError


def at_least(owner: object, **options: tuple[float, float]) -> None:
    """Raise :class:`UsageError` for options that are too small, infinite or NaN.

    Arguments:
        owner: the component, whose class the message names.
        options: by name, the value and the least that is allowed.

    Raises:
        UsageError: a value is not in range; the message names owner, option, value and range.

    Example:
        >>> at_least(object(), width=(0, 1))
        Traceback (most recent call last):
        ampbench.errors.UsageError: object needs width of at least 1, got width=0
    """
    for name, (value, least) in options.items():
        _refuse_other_types(owner, name, value)
        finite = " and finite" if value == math.inf else ""
        _refuse_unless(least <= value < math.inf, owner, name, value, f"of at least {least}{finite}")


def between(owner: object, **options: tuple[float, float, float]) -> None:
    """Raise :class:`UsageError` for options outside an open interval, or NaN.

    Arguments:
        owner: the component, whose class the message names.
        options: by name, the value and the bounds, which are excluded; the upper one may be infinite.

    Raises:
        UsageError: a value is not in range; the message names owner, option, value and range.

    Example:
        >>> between(object(), epsilon=(1.5, 0, 1))
        Traceback (most recent call last):
        ampbench.errors.UsageError: object needs epsilon above 0 and below 1, got epsilon=1.5
    """
    for name, (value, low, high) in options.items():
        _refuse_other_types(owner, name, value)
        top = "finite" if high == math.inf else f"below {high}"
        _refuse_unless(low < value < high, owner, name, value, f"above {low} and {top}")


def half_open(owner: object, **options: tuple[float, float, float]) -> None:
    """Raise :class:`UsageError` for options outside a half-open interval, or NaN.

    Arguments:
        owner: the component, whose class the message names.
        options: by name, the value, the least that is allowed, and the bound, which is excluded.

    Raises:
        UsageError: a value is not in range; the message names owner, option, value and range.

    Example:
        >>> half_open(object(), dropout=(1.0, 0, 1))
        Traceback (most recent call last):
        ampbench.errors.UsageError: object needs dropout of at least 0 and below 1, got dropout=1.0
    """
    for name, (value, least, high) in options.items():
        _refuse_other_types(owner, name, value)
        _refuse_unless(least <= value < high, owner, name, value, f"of at least {least} and below {high}")


def _refuse_unless(inside: bool, owner: object, name: str, value: float, allowed: str) -> None:
    if not inside:  # NaN never is
        raise UsageError(f"{type(owner).__name__} needs {name} {allowed}, got {name}={value}")


def _refuse_other_types(owner: object, name: str, value: object) -> None:
    parameter = inspect.signature(type(owner).__init__).parameters.get(name)
    kind = "a whole number" if parameter is not None and parameter.annotation in ("int", int) else "a number"
    fits = isinstance(value, SupportsIndex) if kind == "a whole number" else not isinstance(value, str | bytes)
    if not fits or isinstance(plain(value), bool):
        raise UsageError(f"{type(owner).__name__} needs {name} to be {kind}, got {name}={value!r}")
