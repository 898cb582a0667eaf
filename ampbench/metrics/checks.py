r"""Checks and standardisation of the sample sets that metrics compare.

A metric compares two independent sets. Rows of one set that are rows of the other set too, such as a part of the
reference that is compared with the reference, make the sets look more alike, or less alike, than their distributions
are; they are refused. Independent sets of n and m rows share about n m κ rows, with κ the probability that two rows are
equal. It is at least the machine epsilon ε of a single component, and large for a distribution on a grid; the pairs of
equal rows within the reference estimate it. More than :data:`CHANCE` times n m (ε + κ) shared rows are no coincidence.
The rows of whole numbers are expected to recur; such a set is refused if it is the beginning of the other one.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from ampbench.errors import GraphError, MetricError
from ampbench.interfaces import Task

CHANCE = 10
"""Shared rows are a coincidence up to this multiple of their expected number."""
FEW = 3
"""Number of shared rows that are always taken for a coincidence."""
MIN_COPY = 20
"""Smallest number of equal rows in equal order that makes one set of whole numbers a copy of another one."""
MAX_DISTANCE = 1e15
"""Largest distance from the reference in its standard deviations; squares of larger ones overflow single precision."""


def standardised(metric: str, samples: Tensor, reference: Tensor, min_size: int) -> tuple[Tensor, Tensor]:
    """Check the sample sets that a metric compares, and standardise both by the reference's mean and deviation.

    Arguments:
        metric: the metric's name, for messages.
        samples: expected shape (n, D) with n ≥ ``min_size``; any real type.
        reference: expected shape (m, D) with m ≥ ``min_size``; any real type.

    Returns:
        The sets, in float32.

    Raises:
        MetricError: NaN, infinite values, too few samples, mismatched dimensions, rows that both sets share, a constant
            component of the reference, or samples that are too far from it.
    """
    for what, values in (("samples", samples), ("reference", reference)):
        check_set(metric, what, values, min_size)
    if samples.shape[1] != reference.shape[1]:
        raise MetricError(
            f"{metric}: samples have {samples.shape[1]} components, but the reference has {reference.shape[1]}"
        )
    check_varies(metric, "reference", reference)
    _check_independent(metric, samples, reference)
    q, p = _z_score(_real(samples), _real(reference))
    if not bool((distance := q.abs().amax()) <= MAX_DISTANCE):  # NaN and infinite ones too
        raise MetricError(
            f"{metric}: the samples are up to {float(distance):.2g} reference standard deviations away from the "
            f"reference, but at most {MAX_DISTANCE:.0e} can be compared; look for outliers, or for another unit"
        )
    return q, p


def check_set(metric: str, what: str, values: Tensor, min_size: int) -> None:
    """Check that one set has the shape (n, D) with n ≥ ``min_size`` and finite values; see :func:`standardised`."""
    if values.ndim != 2 or len(values) < min_size or not values.shape[1]:
        raise MetricError(
            f"{metric}: the shape of the {what} is {tuple(values.shape)}, expected (n, D) with n >= {min_size}"
        )
    if values.is_complex():
        raise MetricError(f"{metric}: the {what} are complex numbers ({values.dtype}), expected real ones")
    if bad := int((~torch.isfinite(values)).any(1).sum()):
        raise MetricError(f"{metric}: {bad} of {len(values)} {what} are NaN or infinite")


def check_varies(metric: str, what: str, values: Tensor) -> None:
    """Raise :class:`MetricError` if a component of a set (n, D) is constant."""
    if constant := (values == values[0]).all(0).nonzero().flatten().tolist():
        raise MetricError(f"{metric}: component {constant[0]} of the {what} is constant, and has no scale")


def latent_parts(metric: str, task: Task, samples: Tensor) -> dict[str, Tensor]:
    """Return samples (n, D) as one tensor (n, D_i) for each latent variable of a task.

    Raises:
        MetricError: the samples have another number of components.
    """
    try:
        return task.graph.split(samples, task.latents)
    except GraphError as error:
        raise MetricError(f"{metric}: the samples do not fit task {type(task).__name__}: {error}") from error


def _check_independent(metric: str, samples: Tensor, reference: Tensor) -> None:
    """Raise :class:`MetricError` if the sets share more rows than independent sets do; see the module."""
    q, p = _real(samples), _real(reference)
    n, m = len(q), len(p)
    coarser = max(q.dtype, p.dtype, key=lambda kind: torch.finfo(kind).eps)
    q, p = q.to("cpu", coarser), p.to("cpu", coarser)
    among = Counter(_rows(p))
    shared = sum(row in among for row in _rows(q))
    if torch.equal(q, q.round()) and torch.equal(p, p.round()):
        copied = min(n, m) >= MIN_COPY and torch.equal(q[:m], p[:n])
    else:
        repeated = sum(count * (count - 1) for count in among.values()) / (m * (m - 1))
        copied = shared > FEW + CHANCE * n * m * (torch.finfo(coarser).eps + repeated)
    if copied:
        raise MetricError(
            f"{metric}: {shared} of {n} samples are rows of the reference too, but a metric compares independent sets; "
            "draw one of them anew, or leave the shared rows out of one of them"
        )


def _rows(values: Tensor) -> list[bytes]:
    """Return every row of a set (n, D) as bytes, with a single zero."""
    return [row.tobytes() for row in (values + 0.0).numpy()]


def _real(values: Tensor) -> Tensor:
    """Return values of another type than float32 and float64 as float64."""
    return values if values.dtype in (torch.float32, torch.float64) else values.double()


def _z_score(samples: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Return both sets standardised by the reference's mean and standard deviation, as float32."""
    location, scale = reference.mean(0), reference.std(0)
    safe = torch.finfo(reference.dtype).tiny ** 0.5
    if not bool((location.isfinite() & scale.isfinite() & (scale > safe)).all()):  # squares left the range
        unit = reference.double().abs().amax(0)
        samples, reference = samples.double() / unit, reference.double() / unit
        location, scale = reference.mean(0), reference.std(0)
    return ((samples - location) / scale).float(), ((reference - location) / scale).float()
