"""What the constructors of components refuse: options out of their range."""

from __future__ import annotations

from ampbench.errors import UsageError


def at_least(owner: object, **options: tuple[float, float]) -> None:
    """Refuse options that are too small, or NaN.

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
        if not value >= least:  # NaN is refused as well
            raise UsageError(f"{type(owner).__name__} needs {name} of at least {least}, got {name}={value}")


def between(owner: object, **options: tuple[float, float, float]) -> None:
    """Refuse options outside an open interval, or NaN.

    Arguments:
        owner: the component, whose class the message names.
        options: by name, the value and the bounds, which are excluded.

    Raises:
        UsageError: a value is not in range; the message names owner, option, value and range.

    Example:
        >>> between(object(), epsilon=(1.5, 0, 1))
        Traceback (most recent call last):
        ampbench.errors.UsageError: object needs epsilon above 0 and below 1, got epsilon=1.5
    """
    for name, (value, low, high) in options.items():
        if not low < value < high:
            raise UsageError(f"{type(owner).__name__} needs {name} above {low} and below {high}, got {name}={value}")
