r"""Supports of torch's distributions, where torch names one that is too large, or one without a bijection.

- Of a transformed distribution torch names the codomain of the last transform. The image of a bounded law is smaller:
  T(Uniform(0, 1)) with T(u) = 2 + 3u lies in (2, 5). For increasing T the bounds are T(a) and T(b), for decreasing T
  they change places, and an infinite bound has the bound of the codomain as its image.
- Draws of VonMises lie in [−π, π), and its density is periodic, which has no integral over the real line.
- GeneralizedPareto has an interval with an infinite end.
- A mixture of equal families has no bijection, and its check wants draws to be in the supports of *all* components.

References:
    Paszke et al. 2019, *PyTorch: an imperative style, high-performance deep learning library*, arXiv:1912.01703:
    torch.distributions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    MixtureSameFamily,
    TransformedDistribution,
    VonMises,
    constraints,
    transforms,
)
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

from ampbench.graph.supports import LOWER, between, bounds, elementwise, with_bounds

_GENERALIZED_PARETO: Any = getattr(torch.distributions, "GeneralizedPareto", ())  # torch has it since 2.8


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
    if isinstance(law, _GENERALIZED_PARETO):
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
        return between(pairs[0][:1], pairs[0][1:])
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
