r"""Stacked networks: modules of one structure as a single module, whose parameters have an axis of members in front.

.. math:: W = (W_1, \dots, W_M), \qquad b = (b_1, \dots, b_M)

A matrix (O, I) becomes (M, O, I), and a vector (N,) becomes (M, 1, N), so that it broadcasts with rows (M, B, N).
The stacked module has the classes and the code of its members; :class:`ampbench.networks.members.Members` gives the
products and the random numbers in this code their meaning for several members.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def stack_modules(modules: Sequence[Module]) -> Module:
    """Return the stack of modules of one structure; its parameters are copies.

    Buffers that are equal in all modules keep their shape; other buffers are stacked like parameters.

    Raises:
        ValueError: the modules differ in their submodules or in the shapes of their tensors.

    Example:
        >>> stack_modules([nn.Linear(3, 2), nn.Linear(3, 2)]).weight.shape
        torch.Size([2, 2, 3])
    """
    return _stacked(modules, {})


def _stacked(modules: Sequence[Module], made: dict[int, object]) -> Module:
    """Return the stack; ``made`` holds, by identity of the first member's, what several places share."""
    first = modules[0]
    if id(first) in made:
        return made[id(first)]  # type: ignore[return-value]
    stack = first.__class__.__new__(first.__class__)
    stack.__dict__ = first.__dict__.copy()
    made[id(first)] = stack
    stack._parameters = {name: _parameter([m._parameters[name] for m in modules], made) for name in first._parameters}
    stack._buffers = {name: _buffer([m._buffers[name] for m in modules]) for name in first._buffers}
    stack._modules = {}
    for name, child in first._modules.items():
        children = [each._modules[name] for each in modules]
        stack._modules[name] = (
            None if child is None else _stacked([each for each in children if each is not None], made)
        )
    return stack


def _parameter(members: Sequence[nn.Parameter | None], made: dict[int, object]) -> nn.Parameter | None:
    first = members[0]
    if first is None:
        return None
    if id(first) not in made:
        joined = _joined([each.detach() for each in members if each is not None])
        made[id(first)] = nn.Parameter(joined, requires_grad=first.requires_grad)
    return made[id(first)]  # type: ignore[return-value]


def _buffer(members: Sequence[Tensor | None]) -> Tensor | None:
    first = members[0]
    if first is None or all(each is not None and torch.equal(first, each) for each in members):
        return first
    return _joined([each for each in members if each is not None])


def _joined(members: Sequence[Tensor]) -> Tensor:
    if len({each.shape for each in members}) > 1:
        raise ValueError(f"tensors of the shapes {', '.join(str(tuple(each.shape)) for each in members)} do not stack")
    return torch.stack([each.reshape((1,) * max(0, 2 - each.ndim) + each.shape) for each in members])


@torch.no_grad()
def load_member(stack: nn.Module, member: int, into: nn.Module) -> None:
    """Copy the parameters and buffers of one member, by its place, into a module of the members' structure."""
    tensors = dict(stack.named_parameters()) | dict(stack.named_buffers())
    for name, kept in [*into.named_parameters(), *into.named_buffers()]:
        kept.copy_(tensors[name] if tensors[name].shape == kept.shape else tensors[name][member].reshape(kept.shape))


@torch.no_grad()
def copy_member(source: nn.Module, member: int, into: nn.Module) -> None:
    """Copy the parameters of one member, by its place, from one stack into another one."""
    for kept, new in zip(into.parameters(), source.parameters(), strict=True):
        kept[member].copy_(new[member])
