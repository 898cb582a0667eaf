"""Options that make no sense are refused when a component is built, before anything is simulated."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np
import pytest

from ampbench.errors import UsageError
from ampbench.registry import Registry, load

NONSENSE = {"int": ["-1"], "float": ["-1", "nan", "inf"]}
ANY = {"seed"}
"""Options that may have any value."""


def nonsense(kind: str) -> Iterator[str]:
    """Specs of all components of a kind, each with one number that it cannot mean."""
    for name, entry in load().entries(kind).items():
        for option, parameter in inspect.signature(entry.factory()).parameters.items():
            if option not in ANY:
                yield from (f"{name}:{option}={value}" for value in NONSENSE.get(str(parameter.annotation), []))


SPECS = [(kind, spec) for kind in ("families", "divergences", "methods", "metrics") for spec in nonsense(kind)]


@pytest.mark.parametrize(("kind", "spec"), SPECS, ids=[spec for _, spec in SPECS])
def test_nonsense_is_refused_with_its_option_and_value(registry: Registry, kind: str, spec: str) -> None:
    option, value = spec.partition(":")[2].split("=")
    with pytest.raises(UsageError, match=rf"{option}.*{value}"):
        registry.build(kind, spec)


@pytest.mark.parametrize(
    "spec",
    [
        "amp:held_out=1",
        "amp:held_out=0",
        "amp:ema=1",
        "amp:learning_rate=0",
        "amp:adversary_learning_rate=0",
        "amp:steps=1000000000",
        "amp:batch_size=1",
        "amp:batch_size=1000000000",
        "amp:particles=1000000000",
        "npe:learning_rate=inf",
        "fmpe:batch_size=0",
        "nle:thin=0",
        "nre:chains=0",
        "snle:rounds=0",
        "snpe:atoms=1",
        "tsnpe:epsilon=1",
        "smc-abc:population=1",
        "smc-abc:decay=1",
        "mc-abc:accept=0",
        "rejection-abc:accept=2",
    ],
)
def test_bounds_of_methods(registry: Registry, spec: str) -> None:
    option, value = spec.partition(":")[2].split("=")
    with pytest.raises(UsageError, match=rf"{option}.*{value}"):
        registry.build("methods", spec)


@pytest.mark.parametrize(
    "spec",
    [
        "nle:warmup=0,thin=1",
        "smc-abc:population=0",
        "rejection-abc:accept=1,smooth=false",
        "snpe:atoms=2",
        "amp:ema=0,penalty=0,batch_size=2",
    ],
)
def test_bounds_are_allowed(registry: Registry, spec: str) -> None:
    registry.build("methods", spec)


@pytest.mark.parametrize("value", [True, "8", 8.5, None])
@pytest.mark.parametrize(
    ("kind", "name", "option"),
    [("families", "gaussian", "width"), ("divergences", "jsd", "depth"), ("methods", "rejection-abc", "accept")],
)
def test_counts_of_other_types_are_refused(
    registry: Registry, kind: str, name: str, option: str, value: object
) -> None:
    component = registry.entries(kind)[name].factory()
    with pytest.raises(UsageError, match=f"needs {option} to be a whole number, got {option}="):
        component(**{option: value})
    component(**{option: np.int64(8)})


@pytest.mark.parametrize("value", [True, "0.5"])
def test_numbers_of_other_types_are_refused(registry: Registry, value: object) -> None:
    with pytest.raises(UsageError, match="needs dropout to be a number, got dropout="):
        registry.entries("families")["flow"].factory()(dropout=value)


def test_specs_were_found() -> None:
    assert {"flow:dropout=inf", "amp:penalty=inf", "jsd:width=-1", "npe:learning_rate=nan", "c2st:folds=-1"} <= {
        spec for _, spec in SPECS
    }
