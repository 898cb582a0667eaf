r"""Detailed balance: a test of draws against a density that is known up to a constant.

If :math:`u \sim \pi` and :math:`v` is proposed symmetrically and accepted with probability
:math:`a = \min(1, \pi(v) / \pi(u))`, then the flow from u to v equals the flow from v to u, so that for every function
h

.. math:: \mathbb E \bigl[ a(u, v) \, (h(v) - h(u)) \bigr] = 0

The test needs one proposal per draw, without burn-in and without a fitted proposal distribution, in any number of
dimensions, and every term is bounded. It detects a wrong shape of the draws' distribution where draws are; it does not
detect a missing mode, which importance sampling and calibration do.

The draws are split in two halves. The first is tested; a proposal adds a scaled difference of two draws of the second
half to a draw of the first, in all coordinates or in a random subset of them.

References:
    Hastings 1970, *Monte Carlo sampling methods using Markov chains and their applications*,
    doi:10.1093/biomet/57.1.97.
    ter Braak 2006, *A Markov Chain Monte Carlo version of the genetic algorithm Differential Evolution*,
    doi:10.1007/s11222-006-8769-1 (difference steps).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ampbench.verify.finding import Finding, SkipCheck, smallest
from ampbench.verify.statistics import zero_mean

LogDensity = Callable[[Tensor], Tensor]

TARGET_ACCEPTANCE = 0.4
"""The largest scale with a higher mean acceptance probability is chosen."""
STEP_SCALES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015, 0.007, 0.003)
"""Candidates for the scale of a step, as a multiple of a difference of two draws."""
MIN_ACCEPTANCE = 0.02
"""Steps with a lower mean acceptance probability are not tested: they have no power."""


def balance(check: str, log_density: LogDensity, u: Tensor, seed: int) -> Finding:
    """Test detailed balance of draws (n, D) in unconstrained coordinates.

    Arguments:
        check: the check's name.
        log_density: the log density up to a constant, from (m, D) to (m,).
        u: the draws; the first half is tested, the second gives the steps.
        seed: seed of the steps.

    Raises:
        SkipCheck: too few steps are accepted.
    """
    half = len(u) // 2
    current, others = u[:half], u[half : 2 * half]
    log_current = log_density(current)
    if impossible := int(torch.isinf(log_current).sum()):
        return Finding(check, f"{impossible} of {half} draws lie where the density is zero", None, "failed")
    generator = Generator().manual_seed(seed)
    tested, accepted = [], []
    for name, share in (("all coordinates", 1.0), ("some coordinates", min(1.0, 2 / u.shape[1]))):
        steps = _steps(others, share, generator)
        length = _length(log_density, others, steps)
        proposed = current + length * steps
        accept = (log_density(proposed) - log_current).exp().clamp(max=1.0)
        accepted.append(float(accept.mean()))
        if accepted[-1] > MIN_ACCEPTANCE:
            flows = _flows(current, proposed, log_current, log_density(proposed))
            tested += [(f"{what}, {name}", zero_mean((accept * flow).numpy())) for what, flow in flows]
    remark = f"{half} draws, accepted {' and '.join(f'{each:.0%}' for each in accepted)}"
    if not tested:
        raise SkipCheck(f"hardly any step from the draws is accepted ({remark})")
    return smallest(check, tested, remark)


def _steps(others: Tensor, share: float, generator: Generator) -> Tensor:
    """Return differences of the other draws, shape (n, D); a coordinate is kept with probability ``share``, else 0."""
    order = torch.randperm(len(others), generator=generator)
    steps = others[order] - others[order.roll(1)]
    if share == 1.0:
        return steps
    kept = torch.rand(steps.shape, generator=generator) < share
    kept[torch.arange(len(kept)), torch.randint(steps.shape[1], (len(kept),), generator=generator)] = True
    return steps * kept


def _length(log_density: LogDensity, others: Tensor, steps: Tensor) -> float:
    """Return the largest scale with enough acceptance, estimated at the other draws so that the test stays exact."""
    some = others[: len(others) // 4]
    at_some = log_density(some)
    for length in STEP_SCALES:
        change = log_density(some + length * steps.roll(7, 0)[: len(some)]) - at_some
        if float(change.nan_to_num(nan=-torch.inf).exp().clamp(max=1.0).mean()) > TARGET_ACCEPTANCE:
            return length
    return STEP_SCALES[-1]


def _flows(current: Tensor, proposed: Tensor, log_current: Tensor, log_proposed: Tensor) -> list[tuple[str, Tensor]]:
    """Return h(v) - h(u) for bounded h of coordinates, their squares, products of neighbours, and the log density."""
    centre, spread = current.median(0).values, current.std(0).clamp(min=1e-12)
    middle, width = log_current.median(), log_current.std().clamp(min=1e-12)

    def bounded(u: Tensor, log_density: Tensor) -> list[Tensor]:
        z = (u - centre) / spread
        height = torch.tanh((log_density - middle) / width)  # minus infinity becomes -1
        return [torch.tanh(z), z.square() / (1 + z.square()), torch.tanh(z * z.roll(-1, 1)), height[:, None]]

    labels = [f"{what}({i})" for what in ("u", "u²", "u u′") for i in range(current.shape[1])] + ["log density"]
    change = torch.cat(bounded(proposed, log_proposed), 1) - torch.cat(bounded(current, log_current), 1)
    return list(zip(labels, change.T, strict=True))
