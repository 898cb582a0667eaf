"""Devices: one reading of their names."""

from __future__ import annotations

import torch

from ampbench.errors import UsageError


def usable_device(name: str | torch.device) -> torch.device:
    """Return a device on which a tensor can be made.

    Arguments:
        name: of any torch device, such as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        UsageError: torch does not know the device, or cannot use it here; the message names device and reason.

    Example:
        >>> usable_device("cpu")
        device(type='cpu')
        >>> usable_device("gpu")
        Traceback (most recent call last):
        ampbench.errors.UsageError: torch knows no device 'gpu'; take cpu, or one that 'ampbench doctor' lists
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError):
        raise UsageError(f"torch knows no device {name!r}; take cpu, or one that 'ampbench doctor' lists") from None
    if device.type == "cpu":
        return device
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        unsupported = isinstance(error, NotImplementedError | ImportError)
        reason = "this torch does not support it" if unsupported else str(error).partition("\n")[0]
        raise UsageError(
            f"device {str(device)!r} cannot be used here: {reason}; take cpu, or one that 'ampbench doctor' lists"
        ) from None
    return device
