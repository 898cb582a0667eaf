r"""Gillespie's direct method for a batch of Markov jump processes.

In state :math:`s`, reaction :math:`r` happens at rate :math:`a_r(s)` and changes the state by :math:`\Delta_r`:

.. math:: \tau \sim \mathrm{Exp}\Bigl(\sum_r a_r(s)\Bigr), \qquad \Pr(r) = \frac{a_r(s)}{\sum_k a_k(s)}, \qquad
    s \leftarrow s + \Delta_r

States are recorded on a regular grid of times. An event at time t writes its state into the first grid point not
before t, where a later event may overwrite it; a grid point without an event takes the value of the previous grid
point. Hence one write per event suffices, and the loop runs over events, not over processes.

References:
    Gillespie 1977, *Exact stochastic simulation of coupled chemical reactions*, doi:10.1021/j100540a008.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

Rates = Callable[[Tensor, Tensor], Tensor]
"""From theta (n, D) and state (n, S) to the rates of the R reactions, (n, R)."""


def trajectories(
    theta: Tensor, start: Tensor, rates: Rates, changes: Tensor, interval: float, count: int, cap: int | None = None
) -> Tensor:
    """Simulate one process per row of theta with random numbers of torch's global generator.

    Arguments:
        theta: parameters, shape (n, D), float64.
        start: the state at time 0, shape (S,); components must never become negative.
        rates: of the reactions; the rate of an impossible reaction must be 0.
        changes: change of the state by each reaction, shape (R, S).
        interval: time between records.
        count: number of records after time 0.
        cap: largest number of events of a process, which then keeps its state; None for no limit.

    Returns:
        The states at times 0, interval, …, count * interval: shape (n, count + 1, S), float64.
    """
    n = len(theta)
    record = theta.new_full((n, count + 1, len(start)), -1.0)
    record[:, 0] = start
    row, time, state = torch.arange(n, device=theta.device), theta.new_zeros(n), start.expand(n, -1)
    for _ in itertools.count() if cap is None else range(cap):
        cumulative = rates(theta, state).cumsum(1)  # (m, R) for the m processes that continue
        total = cumulative[:, -1]
        time = time + torch.empty_like(time).exponential_() / total  # infinite if no reaction is possible
        chosen = (cumulative <= torch.rand_like(total)[:, None] * total[:, None]).sum(1)
        slot = (time / interval).ceil()
        going = slot <= count
        if not bool(going.all()):
            row, time, state, theta = row[going], time[going], state[going], theta[going]
            chosen, slot = chosen[going], slot[going]
        if len(row) == 0:
            break
        state = state + changes[chosen]
        record[row, slot.long()] = state
    return _filled(record)


def _filled(record: Tensor) -> Tensor:
    """Return the record with the previous state at grid points without an event, which are marked by -1."""
    written = record[:, :, 0] >= 0
    position = torch.arange(record.shape[1], device=record.device).expand_as(written)
    latest = torch.where(written, position, 0).cummax(1).values
    return record.gather(1, latest[:, :, None].expand_as(record))
