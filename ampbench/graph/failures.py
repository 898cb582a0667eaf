r"""Failed simulations: rows with NaN or infinite values, and what a simulator does with them.

Let s say whether a simulation succeeded, and let x̃ be x, with a code in the place of values that failed. At an
observation that did not fail,

.. math:: p(\theta \mid x) = p(\theta \mid x, s = 1) = p(\theta \mid \tilde x = x), \qquad
          p(x \mid \theta, s = 1) = \frac{p(x \mid \theta)}{P(s = 1 \mid \theta)}.

By the first equation, failed simulations may be dropped, or coded, where the posterior is learned from pairs
:math:`(\theta, x)`. By the second one, dropping them biases a likelihood that is multiplied by the prior
(Glöckler et al. 2022, who learn the denominator by a classifier); :attr:`ampbench.interfaces.Method.drop_bias` says
where. The likelihood :math:`p(\tilde x \mid \theta)` of coded data is right as it is.

The codes of a component are uniform on an interval of width r / 2, whose centre lies r below the smallest valid value,
where r is the range of the valid values; or above the largest one, where the support leaves no room below. A single
number would be an atom, on which the density of a flow grows without bound. Codes far away would crowd the valid values
of standardised data, and ones nearby could be taken for valid. The interval depends on the simulations that are drawn
first, and stays.

References:
    Glöckler, Deistler, Macke 2022, *Variational methods for simulation-based inference*, arXiv:2203.04176.
    Lueckmann et al. 2017, *Flexible statistical inference for mechanistic models of neural dynamics*, arXiv:1711.01861.
"""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.distributions import constraints

from ampbench.errors import SimulationError, SimulationWarning, UsageError, unknown
from ampbench.graph.gaps import unusable
from ampbench.graph.outputs import Layout

Failed = Literal["error", "drop", "code"]
"""The treatment of failed simulations: an error, they are left out, or their values are replaced by codes."""

CODE_WIDTH = 0.5
"""Width of the interval of codes, in units of the range of valid values."""


@dataclass
class Report:
    """The permission to fail, for simulators of a graph that is drawn, and the layouts of their outputs.

    Attributes:
        tolerant: whether rows with NaN or infinite values of simulators are kept.
        layouts: by variable, the layout of the outputs.
    """

    tolerant: bool = False
    layouts: dict[str, Layout] = field(default_factory=dict)


def check_failed(failed: str) -> Failed:
    """Return the argument ``failed``; raises :class:`UsageError` for an unknown one."""
    if failed not in get_args(Failed):
        raise unknown("treatment of failed simulations, failed=", str(failed), get_args(Failed))
    return failed  # type: ignore[return-value]


def finite_rows(values: Tensor) -> Tensor:
    """Return which rows of values (n, …) have neither NaN nor infinite values, booleans (n,)."""
    return torch.isfinite(values.detach()).flatten(1).all(1)


def succeeded(values: Mapping[str, Tensor], gaps: Container[str] = ()) -> Tensor:
    """Return which rows of variables (n, D_i) succeeded, booleans (n,); see :func:`ampbench.graph.gaps.unusable`.

    Arguments:
        values: by variable.
        gaps: names of the variables in which NaN is a missing entry.
    """
    return ~torch.stack([unusable(value.detach().flatten(1), name in gaps) for name, value in values.items()]).any(0)


def describe_failed(values: Mapping[str, Tensor], gaps: Container[str] = ()) -> str:
    """Return a message that counts the rows that failed, some of them at least, and names the variables."""
    bad, n = int((~succeeded(values, gaps)).sum()), len(next(iter(values.values())))
    names = ", ".join(repr(name) for name in values if not bool(succeeded({name: values[name]}, gaps).all()))
    return f"{bad} of {n} simulations ({bad / n:.1%}) failed, with NaN or infinite values of {names}"


def choose_codes(name: str, values: Tensor, support: constraints.Constraint) -> Tensor:
    """Return the codes of a variable: the ends of one interval for each component, shape (2, L), the lower ones first.

    Arguments:
        name: of the variable, for messages.
        values: simulations (n, L), of which some failed.
        support: where the variable lives.

    Raises:
        SimulationError: a component has no valid value.
        UsageError: the support leaves no room for a code.

    Example:
        >>> choose_codes("x", torch.tensor([[1.0, 0.0], [3.0, torch.nan], [2.0, 4.0]]), constraints.real)
        tensor([[-1.5000, -5.0000],
                [-0.5000, -3.0000]])
    """
    valid = torch.isfinite(values)
    if never := (~valid.any(0)).nonzero().flatten().tolist():
        raise SimulationError(
            f"component {never[0]} of {name!r} is NaN or infinite in all of {len(values)} simulations; repair the "
            "simulator, or leave the component out"
        )
    low = values.masked_fill(~valid, torch.inf).amin(0)
    high = values.masked_fill(~valid, -torch.inf).amax(0)
    distance = torch.where(high > low, high - low, torch.maximum(low.abs(), torch.ones_like(low)))
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    near, far = (1 - CODE_WIDTH / 2) * distance, (1 + CODE_WIDTH / 2) * distance
    below, above = torch.stack([low - far, low - near]), torch.stack([high + near, high + far])
    below, above = (below.round(), above.round()) if support.is_discrete else (below, above)
    codes = torch.where(support.check(below).all(0), below, above)
    if not bool(support.check(codes).all()):
        raise UsageError(
            f"the support {support} of {name!r} leaves no room for a code of failed simulations; take failed='drop', "
            "or a wider support, such as constraints.real"
        )
    return codes


def coded(values: Tensor, codes: Tensor, whole: bool = False) -> Tensor:
    """Return values (n, L) with draws from the intervals of codes (2, L) in the place of NaN and infinite ones.

    Arguments:
        values: simulations.
        codes: see :func:`choose_codes`.
        whole: whether codes are whole numbers.
    """
    low, high = codes.to(values)
    drawn = low + (high - low) * torch.rand_like(values)
    return torch.where(torch.isfinite(values), values, drawn.round() if whole else drawn)


def warn_if_reached(names: Iterable[str], values: Tensor, codes: Tensor) -> None:
    """Warn if valid values (n, L) reach the codes (2, L), so that they are no longer told apart from failures.

    Warns:
        SimulationWarning: the message names the component.
    """
    valid = torch.isfinite(values)
    low, high = codes.to(values)
    reached = ((values <= high) & valid).any(0) & ((values >= low) & valid).any(0)
    if components := reached.nonzero().flatten().tolist():
        i = components[0]
        warnings.warn(
            f"valid values of component {i} of {', '.join(names)} (of {len(components)} components) reach the codes "
            f"{float(low[i]):.4g} to {float(high[i]):.4g} of failed simulations, which fewer simulations chose; raise "
            "the budget, or let the simulator return a code of its own",
            SimulationWarning,
            stacklevel=2,
        )
