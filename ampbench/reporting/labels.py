"""Short names for the methods of a table, whose specs are too long for its column.

A label holds what tells a method apart from the others there: its name, the names of its divergence and family, and
only where these agree, the options that do not. A spec stays the identity of a method; beside labels stands a legend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ampbench.errors import UsageError
from ampbench.spec import Spec

LONG = 24
"""Characters of a spec that needs a label: more than a table of numbers leaves to it in 80 columns."""
PARTS = ("divergence", "family")


def labels(methods: Iterable[str]) -> dict[str, str]:
    """Return a label for each method; no two have the same.

    Arguments:
        methods: specs; what is none is its own label, and so is a spec of up to :data:`LONG` characters.

    Example:
        >>> flow = "amp:divergence=forward-kl,family=flow,steps="
        >>> labels(["npe", flow + "3000", "amp:divergence=jsd,family=(implicit:depth=1)"]).values()
        dict_values(['npe', 'amp forward-kl flow', 'amp jsd implicit'])
        >>> labels([flow + "3000", flow + "9000"]).values()
        dict_values(['amp forward-kl flow steps=3000', 'amp forward-kl flow steps=9000'])
    """
    known = list(dict.fromkeys(methods))
    specs = {method: spec for method in known if len(method) > LONG and (spec := _read(method))}
    brief = {method: _brief(spec) for method, spec in specs.items()}
    named: dict[str, str] = {}
    for method, spec in specs.items():
        alike = [specs[other] for other in specs if brief[other] == brief[method]]
        named[method] = _told(spec, alike) if len(alike) > 1 else brief[method]
    shown = {method: named.get(method, method) for method in known}
    count = Counter(shown.values())
    return {method: label if count[label] == 1 else method for method, label in shown.items()}


def legend(named: Mapping[str, str]) -> list[str]:
    """Return a line for each method that has a label: the label, and the spec."""
    return [f"{label}: {method}" for method, label in named.items() if label != method]


def _read(text: str) -> Spec | None:
    try:
        return Spec.parse(text)
    except UsageError:
        return None


def _brief(spec: Spec) -> str:
    options = dict(spec.options)
    return " ".join([spec.name, *(_name(options[part]) for part in PARTS if part in options)])


def _name(value: str) -> str:
    """The name of a component without its options."""
    spec = _read(value)
    return spec.name if spec else value


def _told(spec: Spec, alike: Sequence[Spec]) -> str:
    """A label with the options in which specs differ that are otherwise called the same."""
    options = dict(spec.options)
    differ = {key for key, value in options.items() if any(dict(other.options).get(key) != value for other in alike)}
    parts = [options[part] if part in differ else _name(options[part]) for part in PARTS if part in options]
    rest = [f"{key}={value}" for key, value in options.items() if key in differ and key not in PARTS]
    return " ".join([spec.name, *parts, *rest])
