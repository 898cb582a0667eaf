r"""Precision of values: single, unless a simulator or a distribution gave more and rounding would lose it.

Networks compute in single precision, whose relative rounding error is 2⁻²⁴. A component such as x = 1.2·10⁹ + 0.1 θ is
constant after rounding. Therefore location and scale of a variable are found in the precision in which it was given
(:class:`ampbench.graph.coordinates.Coordinates`), and a variable stays in double precision until then if the rounding
error of a component exceeds a share of its range over n draws,

.. math:: \max_i |x_i - \operatorname{float32}(x_i)| > \tau\, (\max_i x_i - \min_i x_i), \qquad \tau = 10^{-4}.

All other variables are rounded at once. Where the given values themselves have hardly any digits beyond their location,
a warning names the component.

References:
    Goldberg 1991, *What every computer scientist should know about floating-point arithmetic*, ACM Computing Surveys.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from ampbench.errors import PrecisionWarning

TOLERANCE = 1e-4
"""τ, the largest rounding error, in units of the range of a component."""
MIN_ROWS = 10
"""Smallest number of draws whose range is meaningful."""
MIN_LEVELS = 20
"""A component with fewer distinguishable values in its range has lost its information."""
NOISE_LEVELS = 1000
"""Range of a component that is constant up to the rounding errors of its computation, in units of rounding errors."""


def stored(values: Tensor, double: bool = False, min_rows: int = MIN_ROWS) -> Tensor:
    """Return values (n, D) in default precision, or in double precision if rounding would lose information.

    Arguments:
        values: of any real type.
        double: whether the variable stays in double precision in any case, as it did in an earlier draw.
        min_rows: smallest n for which a range is meaningful.

    Example:
        >>> theta = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
        >>> stored(3 + theta).dtype, stored(1.2e9 + theta).dtype
        (torch.float32, torch.float64)
    """
    single = values.to(torch.get_default_dtype())
    exact = values.dtype not in (torch.float64, torch.int64, torch.int32) or single.dtype == torch.float64
    if exact or not (double or (len(values) >= min_rows and bool(_loses(values.double(), single).any()))):
        return single
    return values.double()


def _loses(values: Tensor, single: Tensor) -> Tensor:
    """Return whether rounding loses information, by component, shape (D,); a constant has none to lose."""
    error = (values - single.double()).abs().amax(0)
    spread = values.amax(0) - values.amin(0)
    noise = NOISE_LEVELS * torch.finfo(torch.float64).eps * values.abs().amax(0)
    return (error > TOLERANCE * spread) & (spread > noise)


def as_written(values: Tensor) -> Tensor:
    """Return numbers that were read from text in default precision, if it has as many digits, or in double precision.

    Arguments:
        values: in double precision, of any shape.

    Example:
        >>> as_written(torch.tensor([0.1], dtype=torch.float64)).dtype
        torch.float32
        >>> as_written(torch.tensor([1200000000.05], dtype=torch.float64)).dtype
        torch.float64
    """
    single = values.to(torch.get_default_dtype())
    digits = map(str, single.flatten().numpy())
    return single if all(float(a) == b for a, b in zip(digits, values.flatten().tolist(), strict=True)) else values


def warn_if_lost(name: str, values: Tensor) -> None:
    """Warn of components of draws (n, D) that differ by few rounding errors only, or not at all.

    Whole numbers that their type holds exactly are not meant.

    Warns:
        PrecisionWarning: the message names the component, its size, the type and the next step.
    """
    if not values.is_floating_point() or len(values) < MIN_ROWS:
        return
    values = values.detach()
    low, high = values.amin(0).double(), values.amax(0).double()
    spacing = torch.finfo(values.dtype).eps * torch.maximum(low.abs(), high.abs())
    lost = (high - low < MIN_LEVELS * spacing) & ((high > low) | (spacing >= 1))
    if bool(lost.any()):
        lost &= (spacing >= 1) | (values != values.round()).any(0)
    if components := lost.nonzero().flatten().tolist():
        i, *others = components
        more = f" (and {len(others)} more, such as component {others[0]})" if others else ""
        warnings.warn(
            f"component {i} of {name!r}{more} is about {float(high[i]):.2g} in {_short(values.dtype)}, whose spacing "
            f"there is {float(spacing[i]):.2g}, and varies by {float(high[i] - low[i]):.2g}: its information is lost "
            "to rounding; subtract its location in the simulator or prior"
            + ("" if values.dtype == torch.float64 else ", or compute in double precision"),
            PrecisionWarning,
            stacklevel=2,
        )


def warn_if_rounded(what: str, values: Tensor, double: bool) -> None:
    """Warn if a variable that needs double precision is observed in a type with fewer digits.

    Arguments:
        what: the observation, for the message.
        values: of the observation, of any shape.
        double: whether the variable needs double precision.

    Warns:
        PrecisionWarning: the message names the observation and its type.
    """
    if double and values.is_floating_point() and values.dtype != torch.float64:
        warnings.warn(
            f"{what} is in {_short(values.dtype)}, but its simulations differ by less than the "
            "spacing of this type; give the observation in double precision",
            PrecisionWarning,
            stacklevel=2,
        )


def _short(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")
