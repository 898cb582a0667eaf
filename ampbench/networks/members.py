r"""Evaluation of stacked networks: the products and the random numbers of several members in one call.

Tensors of M members have an axis of members in front of the axis of their B rows: (\*, M, B, D). Code that is written
for rows (\*, B, D) needs no change for most operations. Within a block ``with Members(…)``, the others get their
meaning for several members:

* the product :math:`x W^\top + b` with stacked weights is one batched product, a convolution one for each member;
* a random number, such as a family's noise or dropout, is drawn from the member's own stream. A member so has the
  numbers that it would have alone, after ``seeded(seed)``;
* the mean over a tensor with an axis of members is the mean of each member, shape (M,).

A tensor whose first axis has the members' rows flattened, (\* M B, D), is understood too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ampbench.seeding import seeded

Operation = Callable[..., Any]
Arguments = tuple[Any, ...]
Named = Mapping[str, Any]


class Members(TorchFunctionMode):
    """The members of a stack, with a stream of random numbers for each.

    Arguments:
        seeds: one for each member.
        rows: B, number of rows of each member in tensors with an axis of members.
        device: of the networks.
    """

    def __init__(self, seeds: Sequence[int], rows: int, device: torch.device) -> None:
        super().__init__()
        self.count = len(seeds)
        self.rows = rows
        self._generators = _generators(device)
        self._states = []
        self._single = False
        for seed in seeds:
            with seeded(seed):
                self._states.append(self._now())

    def __torch_function__(self, func: Operation, types: Any, args: Arguments = (), kwargs: Named | None = None) -> Any:
        """Evaluate an operation."""
        kwargs = kwargs or {}
        meaning = None if self._single else _MEANINGS.get(func)
        return func(*args, **kwargs) if meaning is None else meaning(self, func, args, kwargs)

    @contextmanager
    def alone(self, member: int) -> Iterator[None]:
        """Within the block, operations have their usual meaning, and random numbers are of one member's stream."""
        kept, before = self._now(), self._single
        self._single = True
        self._set(self._states[member])
        try:
            yield
        finally:
            self._states[member] = self._now()
            self._set(kept)
            self._single = before

    def stream(self, member: int) -> list[Tensor]:
        """Return the state of a member's stream."""
        return self._states[member]

    def rewind(self, member: int, state: list[Tensor]) -> None:
        """Set a member's stream to a state that it had."""
        self._states[member] = state

    def _now(self) -> list[Tensor]:
        return [each.get_state() for each in self._generators]

    def _set(self, states: Sequence[Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)

    def axis(self, shape: Sequence[int]) -> int | None:
        """Return the axis of members of a shape, which is in front of that of rows; None if there is none."""
        return next((axis for axis, pair in enumerate(pairwise(shape)) if pair == (self.count, self.rows)), None)

    def flattened(self, shape: Sequence[int]) -> bool:
        """Return whether the first axis has the rows of all members."""
        return bool(shape) and shape[0] > 0 and shape[0] % (self.count * self.rows) == 0

    def split(self, value: Tensor) -> list[Tensor]:
        """Return the part of each member of (*, M, B, D) or (* M B, D)."""
        axis = self.axis(value.shape)
        if axis is not None:
            return [each.contiguous() for each in value.unbind(axis)]
        parts = value.unflatten(0, (-1, self.count, self.rows)).unbind(1)
        return [each.flatten(0, 1) for each in parts]

    def joined(self, parts: Sequence[Tensor], axis: int | None) -> Tensor:
        """Undo :meth:`split`; ``axis`` is None where the rows are flattened."""
        if axis is not None:
            return torch.stack(list(parts), axis)
        return torch.stack([each.unflatten(0, (-1, self.rows)) for each in parts], 1).flatten(0, 2)

    def drawn(self, draw: Callable[[int], Tensor]) -> list[Tensor]:
        """Return what ``draw``, called with the place of a member, draws from the stream of each."""
        kept, parts = self._now(), []
        for member, state in enumerate(self._states):
            self._set(state)
            parts.append(draw(member))
            self._states[member] = self._now()
        self._set(kept)
        return parts


def _generators(device: torch.device) -> list[torch.Generator]:
    """Return the generators of random numbers on the CPU and on a device."""
    found = [torch.default_generator]
    if device.type == "cuda":
        torch.cuda.init()
        found.append(torch.cuda.default_generators[device.index or torch.cuda.current_device()])
    return found


def _product(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return x Wᵀ + b."""
    value, weight, bias = _arguments(("input", "weight", "bias"), args, kwargs)
    if weight.ndim == 2:
        return func(value, weight, bias)
    axis = members.axis(value.shape[:-1])
    if axis is None and members.flattened(value.shape[:-1]):
        rows = value.unflatten(0, (-1, members.count, members.rows))
        return _product(members, func, (rows, weight, bias), {}).flatten(0, 2)
    if axis is None:  # the same for all members
        value, axis = value.expand(members.count, *value.shape), 0
    ahead = value.movedim(axis, 0)
    rows = ahead.reshape(members.count, -1, value.shape[-1])
    found = torch.bmm(rows, weight.mT) if bias is None else torch.baddbmm(bias, rows, weight.mT)
    return found.reshape(*ahead.shape[:-1], weight.shape[1]).movedim(0, axis)


def _convolution(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return the convolutions of all members."""
    value, weight, bias, *others = args
    if weight.ndim == value.ndim:
        return func(*args, **kwargs)
    parts = [
        func(part, weight[member], None if bias is None else bias[member, 0], *others, **kwargs)
        for member, part in enumerate(members.split(value))
    ]
    return members.joined(parts, members.axis(value.shape))


def _mean(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return the mean of each member, unless the axes of the mean are given."""
    (value, *axes) = args
    axis = members.axis(value.shape)
    if axes or kwargs or axis is None:
        return func(*args, **kwargs)
    return value.movedim(axis, 0).flatten(1).mean(1)


def _dropout(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return dropout of each member; rows without an axis of members are those of all."""
    (value, *others) = args
    if members.axis(value.shape) is None and not members.flattened(value.shape):
        value = value.expand(members.count, *value.shape)
    return _random(members, func, (value, *others), kwargs)


def _random(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return random numbers of the shape of the arguments that are tensors."""
    shape = next((each.shape for each in args if isinstance(each, Tensor) and _has(members, each)), None)
    if shape is None:
        return func(*args, **kwargs)
    given = [members.split(each) if isinstance(each, Tensor) and _has(members, each) else None for each in args]
    parts = members.drawn(
        lambda m: func(*(a if g is None else g[m] for a, g in zip(args, given, strict=True)), **kwargs)
    )
    found = members.joined(parts, members.axis(shape))
    return args[0].copy_(found) if func.__name__.endswith("_") else found


def _created(members: Members, func: Operation, args: Arguments, kwargs: Named) -> Tensor:
    """Return random numbers of a size among the arguments."""
    if args and all(isinstance(each, int) for each in args) and "size" not in kwargs:
        args = (args,)
    place = next((i for i, each in enumerate(args) if isinstance(each, tuple | list)), None)
    size = tuple(kwargs["size"] if place is None else args[place])
    axis = members.axis(size)
    if axis is None and not members.flattened(size):
        return func(*args, **kwargs)
    one = (*size[:axis], *size[axis + 1 :]) if axis is not None else (size[0] // members.count, *size[1:])
    if place is None:
        parts = members.drawn(lambda _: func(*args, **{**kwargs, "size": one}))
    else:
        parts = members.drawn(lambda _: func(*args[:place], one, *args[place + 1 :], **kwargs))
    return members.joined(parts, axis)


def _has(members: Members, value: Tensor) -> bool:
    return members.axis(value.shape) is not None or members.flattened(value.shape)


def _arguments(names: Sequence[str], args: Arguments, kwargs: Named) -> list[Any]:
    """Return arguments in the order of their names; a missing one is None."""
    return [args[i] if i < len(args) else kwargs.get(name) for i, name in enumerate(names)]


_MEANINGS: Mapping[Operation, Callable[[Members, Operation, Arguments, Named], Tensor]] = {
    functional.linear: _product,
    **dict.fromkeys([torch.conv1d, torch.conv2d], _convolution),
    **dict.fromkeys([torch.mean, Tensor.mean], _mean),
    **dict.fromkeys([functional.dropout, torch.dropout], _dropout),
    **dict.fromkeys([torch.rand, torch.randn, torch.randint], _created),
    **dict.fromkeys([torch.rand_like, torch.randn_like, torch.randint_like, torch.normal], _random),
    **dict.fromkeys([torch.bernoulli, torch.multinomial, Tensor.bernoulli, Tensor.multinomial], _random),
    **dict.fromkeys([Tensor.normal_, Tensor.uniform_, Tensor.exponential_, Tensor.bernoulli_], _random),
}
"""By operation, its meaning for several members."""
