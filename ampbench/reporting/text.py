"""Formatting of numbers and durations for output; :mod:`ampbench.text` escapes texts."""

from __future__ import annotations

import math
from collections.abc import Iterable

EXPONENT_THRESHOLD = 1e6
"""Smallest absolute value that is formatted with an exponent."""


def decimals(values: Iterable[float]) -> int:
    """Return the number of decimals, from three to six, that show three digits of the largest value."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return min(max(2 - math.floor(math.log10(largest)), 3), 6) if largest > 0 else 3


def number(value: float, digits: int = 3, sign: str = "") -> str:
    """Format a number; "-" if it is NaN.

    Example:
        >>> number(0.12345), number(0.5, 2, sign="+"), number(-6.25e13), number(float("nan"))
        ('0.123', '+0.50', '-6.25e+13', '-')
    """
    if math.isnan(value):
        return "-"
    return f"{value:{sign}.2e}" if abs(value) >= EXPONENT_THRESHOLD else f"{value:{sign}.{digits}f}"


def duration(seconds: float) -> str:
    """Format a duration with its two largest units.

    Example:
        >>> duration(4.2), duration(75), duration(3600 * 50), duration(3600 * 100)
        ('4 s', '1 min 15 s', '2 d 2 h', '4 d 4 h')
    """
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"
