"""Checks and standardisation of the sample sets that metrics compare."""

from __future__ import annotations

import torch
from torch import Tensor

from ampbench.errors import MetricError


def check(metric: str, samples: Tensor, reference: Tensor, min_size: int) -> None:
    """Check the sample sets that a metric compares.

    Arguments:
        metric: the metric's name, for the message.
        samples: expected shape (n, D) with n ≥ ``min_size``.
        reference: expected shape (m, D) with m ≥ ``min_size``.

    Raises:
        MetricError: NaN, infinite values, too few samples or mismatched dimensions.
    """
    for what, values in (("samples", samples), ("reference", reference)):
        check_set(metric, what, values, min_size)
    if samples.shape[1] != reference.shape[1]:
        raise MetricError(
            f"{metric}: samples have {samples.shape[1]} components, but the reference has {reference.shape[1]}"
        )


def check_set(metric: str, what: str, values: Tensor, min_size: int) -> None:
    """Check that one set has the shape (n, D) with n ≥ ``min_size`` and finite values; see :func:`check`."""
    if values.ndim != 2 or len(values) < min_size:
        raise MetricError(
            f"{metric}: the shape of the {what} is {tuple(values.shape)}, expected (n, D) with n >= {min_size}"
        )
    if bad := int((~torch.isfinite(values)).any(1).sum()):
        raise MetricError(f"{metric}: {bad} of {len(values)} {what} are NaN or infinite")


def z_score(metric: str, samples: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sets standardised by the reference's mean and standard deviation, as float32.

    Raises:
        MetricError: a component of the reference does not vary.
    """
    scale = reference.std(0)
    if constant := (scale == 0).nonzero().flatten().tolist():
        raise MetricError(f"{metric}: component {constant[0]} of the reference is constant, and has no scale")
    location = reference.mean(0)
    return ((samples - location) / scale).float(), ((reference - location) / scale).float()
