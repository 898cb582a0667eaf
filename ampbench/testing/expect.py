"""Expectations of the conformance tests, and the error that says in words which of them a component does not meet.

pytest and ``ampbench plugin check`` report this error alike: what was seen, what was expected, which function of the
component gave it, and the next step. Plain ``assert`` statements would say nothing outside pytest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class NonconformanceError(AssertionError):
    """A component lacks a property.

    Attributes:
        seen: what the component did.
        expected: what it should do.
        at: its function, or its class, that did it; None if there is no single one.
        advice: the next step.
    """

    def __init__(self, seen: str, expected: str, at: object = None, advice: str = "") -> None:
        super().__init__(f"{seen}; expected: {expected}" + (f"; {advice}" if advice else ""))
        self.seen, self.expected, self.at, self.advice = seen, expected, at, advice


def expect(met: object, seen: str, expected: str, at: object = None, advice: str = "") -> None:
    """Raise :class:`NonconformanceError` unless a condition is met; see there for the arguments."""
    if not met:
        raise NonconformanceError(seen, expected, at, advice)


def expect_tensor(value: object, what: str, shape: Sequence[int], at: object = None, advice: str = "") -> Tensor:
    """Return a value that is a tensor of this shape with finite entries; raises :class:`NonconformanceError`."""
    wanted = f"a tensor of shape {tuple(shape)}"
    advice = advice or "look at what it returns, and at its axes"
    expect(isinstance(value, Tensor), f"{what} is of type {type(value).__name__}", wanted, at, advice)
    assert isinstance(value, Tensor)
    expect(value.shape == tuple(shape), f"{what} has shape {tuple(value.shape)}", wanted, at, advice)
    bad = int((~torch.isfinite(value)).sum())
    expect(
        not bad,
        f"{bad} of {value.numel()} values of {what} are NaN or infinite",
        "finite values",
        at,
        "look for a division by 0, the logarithm of 0 or less, or an exponential that overflows",
    )
    return value


def expect_equal(first: Tensor, again: Tensor, what: str, at: object = None, advice: str = "") -> None:
    """Expect two tensors with the same bits."""
    if first.shape != again.shape:
        raise NonconformanceError(
            f"{what} has shape {tuple(first.shape)}, and then {tuple(again.shape)}", "equal tensors", at, advice
        )
    first, again = first.detach(), again.detach()
    different = (first != again) & ~(first.isnan() & again.isnan())
    expect(
        not bool(different.any()),
        f"{what} differs in {int(different.sum())} of {different.numel()} values, such as "
        + "".join(
            f"{float(a)} and {float(b)}" for a, b in zip(first[different][:1], again[different][:1], strict=True)
        ),
        "equal numbers to the last bit",
        at,
        advice,
    )


SEED_ADVICE = (
    "draw all random numbers from the global generators of torch, numpy or Python, which ampbench seeds, and keep "
    "nothing from call to call"
)
"""The next step for numbers that do not follow from the seed."""


@contextmanager
def left_alone(values: Mapping[str, Tensor], at: object) -> Iterator[None]:
    """Expect that a block does not change tensors, which are named for the message."""
    before = {name: value.detach().clone() for name, value in values.items()}
    yield
    changed = [name for name, value in values.items() if not _same(value.detach(), before[name])]
    expect(
        not changed,
        f"it changed its input {' and '.join(changed)}",
        "inputs as they were: others use them too",
        at,
        "compute a new tensor instead of writing into the old one (no x += …, x[…] = … or methods that end in _)",
    )


def _same(value: Tensor, before: Tensor) -> bool:
    return value.shape == before.shape and torch.equal(value.nan_to_num(), before.nan_to_num())


def gradients(loss: Tensor, values: Iterable[tuple[str, Tensor]], what: str, at: object) -> list[Tensor]:
    """Return the gradients of a loss in named tensors, all of which it must have, and finite.

    Raises:
        NonconformanceError: the loss does not depend on one of them, or a gradient is not finite.
    """
    named = list(values)
    names = ", ".join(name for name, _ in named)
    expect(
        isinstance(loss, Tensor) and loss.requires_grad,
        f"{what} has no gradient in {names}",
        "a differentiable function of it",
        at,
        "look for detach(), item(), torch.no_grad(), or a result that does not use its input",
    )
    found = torch.autograd.grad(loss, [value for _, value in named], allow_unused=True)
    for (name, _), gradient in zip(named, found, strict=True):
        expect(
            gradient is not None,
            f"{what} does not depend on {name}",
            "a gradient in each of them",
            at,
            f"use {name}, or remove it if it is not needed",
        )
        assert gradient is not None
        expect(
            bool(torch.isfinite(gradient).all()),
            f"the gradient of {what} in {name} is NaN or infinite",
            "finite gradients",
            at,
            "look for a square root or a norm at 0, and for torch.where with NaN in the branch that is not taken",
        )
    return [gradient for gradient in found if gradient is not None]


def refused(act: Callable[[], object], errors: type[Exception]) -> bool:
    """Return whether an act raises one of these errors."""
    try:
        act()
    except errors:
        return True
    return False
