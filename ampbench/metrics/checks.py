"""What every metric asks of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from ampbench.errors import MetricError


def check(metric: str, samples: Tensor, reference: Tensor, least: int) -> None:
    """Refuse input that would give a number without meaning.

    Arguments:
        metric: name for the message.
        samples: expected shape (n, D) with n ≥ ``least``.
        reference: expected shape (m, D) with m ≥ ``least``.

    Raises:
        MetricError: NaN, too few samples or mismatched dimensions.
    """
    for what, values in (("samples", samples), ("reference", reference)):
        check_set(metric, what, values, least)
    if samples.shape[1] != reference.shape[1]:
        raise MetricError(
            f"{metric}: samples have {samples.shape[1]} components, but the reference has {reference.shape[1]}"
        )


def check_set(metric: str, what: str, values: Tensor, least: int) -> None:
    """Refuse one set that has not the shape (n, D) with n ≥ ``least``, or holds NaN; see :func:`check`."""
    if values.ndim != 2 or len(values) < least:
        raise MetricError(f"{metric}: the {what} have shape {tuple(values.shape)}, expected (n, D) with n >= {least}")
    if bad := int((~torch.isfinite(values)).any(1).sum()):
        raise MetricError(f"{metric}: {bad} of {len(values)} {what} are NaN or infinite")


def z_score(metric: str, samples: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sets in units of the reference's standard deviation from its mean, as float32.

    Raises:
        MetricError: a component of the reference does not vary.
    """
    scale = reference.std(0)
    if constant := (scale == 0).nonzero().flatten().tolist():
        raise MetricError(f"{metric}: component {constant[0]} of the reference is constant, and has no scale")
    location = reference.mean(0)
    return ((samples - location) / scale).float(), ((reference - location) / scale).float()
