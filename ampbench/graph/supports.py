r"""Supports of distributions: where their draws are, with the bijections from the real line that coordinates need.

torch names a support that is too large, or one without a bijection, for some of its distributions:

- Of a transformed distribution it names the codomain of the last transform. The image of a bounded law is smaller:
  T(Uniform(0, 1)) with T(u) = 2 + 3u lies in (2, 5). For increasing T the bounds are T(a) and T(b), for decreasing T
  they change places, and an infinite bound has the bound of the codomain as its image.
- Draws of VonMises lie in [−π, π), and its density is periodic, which has no integral over the real line.
- GeneralizedPareto has an interval with an infinite end.
- A mixture of equal families has no bijection, and its check wants draws to be in the supports of *all* components.

:func:`support_of` corrects these. :class:`Blocks` joins supports of vectors, such as a simplex beside a real line;
:class:`Restricted` is a part of a support, where a density is positive.

References:
    Stan Development Team 2024, *Stan reference manual*, constraint transforms, https://mc-stan.org/docs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    GeneralizedPareto,
    Independent,
    MixtureSameFamily,
    TransformedDistribution,
    VonMises,
    biject_to,
    constraints,
    transforms,
)
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

LOWER, UPPER = "lower_bound", "upper_bound"


class Integers(Constraint):
    """All whole numbers."""

    is_discrete = True
    event_dim = 0

    def check(self, value: Tensor) -> Tensor:
        """Return which values are whole, of the shape of the values."""
        return value % 1 == 0

    def __repr__(self) -> str:
        return "Integers()"


integers = Integers()


class Blocks(Constraint):
    """Vectors (*, D) whose blocks have supports of their own, at least one of which is a support of vectors.

    Arguments:
        parts: the supports of the blocks, with event dimension 1.
        sizes: the numbers of components of the blocks.
    """

    event_dim = 1

    def __init__(self, parts: Sequence[Constraint], sizes: Sequence[int]) -> None:
        self.cseq = list(parts)  # the name in torch's constraints.cat
        self.sizes = list(sizes)
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether some block is discrete."""
        return any(part.is_discrete for part in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        """Return which values (*, D) are inside, shape (*,)."""
        cut = value.split(self.sizes, -1)
        return torch.stack([part.check(each) for part, each in zip(self.cseq, cut, strict=True)]).all(0)

    def __repr__(self) -> str:
        return f"Blocks({self.cseq}, {self.sizes})"


class HasLogProb(Protocol):
    """A log density."""

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density, shape (n,), at values (n, D)."""


class Restricted(Constraint):
    """The part of a support in which a density is positive.

    Its bijection is that of the whole support, so that draws in its coordinates may lie outside: reject these.

    Arguments:
        whole: the support, with event dimension 1.
        law: a distribution over vectors, whose density it is; anything with its ``log_prob``.
    """

    event_dim = 1

    def __init__(self, whole: Constraint, law: HasLogProb) -> None:
        self.whole = whole
        self.law = law
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether the whole support is discrete."""
        return bool(self.whole.is_discrete)

    def check(self, value: Tensor) -> Tensor:
        """Return which values (*, D) are inside, shape (*,)."""
        rows = value.reshape(-1, value.shape[-1])
        inside: Tensor = self.whole.check(rows)
        positive = _is_positive(self.law, rows[inside].cpu()).to(rows.device)
        return inside.masked_scatter(inside, positive).reshape(value.shape[:-1])

    def __repr__(self) -> str:
        return f"Restricted({self.whole!r})"


def _is_positive(law: HasLogProb, rows: Tensor) -> Tensor:
    """Return where a density is positive, shape (n,), at values (n, D); a law may raise errors where it is not."""
    if not len(rows):
        return torch.zeros(0, dtype=torch.bool)
    try:
        with torch.no_grad():
            return law.log_prob(rows) > -torch.inf
    except ValueError:  # torch's distributions raise it for values outside their supports
        if len(rows) == 1:
            return torch.zeros(1, dtype=torch.bool)
        return torch.cat([_is_positive(law, half) for half in rows.split(-(-len(rows) // 2))])


class BlocksTransform(Transform):
    """The bijections of :class:`Blocks`, side by side; a block of a simplex has one coordinate less than components."""

    bijective = True

    def __init__(self, blocks: Blocks) -> None:
        super().__init__()
        self.parts = [biject_to(part) for part in blocks.cseq]
        self.sizes = blocks.sizes
        self.free = [
            part.inverse_shape(torch.Size([size]))[-1] for part, size in zip(self.parts, self.sizes, strict=True)
        ]
        self.domain = constraints.real_vector
        self.codomain = blocks

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([part(each) for part, each in zip(self.parts, x.split(self.free, -1), strict=True)], -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([part.inv(each) for part, each in zip(self.parts, y.split(self.sizes, -1), strict=True)], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |det dy/dx|, shape (*,), at coordinates x (*, D′) and values y (*, D)."""
        cut = zip(self.parts, x.split(self.free, -1), y.split(self.sizes, -1), strict=True)
        return torch.stack([part.log_abs_det_jacobian(a, b) for part, a, b in cut]).sum(0)

    def forward_shape(self, shape: Any) -> torch.Size:
        """Return the shape (*, D) of values for coordinates (*, D′)."""
        return torch.Size([*shape[:-1], sum(self.sizes)])

    def inverse_shape(self, shape: Any) -> torch.Size:
        """Return the shape (*, D′) of coordinates for values (*, D)."""
        return torch.Size([*shape[:-1], sum(self.free)])


biject_to.register(Blocks, BlocksTransform)
biject_to.register(Restricted, lambda part: biject_to(part.whole))


def reaches_outside(support: Constraint) -> bool:
    """Return whether the bijection of a support also reaches values outside, which must be rejected.

    Example:
        >>> reaches_outside(constraints.simplex)
        False
    """
    support = elementwise(support)
    return isinstance(support, Restricted) or any(map(reaches_outside, getattr(support, "cseq", ())))


def elementwise(support: Constraint) -> Constraint:
    """Return the constraint of single components, if there is one, since constraints of one kind can be joined."""
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    return support


def joined(parts: Sequence[Constraint], sizes: Sequence[int]) -> Constraint:
    """Return the support of vectors that join blocks; an ``independent`` one, as sbi needs to see whole events.

    Arguments:
        parts: the supports of the blocks; of single components if there are such.
        sizes: the numbers of components of the blocks.

    Example:
        >>> joined([constraints.real, constraints.simplex], [1, 2]).check(torch.tensor([7.0, 0.25, 0.75]))
        tensor(True)
    """
    if len(parts) == 1:
        return constraints.independent(parts[0], 1 - parts[0].event_dim)
    if not any(part.event_dim for part in parts):
        return constraints.independent(constraints.cat(parts, -1, sizes), 1)
    return constraints.independent(Blocks([constraints.independent(p, 1 - p.event_dim) for p in parts], sizes), 0)


def between(low: Sequence[float], high: Sequence[float], is_discrete: bool = False) -> Constraint:
    """Return the support of single components between closed bounds, which may be infinite.

    The bounds are numbers, which torch compares with values in the precision of the values.

    Example:
        >>> between([0.0, 2.0], [math.inf, 3.0]).check(torch.tensor([[7.0, 2.5], [-1.0, 2.5]]))
        tensor([[ True,  True],
                [False,  True]])
    """
    one = _whole_between if is_discrete else _between
    runs = [(pair, len(list(same))) for pair, same in groupby(zip(low, high, strict=True))]
    parts = [one(*pair) for pair, _ in runs]
    return parts[0] if len(parts) == 1 else constraints.cat(parts, -1, [size for _, size in runs])


def _between(low: float, high: float) -> Constraint:
    if (low, high) == (0, 1):
        return constraints.unit_interval
    if low == -math.inf:
        return constraints.real if high == math.inf else constraints.less_than(high)
    if high == math.inf:
        return constraints.greater_than_eq(low) if low else constraints.nonnegative
    return constraints.interval(low, high)


def _whole_between(low: float, high: float) -> Constraint:
    if (low, high) == (0, 1):
        return constraints.boolean
    if low == -math.inf:
        return integers
    if high == math.inf:
        return type(constraints.nonnegative_integer)(int(low)) if low else constraints.nonnegative_integer
    return constraints.integer_interval(int(low), int(high))


def bounds(support: Constraint) -> tuple[Any, Any]:
    """Return the bounds of the components of a support, numbers or tensors; infinite where there is none."""
    support = elementwise(support)
    return getattr(support, LOWER, -math.inf), getattr(support, UPPER, math.inf)


def with_bounds(support: Constraint, change: Callable[[str, Any], Any]) -> Constraint:
    """Return the support of single components whose bounds are functions of these: of their names and values."""
    support = elementwise(support)
    names = [name for name in (LOWER, UPPER) if hasattr(support, name)]
    if not names:
        return support
    return type(support)(*(change(name, getattr(support, name)) for name in names))


def support_of(law: Distribution) -> Constraint:
    """Return the support of a distribution: its own, with torch's faults corrected.

    Raises:
        NotImplementedError: it has no support, or one that cannot be found; the message says why.
    """
    known = corrected(law)
    found = known or law.support
    if not isinstance(found, Constraint) or constraints.is_dependent(found):
        raise NotImplementedError(f"{type(law).__name__} names no support")
    return found


def corrected(law: Distribution) -> Constraint | None:
    """Return the support of a distribution if torch names another one, else None; see :func:`support_of`."""
    if isinstance(law, Independent):
        inner = corrected(law.base_dist)
        return inner and constraints.independent(inner, law.reinterpreted_batch_ndims)
    if isinstance(law, VonMises):
        return constraints.interval(-math.pi, math.pi)
    if isinstance(law, GeneralizedPareto):
        low, high = bounds(law.support)
        return None if bool(high.isfinite().all()) else _between_tensors(low, high)
    if isinstance(law, MixtureSameFamily):
        return _of_mixture(law)
    if isinstance(law, TransformedDistribution) and type(law).support is TransformedDistribution.support:
        return _of_image(law)
    return None


def _between_tensors(low: Tensor, high: Tensor) -> Constraint:
    """Return the support of single components between bounds that are tensors of the shape of the batch."""
    low, high = torch.broadcast_tensors(low, high)
    pairs = list(zip(low.flatten().tolist(), high.flatten().tolist(), strict=True))
    if len(set(pairs)) == 1:
        return _between(*pairs[0])
    if bool(low.isfinite().all()) and bool(high.isfinite().all()):
        return constraints.interval(low, high)
    if bool(low.isfinite().all()) and not bool(high.isfinite().any()):
        return constraints.greater_than_eq(low)
    if bool(high.isfinite().all()) and not bool(low.isfinite().any()):
        return constraints.less_than(high)
    if low.ndim > 1:
        raise NotImplementedError("some components of a matrix have a bound and others have none")
    return between(low.tolist(), high.tolist())


def _of_mixture(law: MixtureSameFamily) -> Constraint:
    """Return the support of a mixture: that of its components, or the hull of theirs."""
    component = law.component_distribution
    support = support_of(component)
    _refuse_joined(support)
    shape, axis = component.batch_shape + component.event_shape, len(component.batch_shape) - 1

    def hull(name: str, bound: Any) -> Any:
        if not isinstance(bound, Tensor):
            return bound
        every = bound.expand(shape)
        return every.amin(axis) if name == LOWER else every.amax(axis)

    one = with_bounds(support, hull)
    return constraints.independent(one, len(law.event_shape)) if law.event_shape and not one.event_dim else one


def mixture_in(law: Distribution) -> MixtureSameFamily | None:
    """Return the mixture that a distribution is, or that its independent components are; None if it is none."""
    while isinstance(law, Independent):
        law = law.base_dist
    return law if isinstance(law, MixtureSameFamily) else None


def components_differ(law: MixtureSameFamily) -> bool:
    """Return whether the components of a mixture have different supports."""
    component = law.component_distribution
    shape, axis = component.batch_shape + component.event_shape, len(component.batch_shape) - 1
    tensors = [each.expand(shape) for each in bounds(support_of(component)) if isinstance(each, Tensor)]
    return any(bool((each != each.select(axis, 0).unsqueeze(axis)).any()) for each in tensors)


def _of_image(law: TransformedDistribution) -> Constraint | None:
    """Return the image of the support of the base; None if it is the codomain of the last transform."""
    base, steps = elementwise(support_of(law.base_dist)), list(steps_of(law.transforms))
    mixture = mixture_in(law.base_dist)
    if mixture is not None and components_differ(mixture):
        raise NotImplementedError("the image of a mixture whose components have different supports is not known")
    if base.is_discrete:
        raise NotImplementedError(
            f"{type(law).__name__} of the discrete {type(law.base_dist).__name__} has values that no support describes"
        )
    if not all(step.bijective and step.domain.event_dim == 0 for step in steps):
        if _is_real(base) and steps[-1].bijective and all(_is_onto(step) for step in steps[:-1]):
            return None
        names = ", ".join(type(step).__name__ for step in steps)
        raise NotImplementedError(f"the image of {base} under {names} is not known")
    _refuse_joined(base)
    low, high = (each if isinstance(each, Tensor) else torch.tensor(float(each)) for each in bounds(base))
    for step in steps:
        low, high = _image(step, low, high)
    named = [torch.as_tensor(each).to(low) for each in bounds(law.support)]
    if all(bool((ours == theirs).all()) for ours, theirs in zip((low, high), named, strict=True)):
        return None
    image = _between_tensors(low, high)
    return constraints.independent(image, len(law.event_shape)) if law.event_shape else image


def steps_of(chain: Sequence[Transform]) -> Iterator[Transform]:
    """Return the transforms of a chain, taken out of compositions."""
    for each in chain:
        if isinstance(each, transforms.ComposeTransform):
            yield from steps_of(each.parts)
        elif isinstance(each, transforms.IndependentTransform):
            yield from steps_of([each.base_transform])
        else:
            yield each


def _is_onto(step: Transform) -> bool:
    return bool(step.bijective) and _is_real(step.domain) and _is_real(step.codomain)


def _is_real(support: Constraint) -> bool:
    return isinstance(support, type(constraints.real))  # unpickled ones are other objects


def _image(step: Transform, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return the bounds of the image of [low, high] under a monotone function of single components."""
    first, last = (torch.as_tensor(each).to(low) for each in bounds(step.codomain))
    rises = torch.as_tensor(step.sign) > 0
    of_low = torch.where(low.isfinite(), step(low), torch.where(rises, first, last))
    of_high = torch.where(high.isfinite(), step(high), torch.where(rises, last, first))
    return torch.where(rises, of_low, of_high), torch.where(rises, of_high, of_low)


def _refuse_joined(support: Constraint) -> None:
    """Raise NotImplementedError for a support that is joined of others, whose bounds :func:`bounds` does not see."""
    if hasattr(elementwise(support), "cseq"):
        raise NotImplementedError(f"the image or the union of {support} is not known")
