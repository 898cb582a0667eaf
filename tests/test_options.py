"""Options that make no sense are refused when a component is built, before anything is simulated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from ampbench.errors import UsageError
from ampbench.registry import Registry, load

NONSENSE = {"int": ["-1"], "float": ["-1", "nan"]}
ANY = {"seed"}
"""Options that may have any value."""


def nonsense(kind: str) -> Iterator[str]:
    """Specs of all components of a kind, each with one number that it cannot mean."""
    for name, entry in load().entries(kind).items():
        for option, parameter in inspect.signature(entry.factory()).parameters.items():
            if option not in ANY:
                yield from (f"{name}:{option}={value}" for value in NONSENSE.get(str(parameter.annotation), []))


SPECS = [(kind, spec) for kind in ("families", "divergences", "metrics") for spec in nonsense(kind)]


@pytest.mark.parametrize(("kind", "spec"), SPECS, ids=[spec for _, spec in SPECS])
def test_nonsense_is_refused_with_its_option_and_value(registry: Registry, kind: str, spec: str) -> None:
    option, value = spec.partition(":")[2].split("=")
    with pytest.raises(UsageError, match=rf"{option}.*{value}"):
        registry.build(kind, spec)


def test_specs_were_found() -> None:
    assert {"flow:dropout=nan", "jsd:width=-1", "c2st:folds=-1"} <= {spec for _, spec in SPECS}
