"""Short labels for the methods of a table whose specs are too long for its column.

A label consists of the name of the method and the names of its divergence and family; if several methods of a table
agree in these, it also contains the options in which they differ. A legend maps labels to specs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ampbench.errors import UsageError
from ampbench.spec import Spec, component_name

MAX_SPEC_LENGTH = 24
"""Longest spec, in characters, that is shown without a label; it fits beside the numbers of a table of 80 columns."""

LABEL_OPTIONS = ("divergence", "family")
"""Options of a method whose component names are part of its label."""


def labels(methods: Iterable[str]) -> dict[str, str]:
    """Return a distinct label for each method.

    Arguments:
        methods: specs; a spec of up to :data:`MAX_SPEC_LENGTH` characters is its own label, and so is any other text.

    Example:
        >>> flow = "amp:divergence=forward-kl,family=flow,steps="
        >>> labels(["npe", flow + "3000", "amp:divergence=jsd,family=(implicit:depth=1)"]).values()
        dict_values(['npe', 'amp forward-kl flow', 'amp jsd implicit'])
        >>> labels([flow + "3000", flow + "9000"]).values()
        dict_values(['amp forward-kl flow steps=3000', 'amp forward-kl flow steps=9000'])
    """
    known = list(dict.fromkeys(methods))
    specs = {method: spec for method in known if len(method) > MAX_SPEC_LENGTH and (spec := _read(method))}
    brief = {method: _brief(spec) for method, spec in specs.items()}
    named: dict[str, str] = {}
    for method, spec in specs.items():
        alike = [specs[other] for other in specs if brief[other] == brief[method]]
        named[method] = _distinguished(spec, alike) if len(alike) > 1 else brief[method]
    shown = {method: named.get(method, method) for method in known}
    count = Counter(shown.values())
    return {method: label if count[label] == 1 else method for method, label in shown.items()}


def legend(named: Mapping[str, str]) -> list[str]:
    """Return a line ``label: spec`` for each method whose label is not its spec."""
    return [f"{label}: {method}" for method, label in named.items() if label != method]


def _read(text: str) -> Spec | None:
    try:
        return Spec.parse(text)
    except UsageError:
        return None


def _brief(spec: Spec) -> str:
    options = dict(spec.options)
    return " ".join([spec.name, *(component_name(options[part]) for part in LABEL_OPTIONS if part in options)])


def _distinguished(spec: Spec, alike: Sequence[Spec]) -> str:
    """Return a label with the options in which a spec differs from those with an equal brief label."""
    options = dict(spec.options)
    differ = {key for key, value in options.items() if any(dict(other.options).get(key) != value for other in alike)}
    parts = [
        options[part] if part in differ else component_name(options[part]) for part in LABEL_OPTIONS if part in options
    ]
    rest = [f"{key}={value}" for key, value in options.items() if key in differ and key not in LABEL_OPTIONS]
    return " ".join([spec.name, *parts, *rest])
