"""Faults of distributions that do not exist: parameters that are NaN, infinite or not allowed, and bounds without room.

torch checks parameters when a distribution is made, unless ``validate_args=False``, and accepts infinite ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.distributions.transforms import AffineTransform
from torch.distributions.utils import lazy_property

from ampbench.graph.supports import bounds, elementwise
from ampbench.graph.torch_supports import steps_of, support_of

PARTS = ("base_dist", "mixture_distribution", "component_distribution", "dists")
"""Attributes of distributions that are made of others."""
LOGARITHMS = ("logits",)
"""Parameters that may be infinite: of outcomes without probability."""


def fault_of(law: Distribution) -> str:
    """Return why a distribution, or one that it is made of, does not exist; "" if it does.

    Example:
        >>> from torch.distributions import Uniform
        >>> fault_of(Uniform(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]), validate_args=False))
        'Uniform has the bounds 2.0 and 1.0 in component 1, of which the first must be less than the second'
    """
    for part in _parts(law):
        if fault := _of_bounds(part) or _of_parameters(part) or _of_transforms(part):
            return f"{type(part).__name__} has {fault}"
    return ""


def bounds_fault(low: Any, high: Any, is_discrete: bool = False) -> str:
    """Return what is wrong with the bounds of a support, tensors or numbers; "" if nothing is."""
    low, high = torch.broadcast_tensors(torch.as_tensor(low), torch.as_tensor(high))
    room = low <= high if is_discrete else low < high
    if place := _first(~room):
        index, where = place
        return (
            f"the bounds {low[index].item()} and {high[index].item()}{where}, of which the first must be less than the "
            "second"
        )
    return ""


def _parts(law: Distribution) -> Iterator[Distribution]:
    yield law
    for name in PARTS:
        inner = getattr(law, name, None)
        for each in inner if isinstance(inner, list | tuple) else [inner]:
            if isinstance(each, Distribution):
                yield from _parts(each)


def _of_parameters(law: Distribution) -> str:
    for name, allowed in _constraints(law).items():
        if name not in vars(law) and isinstance(getattr(type(law), name, None), lazy_property):
            continue  # computed from another parameter
        value = getattr(law, name, None)
        if not isinstance(value, Tensor):
            continue
        if name not in LOGARITHMS and (place := _first(~value.isfinite())):
            return f"{name}={value[place[0]].item()}{place[1]}"
        if constraints.is_dependent(allowed):
            continue
        inside = allowed.check(value)
        if place := _first(~inside):
            shown = value[place[0]].tolist()
            return f"{name}={shown}{place[1]}, which is not {_in_words(allowed)}"
    return ""


def _constraints(law: Distribution) -> dict[str, Any]:
    try:
        return law.arg_constraints
    except NotImplementedError:  # torch leaves it to each distribution to say
        return {}


def _in_words(allowed: constraints.Constraint) -> str:
    return "positive" if allowed is constraints.positive else f"in {allowed}"


def _of_transforms(law: Distribution) -> str:
    for step in steps_of(getattr(law, "transforms", ())):
        if isinstance(step, AffineTransform):
            scale = torch.as_tensor(step.scale)
            if place := _first((scale == 0) | ~scale.isfinite()):
                return f"an AffineTransform of scale {scale[place[0]].item()}{place[1]}"
    return ""


def _of_bounds(law: Distribution) -> str:
    try:
        support = elementwise(support_of(law))
    except NotImplementedError:
        return ""
    low, high = bounds(support)
    if isinstance(support, constraints.interval) and (place := _first(~(torch.as_tensor(high - low).isfinite()))):
        low, high = torch.broadcast_tensors(torch.as_tensor(low), torch.as_tensor(high))
        return f"the bounds {low[place[0]].item()} and {high[place[0]].item()}{place[1]}"
    return bounds_fault(low, high, support.is_discrete)


def _first(wrong: Tensor) -> tuple[tuple[int, ...], str] | None:
    """Return the index of the first component that is wrong, and its place in words; None if none is."""
    places = wrong.nonzero().tolist()
    if not places:
        return None
    index = tuple(places[0])
    if not index:
        return index, ""
    return index, f" in component {index[0] if len(index) == 1 else list(index)}"
